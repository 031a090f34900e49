"""An index of the sessions that are being removed, for purges."""

from django.db import migrations, models

from sessions_app.database.migration_operations import AddIndexInUse


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sessions_app", "0011_session_removed_at")]
    operations = [
        AddIndexInUse(
            model_name="session",
            index=models.Index(
                fields=["removed_at"], condition=models.Q(removed_at__isnull=False), name="session_removed"
            ),
        ),
    ]
