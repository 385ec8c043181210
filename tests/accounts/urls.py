from django.urls import include, path

urlpatterns = [path("", include("apps.portal.urls")), path("accounts/", include("apps.accounts.urls"))]
