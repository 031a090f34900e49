"""Without the validator of a policy's hours, whose bounds its `clean` checks. Nothing changes in the database."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0009_token_permissions")]
    operations = [migrations.AlterField("retentionpolicy", "hours", models.PositiveIntegerField())]
