"""The sign-in pages under /accounts/: allauth's, with links counted, and our own."""

from allauth.account import urls as account_urls
from allauth.account import views as account_views
from django.urls import include, path, re_path

from apps.accounts import views
from apps.accounts.access import limited

urlpatterns = [
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        limited("reset_link", key="uidb36")(account_views.password_reset_from_key),
    ),
    re_path(r"^confirm-email/(?P<key>[-:\w]+)/$", limited("confirm_link", key="key")(account_views.confirm_email)),
    path("", include(account_urls)),
    path("2fa/code-by-email/", views.email_code, name="mfa_email_code"),
    path("2fa/totp/activate/", views.activate_totp),
    path("2fa/", include("allauth.mfa.urls")),
    path("sign-ins/<int:pk>/end/", views.end_sign_in, name="usersessions_end"),
    path("sign-ins/", include("allauth.usersessions.urls")),
]
