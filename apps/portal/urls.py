"""Addresses of the person's pages (DESIGN §10)."""

from django.contrib.auth.decorators import login_required
from django.urls import path

from apps.portal.views import conversations, pages, reading

app_name = "portal"

urlpatterns = [
    path("", pages.home, name="home"),
    path("language/", pages.language, name="language"),
    path("how-it-works/", pages.how, name="how"),
    path("accessibility/", pages.accessibility, name="accessibility"),
    path("verify/", pages.verify, name="verify"),
    path("verify/habeas_verify.py", pages.verifier, name="verifier"),
    path("privacy/", login_required(pages.home), name="privacy"),
    path("conversations/", conversations.conversations, name="conversations"),
    path("conversations/search/", conversations.search, name="search"),
    path("conversations/import/", login_required(pages.home), name="import"),
    path("conversations/erase/", conversations.delete_conversations, name="delete_conversations"),
    path("conversations/erase-all/", conversations.delete_all, name="delete_all"),
    path("conversations/<uuid:pk>/", reading.conversation, name="conversation"),
    path("conversations/<uuid:pk>/erase/", conversations.delete_conversation, name="delete_conversation"),
    path("conversations/<uuid:pk>/files/<uuid:attachment>/", reading.attachment, name="attachment"),
    path("conversations/<uuid:pk>/images/<uuid:attachment>/", reading.image, name="image"),
    path("requests/", login_required(pages.home), name="requests"),
    path("requests/new/", login_required(pages.home), name="new_request"),
    path("requests/new/details/", login_required(pages.home), name="request_details"),
    path("requests/find/", pages.home, name="find"),
    path("requests/without-account/", pages.home, name="intake"),
    path("requests/confirm/<str:token>/", pages.home, name="confirm_intake"),
    path("requests/<str:reference>/", login_required(pages.home), name="request"),
    path("requests/<str:reference>/receipt/", login_required(pages.home), name="receipt"),
    path("requests/<str:reference>/download/", login_required(pages.home), name="download"),
]
