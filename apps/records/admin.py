"""What is kept in storage, copied and brought in, in the staff site. Each act calls a service; nothing is edited as a row."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from apps.records.models import CopyPolicy, Source, Sweep
from apps.records.staff import copying, sourcing, storage


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


@admin.register(CopyPolicy)
class CopyPolicyAdmin(ModelAdmin):
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a rule that ever made copies is never forgotten, only ended

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "": (copying.show_rules, "changelist"),
            "add/": (copying.add_rule, "add"),
            "<uuid:pk>/": (copying.show_rule, "change"),
            "<uuid:pk>/restore/": (copying.restore_rule, "restore"),
            "<uuid:pk>/approve/": (copying.approve_rule, "approve"),
            "<uuid:pk>/<slug:act>/": (copying.act_on_rule, "act"),
        }
        wrap = self.admin_site.admin_view
        return [path(route, wrap(view), name=f"records_copypolicy_{name}") for route, (view, name) in pages.items()]


@admin.register(Source)
class SourceAdmin(ModelAdmin):
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "": (sourcing.show_sources, "changelist"),
            "add/": (sourcing.add_source, "add"),
            "<uuid:pk>/": (sourcing.show_source, "change"),
            "<uuid:pk>/<slug:act>/": (sourcing.act_on_source, "act"),
        }
        wrap = self.admin_site.admin_view
        return [path(route, wrap(view), name=f"records_source_{name}") for route, (view, name) in pages.items()]
