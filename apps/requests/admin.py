"""Requests in the admin: read-only for everyone, superusers included. What is done with them, services do.

Nothing of the model's own forms is served: the pages are those of `staff/`, at the addresses that the admin expects.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from apps.requests.models import PrivacyRequest
from apps.requests.staff import by_hand, changing, correcting, deciding, knowing, lists, showing
from apps.requests.staff import master_keys as _master_keys  # noqa: F401  (registers its page)

ONE = "<str:reference>/"


@admin.register(PrivacyRequest)
class PrivacyRequestAdmin(ModelAdmin):
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "": (lists.requests, "changelist"),
            "find/": (lists.find, "find"),
            "assign/": (lists.assign_many, "assign_many"),
            "tasks/": (by_hand.tasks, "tasks"),
            "statistics/": (lists.show_statistics, "statistics"),
            "statistics.csv": (lists.statistics_csv, "statistics_csv"),
            ONE: (showing.show_request, "change"),
            f"{ONE}open/": (showing.open_request, "open"),
            f"{ONE}documents/<uuid:pk>/": (showing.document, "document"),
            f"{ONE}entries/<int:pk>/proof": (showing.proof, "proof"),
            f"{ONE}receipts/<int:number>/": (showing.receipt, "receipt"),
            f"{ONE}identity/": (deciding.identity, "identity"),
            f"{ONE}approve/": (deciding.approve, "approve"),
            f"{ONE}refuse/": (deciding.refuse, "refuse"),
            f"{ONE}corrections/": (correcting.corrections, "corrections"),
            f"{ONE}lift-restriction/": (correcting.lift_restriction, "lift_restriction"),
            f"{ONE}message/": (changing.message, "message"),
            f"{ONE}known-by/": (knowing.known_by, "known_by"),
            f"{ONE}known-by/confirm/": (knowing.confirm_known_by, "confirm_known_by"),
            f"{ONE}extend/": (changing.extend, "extend"),
            f"{ONE}assign/": (changing.assign, "assign"),
            f"{ONE}hold/": (changing.hold, "hold"),
            f"{ONE}hold/<int:pk>/lift/": (changing.lift, "lift"),
            f"{ONE}tasks/<uuid:pk>/": (by_hand.task, "task"),
            f"{ONE}tasks/<uuid:pk>/files/<uuid:file>/": (by_hand.task_file, "task_file"),
            f"{ONE}withdraw/": (changing.withdraw, "withdraw"),
            f"{ONE}go-on/": (changing.go_on, "go_on"),
            f"{ONE}steps/<uuid:pk>/retry/": (changing.retry, "retry"),
        }
        wrap = self.admin_site.admin_view
        return [
            path(route, wrap(view), name=f"requests_privacyrequest_{name}") for route, (view, name) in pages.items()
        ]
