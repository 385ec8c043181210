from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LocationsConfig(AppConfig):
    name = "apps.locations"
    label = "locations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(ensure_own_locations, sender=self)


def ensure_own_locations(using: str, **_: object) -> None:
    from apps.locations.services import ensure_own_locations as ensure

    if using == "default":
        ensure()
