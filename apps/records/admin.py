"""What is kept in storage, copied and brought in, in the staff site. Each act calls a service; nothing is edited as a row."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from apps.records.models import Sweep
from apps.records.staff import storage


@admin.register(Sweep)
class SweepAdmin(ModelAdmin):
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(storage.show_sweeps), name="records_sweep_changelist"),
            path("run/", wrap(storage.start_sweep), name="records_sweep_run"),
        ]
