"""Roles are groups with permissions. `migrate` makes them; what an operator adds to a group stays."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

COMPLIANCE, APPROVERS, AUDITORS, ADMINISTRATORS = "compliance", "approvers", "auditors", "administrators"

PERMISSIONS: dict[str, tuple[str, ...]] = {
    COMPLIANCE: (
        "requests.view_privacyrequest",
        "requests.review_privacyrequest",
        "requests.deliver_archive",
        "locations.view_location",
    ),
    APPROVERS: (
        "requests.view_privacyrequest",
        "requests.approve_erasure_second",
        "locations.view_location",
        "keys.view_epoch",
        "keys.decide_destruction",
        "records.view_copypolicy",
        "records.approve_copypolicy",
    ),
    AUDITORS: ("audit.view_entry",),
    ADMINISTRATORS: (
        "accounts.view_user",
        "accounts.add_user",
        "accounts.change_user",
        "locations.view_location",
        "locations.add_location",
        "locations.change_location",
        "keys.view_epoch",
        "keys.decide_destruction",
        "records.view_sweep",
        "records.add_sweep",
        "records.view_copypolicy",
        "records.add_copypolicy",
        "records.change_copypolicy",
        "records.approve_copypolicy",
        "records.view_source",
        "records.add_source",
        "records.change_source",
    ),
}
STAFF_ROLES = (COMPLIANCE, APPROVERS, ADMINISTRATORS)  # who opens /admin/


def make_roles(using: str = "default", **kwargs: Any) -> None:
    """Make the groups and give each its permissions; a repeat adds only what is missing. Runs after `migrate`."""
    if using != "default":
        return
    for label in {name.partition(".")[0] for names in PERMISSIONS.values() for name in names}:
        create_permissions(apps.get_app_config(label), verbosity=0, using=using)
    for group_name, names in PERMISSIONS.items():
        group, _ = Group.objects.using(using).get_or_create(name=group_name)
        group.permissions.add(*(_permission(name, using) for name in names))


def _permission(name: str, using: str) -> Permission:
    label, _, codename = name.partition(".")
    return Permission.objects.using(using).get(content_type__app_label=label, codename=codename)
