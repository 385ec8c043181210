"""Readable copies run only while two people want them: rules that one person set stand still until another agrees."""

from django.db import migrations, models
from django.db.models import F, Q


def stop_what_one_person_set(apps, schema_editor):
    policies = apps.get_model("records", "CopyPolicy").objects.using(schema_editor.connection.alias)
    policies.exclude(form="sealed").update(is_active=False)


class Migration(migrations.Migration):
    dependencies = [("records", "0006_suppression")]

    operations = [
        migrations.AlterModelOptions(
            name="copypolicy",
            options={
                "permissions": [("approve_copypolicy", "Can agree to readable copies as the second person")],
                "verbose_name_plural": "copy policies",
            },
        ),
        migrations.AddField("copypolicy", "proposed_by", models.UUIDField(null=True)),
        migrations.AddField("copypolicy", "approved_by", models.UUIDField(null=True)),
        migrations.AddField("copypolicy", "place_mac", models.BinaryField(max_length=32, null=True)),
        migrations.AddField("copyrun", "lease_until", models.DateTimeField(null=True)),
        migrations.RunPython(stop_what_one_person_set, migrations.RunPython.noop),
        migrations.AddConstraint(
            "copypolicy",
            models.CheckConstraint(
                name="records_readable_copies_take_two",
                condition=Q(form="sealed")
                | Q(is_active=False)
                | (Q(proposed_by__isnull=False, approved_by__isnull=False) & ~Q(proposed_by=F("approved_by"))),
            ),
        ),
    ]
