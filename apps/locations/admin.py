"""Places in the staff site: list, add, change, test, preview, switch off. Each act calls a service."""

from __future__ import annotations

from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.decorators import display

from apps.locations import services
from apps.locations.contract import Identity, Scope
from apps.locations.errors import LocationError
from apps.locations.forms import LocationForm, SearchIdentityForm, merged_config
from apps.locations.labels import label
from apps.locations.models import Location
from apps.locations.registry import configurable_kinds, connector_class
from config.dressing import dress

SHOWN_IN_PREVIEW = 5
COUNTED_IN_PREVIEW = 10_000


@admin.register(Location)
class LocationAdmin(ModelAdmin):
    list_display = ("place", "kind", "country", "state", "horizon", "checked_at")
    list_filter = ("kind", "is_enabled", "is_reachable")
    list_per_page = 50
    show_full_result_count = False
    ordering = ("is_reachable", "name")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a place that ever held data is never forgotten, only switched off

    @display(description=gettext_lazy("Place"))
    def place(self, location: Location) -> str:
        return label(location)

    @display(description=gettext_lazy("State"), label={"on": "success", "off": "warning", "down": "danger"})
    def state(self, location: Location) -> tuple[str, str]:
        if not location.is_enabled:
            return "off", _("Switched off")
        if location.is_reachable is False:
            return "down", _("Does not answer")
        return ("on", _("Reachable")) if location.is_reachable else ("", _("Not checked"))

    @display(description=gettext_lazy("Erased copies are gone after"))
    def horizon(self, location: Location) -> str:
        if location.horizon_days is None:
            return _("unknown")
        return _("%(days)d days") % {"days": location.horizon_days} if location.horizon_days else _("at once")

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        own = [
            path("add/", wrap(self.add_place), name="locations_location_add"),
            path("<uuid:pk>/change/", wrap(self.change_place), name="locations_location_change"),
            path("<uuid:pk>/check/", wrap(self.check_place), name="locations_location_check"),
            path("<uuid:pk>/switch/", wrap(self.switch_place), name="locations_location_switch"),
            path("<uuid:pk>/emptied/", wrap(self.record_emptied), name="locations_location_emptied"),
        ]
        return own + [url for url in super().get_urls() if url.name == "locations_location_changelist"]

    def add_place(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        kinds = configurable_kinds()
        kind = request.GET.get("kind", "")
        if kind not in kinds:
            context = self._context(request, _("Add a place")) | {
                "kinds": [(name, k.label) for name, k in kinds.items()]
            }
            return render(request, "admin/locations/kinds.html", context)
        return self._edit(request, Location(pk=uuid4(), kind=kind), {})

    def change_place(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        location = get_object_or_404(Location, pk=pk)
        if not self.has_view_permission(request, location):
            raise PermissionDenied
        if location.kind not in configurable_kinds():
            context = self._context(request, label(location)) | {"location": location}
            return render(request, "admin/locations/own.html", context)
        return self._edit(request, location, services.config_of(location))

    def _edit(self, request: HttpRequest, location: Location, config: dict[str, Any]) -> HttpResponse:
        """Show and take the form of a kind. "Try" shows what a chosen identity finds, before anything is saved."""
        connector = connector_class(location.kind)
        data = request.POST or None
        form = dress(LocationForm(data, instance=location))
        secrets = getattr(connector.ConfigForm, "secrets", ())
        known = {name: value for name, value in config.items() if name not in secrets}
        config_form = dress(connector.ConfigForm(data, initial=known, prefix="config"))
        search = dress(SearchIdentityForm(data if data and "try" in data else None, prefix="search"))
        context = self._context(request, location.name or connector.label) | {
            "location": location,
            "kind_label": connector.label,
        }
        if data and form.is_valid() and config_form.is_valid():
            self._check_may_write(request, location)
            try:
                new = merged_config(config_form, config)
            except ValidationError as error:
                config_form.add_error(None, error)
            else:
                if "try" not in data:
                    services.save_location(form.save(commit=False), config=new, actor=request.actor)  # type: ignore[attr-defined]
                    messages.success(request, _("Saved. This place takes part in every request from now on."))
                    return redirect("admin:locations_location_change", location.pk)
                context["preview"] = _preview(connector(new), search)
        context |= {"form": form, "config_form": config_form, "search": search}
        return render(request, "admin/locations/edit.html", context)

    def _check_may_write(self, request: HttpRequest, location: Location) -> None:
        may = (
            self.has_add_permission(request)
            if location._state.adding
            else self.has_change_permission(request, location)
        )
        if not may:
            raise PermissionDenied

    def check_place(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        location = self._posted(request, pk)
        health = services.check_location(location, actor=request.actor)  # type: ignore[attr-defined]
        level = messages.SUCCESS if health.is_reachable and not health.problems else messages.WARNING
        messages.add_message(request, level, " ".join([health.message, *health.problems]))
        return redirect("admin:locations_location_change", pk)

    def switch_place(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        location = self._posted(request, pk)
        services.switch_location(location, enabled=not location.is_enabled, actor=request.actor)  # type: ignore[attr-defined]
        return redirect("admin:locations_location_change", pk)

    def record_emptied(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        services.record_emptied(self._posted(request, pk), actor=request.actor)  # type: ignore[attr-defined]
        return redirect("admin:locations_location_change", pk)

    def _posted(self, request: HttpRequest, pk: UUID) -> Location:
        if request.method != "POST":
            raise Http404
        location = get_object_or_404(Location, pk=pk)
        if not self.has_change_permission(request, location):
            raise PermissionDenied
        return location

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return self.admin_site.each_context(request) | {
            "title": title,
            "opts": Location._meta,
            "list_url": reverse("admin:locations_location_changelist"),
            "has_change_permission": self.has_change_permission(request),
        }


def _preview(connector: Any, search: SearchIdentityForm) -> dict[str, Any] | None:
    """Say what a place finds for one identity: how many, and a few names."""
    if not search.is_valid():
        return None
    kind, value = search.cleaned_data["kind"], search.cleaned_data["value"]
    try:
        subject_id = UUID(value) if kind == "subject_id" else uuid4()
        who = Identity(subject_id, None, None, () if kind == "subject_id" else ((kind, value),))
        found = connector.find(who, Scope())
        first = [item.name for item in islice(found, SHOWN_IN_PREVIEW)]
        count = len(first) + sum(1 for _item in islice(found, COUNTED_IN_PREVIEW - len(first)))
        return {"count": count, "names": first, "is_more": count == COUNTED_IN_PREVIEW}
    except LocationError as error:
        return {"error": str(error)}
    except ValueError:
        return {"error": _("This is not an id.")}
