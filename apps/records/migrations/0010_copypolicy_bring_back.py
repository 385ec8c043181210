from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("records", "0009_copypolicy_bring_back_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="copypolicy",
            name="bring_back",
            field=models.JSONField(default=dict),
        ),
    ]
