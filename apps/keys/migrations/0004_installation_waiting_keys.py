from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('keys', '0003_installation_log_size'),
    ]

    operations = [
        migrations.AddField(
            model_name='installation',
            name='waiting_keys',
            field=models.PositiveIntegerField(default=0),
        ),
    ]
