from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("records", "0008_index_keys"),
    ]

    operations = [
        migrations.AddField(
            model_name="copypolicy",
            name="bring_back_at",
            field=models.DateTimeField(null=True),
        ),
    ]
