from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from apps.accounts.checks import no_sample_people, staff_have_a_second_step
        from apps.accounts.roles import make_roles
        from config.checks import real_deployment

        post_migrate.connect(make_roles, sender=self)
        checks.register(real_deployment, checks.Tags.security, deploy=True)
        checks.register(no_sample_people, checks.Tags.security, deploy=True)
        checks.register(staff_have_a_second_step, checks.Tags.security, deploy=True)
