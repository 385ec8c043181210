"""Places in the staff site: list, add, change, test, try, switch off. Each act calls a service.

Permission comes before everything, so that whoever may not look cannot tell which places exist. Before anything is
saved a place can be tested and tried with somebody's identity (trying.py); that look stands in the log with its purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from apps.locations import policy, services, trying
from apps.locations.contract import Connector, Health, Recognises
from apps.locations.errors import HorizonTooLong
from apps.locations.forms import LocationForm, SealedSecrets, SearchIdentityForm, merged_config, written_secrets
from apps.locations.labels import horizon_words, staff_label, state_of
from apps.locations.models import Location
from apps.locations.registry import configurable_kinds, connector_class
from apps.locations.said import read

View = Callable[..., HttpResponse]


@admin.register(Location)
class LocationAdmin(ModelAdmin):
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a place that ever held data is never forgotten, only switched off

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "": (self.places, "changelist"),
            "add/": (_sent_freshly(self.add_place), "add"),
            "<uuid:pk>/change/": (_sent_freshly(self.change_place), "change"),
            "<uuid:pk>/check/": (self.check_place, "check"),
            "<uuid:pk>/switch/": (_sent_freshly(self.switch_place), "switch"),
            "<uuid:pk>/emptied/": (_sent_freshly(self.record_emptied), "emptied"),
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
            offered = [(name, connector.label, getattr(connector, "about", "")) for name, connector in kinds.items()]
            return self._show(request, "kinds", _("Add a place"), {"kinds": offered})
        return self._edit(request, Location(pk=uuid4(), kind=kind), {})

    def change_place(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        self._check(self.has_view_permission(request))
        location = get_object_or_404(Location, pk=pk)
        if location.kind not in configurable_kinds() or not self.has_change_permission(request):
            return self._show(request, "place", staff_label(location), self._about(request, location))
        return self._edit(request, location, services.config_of(location))

    def _edit(self, request: HttpRequest, location: Location, config: dict[str, Any]) -> HttpResponse:
        """Show and take the form of a kind. "Test" asks the place, "Count" tries it with an identity; neither saves."""
        connector = connector_class(location.kind)
        data = request.POST or None
        before, stored = location.horizon_reason, config
        config_form = connector.ConfigForm(data, initial=_without_secrets(connector, config), prefix="config")
        is_trial = data is not None and ("test" in data or "try" in data)
        is_saved = data is not None and not (is_trial or _presses(config_form, data))
        form = _location_form(data, location, is_saved=is_saved)
        search = SearchIdentityForm(data if data and "try" in data else None, prefix="search")
        sealed = SealedSecrets(location.kind, request.user.pk, config_form)
        present = sealed.open(data, config) if data else config
        shown: dict[str, Any] = {}
        for secret in sealed.dropped(data, config, present) if data else ():
            said = _("%(secret)s: what you wrote was for another address and is not sent to this one. Write it again.")
            messages.warning(request, said % {"secret": secret})
        if data and (offered := _offered(config_form, present)):
            config_form, secrets = offered
            shown["sealed_secrets"] = sealed.seal(config_form, secrets)
        elif data and (is_trial or form.is_valid()) and config_form.is_valid():
            try:
                config = merged_config(config_form, present)
            except ValidationError as error:
                config_form.add_error(None, error)
            else:
                if "test" in data:
                    shown["tested"] = services.test_config(location.kind, config)
                elif "try" in data:
                    shown["preview"] = _preview(request, location, config, search)
                elif self._save(request, form, config):
                    # a fragment of its own: without one the browser keeps #try of the test before
                    return redirect(f"{reverse('admin:locations_location_change', args=[location.pk])}#state")
                shown["summary"] = trying.summary_of(connector(config))
                shown["sealed_secrets"] = sealed.seal(config_form, config)
        elif data:  # a mistake somewhere: what secret was written is carried on, sealed, and not asked for again
            shown["sealed_secrets"] = sealed.seal(config_form, written_secrets(config_form, present))
        elif config:
            shown["summary"] = trying.summary_of(connector(config))
        if config:
            shown["doubts"] = trying.doubts_of(connector(config), location.kind)
        if config and not search.is_bound:
            search.initial = _first_kind(connector(config))
        _say_what_stays(config_form, stored)
        if is_saved:  # the page is long, and what is marked may be far down
            messages.error(request, _("Not saved: what is wanted is marked below."))
        tested: Health | None = shown.get("tested")
        days = tested.horizon_days if tested else location.horizon_days
        context = self._about(request, location) | shown | {
            "is_trial": is_trial, "form": form, "config_form": config_form, "search": search, "is_new": location._state.adding,
            "identity_kinds": trying.USUAL_KINDS, "tested_horizon": horizon_words(tested.horizon_days) if tested else "",
            "tested_policy": policy.words(days) if tested else "",
            "asks_reason": bool(before) or policy.is_too_long(days) or bool(form["horizon_reason"].errors),
        }  # fmt: skip
        title = str(connector.label) if location._state.adding else location.name
        return self._show(request, "edit", title, context)

    def _save(self, request: HttpRequest, form: LocationForm, config: dict[str, Any]) -> bool:
        """Save a place after asking it; False when the policy refuses it, which the form then says."""
        location = form.save(commit=False)
        health = services.test_config(location.kind, config)
        try:
            services.save_location(location, config=config, actor=_actor(request), health=health)
        except HorizonTooLong:
            said = policy.words(health.horizon_days)
            form.add_error(
                "horizon_reason", _("%(said)s Write why it is used anyway, or change the place.") % {"said": said}
            )
            return False
        _tell(request, _("Saved. This place takes part in every request from now on."), location, health)
        return True

    def check_place(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        location = self._posted(request, pk)
        health = services.check_location(location, actor=_actor(request))
        _tell(request, _("The place was asked."), location, health)
        return redirect(f"{reverse('admin:locations_location_change', args=[pk])}#state")

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
            "health": read(location.health),
            "horizon": horizon_words(location.horizon_days),
            "policy": policy.words(location.horizon_days, reason=location.horizon_reason)
            if location.checked_at
            else "",
            "is_own": location.kind not in configurable_kinds(),
            "may_change": self.has_change_permission(request),
        }

    def _show(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
        framed = self.admin_site.each_context(request) | {"title": title} | context
        return render(request, f"admin/locations/{template}.html", framed)


def _sent_freshly(view: View) -> View:
    """Take what is sent to a view from somebody who has signed in a short while ago; else ask for that first."""
    fresh: View = import_string(settings.FRESH_SIGN_IN)(view)

    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return fresh(request, **kwargs) if request.method == "POST" else view(request, **kwargs)

    return checked


def kind_label(kind: str) -> str:
    """Say what kind of place it is."""
    return str(getattr(connector_class(kind), "label", _("Our own")))


def _actor(request: HttpRequest) -> Any:
    return request.actor  # type: ignore[attr-defined]


def _tell(request: HttpRequest, done: str, location: Location, health: Health) -> None:
    """Say that it is done; what the check found stands on the page that follows, once."""
    is_fine = health.is_reachable and not health.problems
    if is_fine and not policy.words(health.horizon_days, reason=location.horizon_reason):
        messages.success(request, done)
    else:
        messages.warning(request, _("%(done)s What stands in the way is said below.") % {"done": done})


def _say_what_stays(form: forms.Form, config: dict[str, Any]) -> None:
    """Say at the field of each secret that is kept what leaving it empty does."""
    said = _("Empty: the one that is there stays.")
    for name in getattr(form, "secrets", ()):
        if config.get(name):
            form.fields[name].help_text = f"{form.fields[name].help_text} {said}"


def _without_secrets(connector: Any, config: dict[str, Any]) -> dict[str, Any]:
    secrets = getattr(connector.ConfigForm, "secrets", ())
    return {name: value for name, value in config.items() if name not in secrets}


def _location_form(data: QueryDict | None, location: Location, *, is_saved: bool) -> LocationForm:
    """Return the form of what people read about a place. While it is only tried, nothing of it is wanted yet."""
    if data is None or is_saved:
        return LocationForm(data, instance=location)
    return LocationForm(instance=location, initial=data.dict())


def _presses(form: Any, data: QueryDict | None) -> bool:
    """Say whether a button of the kind's own form was pressed."""
    return any(name in (data or {}) for name, _words in getattr(form, "blocks_buttons", ()))


def _offered(form: Any, present: dict[str, Any]) -> tuple[forms.Form, dict[str, Any]] | None:
    """Return the form that a button of the kind's own form leads to, with the secrets to carry; None: none was pressed."""
    offer = getattr(form, "offered", None)
    return offer(present) if offer else None


def _first_kind(connector: Connector) -> dict[str, Any]:
    """Return with which kind of identity to begin, where the place does not know people by the usual one."""
    kinds = connector.identity_kinds() if isinstance(connector, Recognises) else set()
    return {"kind": min(kinds)} if kinds and SearchIdentityForm.base_fields["kind"].initial not in kinds else {}


def _preview(
    request: HttpRequest, location: Location, config: dict[str, Any], search: SearchIdentityForm
) -> trying.Preview | None:
    """Log the look, then count."""
    if not search.is_valid():
        return None
    kind, value, purpose = (search.cleaned_data[name] for name in ("kind", "value", "purpose"))
    services.look_by_identity(location, kind, value, purpose=purpose, actor=_actor(request))
    return trying.preview(connector_class(location.kind)(config), kind, value)
