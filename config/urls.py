"""The addresses of the site (DESIGN §10)."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from config import health, metrics

admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

handler500 = "config.errors.server_error"

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", include("apps.portal.urls")),
    path("accounts/", include("apps.accounts.urls")),
    path("admin/", admin.site.urls),
    path("audit/", include("apps.audit.urls")),
]
