"""Places in the staff site: list, add, change, test, try, switch off. Each act calls a service.

Permission comes before everything, so that whoever may not look cannot tell which places exist. What a place finds of
somebody is counted; its names may be personal and are not shown.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from apps.locations import services
from apps.locations.contract import Identity, Scope
from apps.locations.errors import LocationError
from apps.locations.forms import LocationForm, SearchIdentityForm, merged_config
from apps.locations.labels import horizon_words, staff_label, state_of
from apps.locations.models import Location
from apps.locations.registry import configurable_kinds, connector_class

COUNTED_IN_PREVIEW = 10_000


@admin.register(Location)
class LocationAdmin(ModelAdmin):
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a place that ever held data is never forgotten, only switched off

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "": (self.places, "changelist"),
            "add/": (self.add_place, "add"),
            "<uuid:pk>/change/": (self.change_place, "change"),
            "<uuid:pk>/check/": (self.check_place, "check"),
            "<uuid:pk>/switch/": (self.switch_place, "switch"),
            "<uuid:pk>/emptied/": (self.record_emptied, "emptied"),
        }
        wrap = self.admin_site.admin_view
        return [path(route, wrap(view), name=f"locations_location_{name}") for route, (view, name) in pages.items()]

    def places(self, request: HttpRequest) -> HttpResponse:
        """List every place, those that do not answer first and those recorded as emptied last."""
        self._check(self.has_view_permission(request))
        order = {False: 0, None: 1, True: 2}
        places = sorted(
            Location.objects.all(),
            key=lambda place: (place.emptied_at is not None, order[place.is_reachable], place.name),
        )
        rows = [
            {"place": place, "name": staff_label(place), "kind": kind_label(place.kind), "state": state_of(place),
             "horizon": horizon_words(place.horizon_days)}
            for place in places
        ]  # fmt: skip
        return self._show(request, "places", _("Places"), {"rows": rows, "may_add": self.has_add_permission(request)})

    def add_place(self, request: HttpRequest) -> HttpResponse:
        self._check(self.has_add_permission(request))
        kinds = configurable_kinds()
        kind = request.GET.get("kind", "")
        if kind not in kinds:
            offered = [(name, connector.label) for name, connector in kinds.items()]
            return self._show(request, "kinds", _("Add a place"), {"kinds": offered})
        return self._edit(request, Location(pk=uuid4(), kind=kind), {})

    def change_place(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        self._check(self.has_view_permission(request))
        location = get_object_or_404(Location, pk=pk)
        if location.kind not in configurable_kinds() or not self.has_change_permission(request):
            return self._show(request, "place", staff_label(location), self._about(request, location))
        return self._edit(request, location, services.config_of(location))

    def _edit(self, request: HttpRequest, location: Location, config: dict[str, Any]) -> HttpResponse:
        """Show and take the form of a kind. "Try" counts what a chosen identity finds, before anything is saved."""
        connector = connector_class(location.kind)
        data = request.POST or None
        form = LocationForm(data, instance=location)
        config_form = connector.ConfigForm(data, initial=_without_secrets(connector, config), prefix="config")
        search = SearchIdentityForm(data if data and "try" in data else None, prefix="search")
        preview = None
        if data and form.is_valid() and config_form.is_valid():
            try:
                new = merged_config(config_form, config)
            except ValidationError as error:
                config_form.add_error(None, error)
            else:
                if "try" not in data:
                    services.save_location(form.save(commit=False), config=new, actor=_actor(request))
                    messages.success(request, _("Saved. This place takes part in every request from now on."))
                    return redirect("admin:locations_location_change", location.pk)
                preview = _preview(connector(new), search)
        context = self._about(request, location) | {
            "form": form, "config_form": config_form, "search": search, "preview": preview, "is_new": location._state.adding,
        }  # fmt: skip
        title = str(connector.label) if location._state.adding else location.name
        return self._show(request, "edit", title, context)

    def check_place(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        health = services.check_location(self._posted(request, pk), actor=_actor(request))
        level = messages.SUCCESS if health.is_reachable and not health.problems else messages.WARNING
        messages.add_message(request, level, " ".join([health.message, *health.problems]))
        return redirect("admin:locations_location_change", pk)

    def switch_place(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        location = self._posted(request, pk)
        if location.kind in configurable_kinds():
            services.switch_location(location, enabled=not location.is_enabled, actor=_actor(request))
        return redirect("admin:locations_location_change", pk)

    def record_emptied(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        services.record_emptied(self._posted(request, pk), actor=_actor(request))
        return redirect("admin:locations_location_change", pk)

    def _posted(self, request: HttpRequest, pk: UUID) -> Location:
        self._check(self.has_change_permission(request))
        if request.method != "POST":
            raise Http404
        return get_object_or_404(Location, pk=pk)

    def _check(self, is_permitted: bool) -> None:
        if not is_permitted:
            raise PermissionDenied

    def _about(self, request: HttpRequest, location: Location) -> dict[str, Any]:
        return {
            "location": location,
            "kind_label": kind_label(location.kind),
            "state": state_of(location),
            "horizon": horizon_words(location.horizon_days),
            "is_own": location.kind not in configurable_kinds(),
            "may_change": self.has_change_permission(request),
        }

    def _show(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
        framed = self.admin_site.each_context(request) | {"title": title} | context
        return render(request, f"admin/locations/{template}.html", framed)


def kind_label(kind: str) -> str:
    """Say what kind of place it is."""
    kinds = configurable_kinds()
    return str(kinds[kind].label) if kind in kinds else _("Our own")


def _actor(request: HttpRequest) -> Any:
    return request.actor  # type: ignore[attr-defined]


def _without_secrets(connector: Any, config: dict[str, Any]) -> dict[str, Any]:
    secrets = getattr(connector.ConfigForm, "secrets", ())
    return {name: value for name, value in config.items() if name not in secrets}


def _preview(connector: Any, search: forms.Form) -> dict[str, Any] | None:
    """Count what a place finds for one identity, by kind of item."""
    if not search.is_valid():
        return None
    kind, value = search.cleaned_data["kind"], search.cleaned_data["value"]
    try:
        subject_id = UUID(value) if kind == "subject_id" else uuid4()
        who = Identity(subject_id, None, None, () if kind == "subject_id" else ((kind, value),))
        found = Counter(item.kind for item in islice(connector.find(who, Scope()), COUNTED_IN_PREVIEW))
    except LocationError as error:
        return {"error": str(error)}
    except ValueError:
        return {"error": _("This is not an id.")}
    return {"found": dict(found), "count": found.total(), "is_more": found.total() == COUNTED_IN_PREVIEW}
