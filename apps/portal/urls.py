"""Addresses of the person's pages (DESIGN §10)."""

from django.contrib.auth.decorators import login_required
from django.urls import path

from apps.portal.views import pages

app_name = "portal"

urlpatterns = [
    path("", pages.home, name="home"),
    path("language/", pages.language, name="language"),
    path("how-it-works/", pages.how, name="how"),
    path("accessibility/", pages.accessibility, name="accessibility"),
    path("verify/", pages.how, name="verify"),
    path("privacy/", login_required(pages.home), name="privacy"),
    path("conversations/", login_required(pages.home), name="conversations"),
    path("conversations/import/", login_required(pages.home), name="import"),
    path("conversations/<uuid:pk>/", login_required(pages.home), name="conversation"),
    path("conversations/<uuid:pk>/files/<uuid:attachment>/", login_required(pages.home), name="attachment"),
    path("requests/", login_required(pages.home), name="requests"),
    path("requests/new/", login_required(pages.home), name="new_request"),
    path("requests/find/", pages.home, name="find"),
    path("requests/without-account/", pages.home, name="intake"),
    path("requests/confirm/<str:token>/", pages.home, name="confirm_intake"),
    path("requests/<str:reference>/", login_required(pages.home), name="request"),
    path("requests/<str:reference>/receipt/", login_required(pages.home), name="receipt"),
    path("requests/<str:reference>/download/", login_required(pages.home), name="download"),
]
