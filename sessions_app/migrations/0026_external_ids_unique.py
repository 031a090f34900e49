"""External ids of sessions are unique per owner."""

from django.db import migrations, models

from sessions_app.database.migration_operations import AddUniqueInUse


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sessions_app", "0025_external_ids")]
    operations = [
        AddUniqueInUse(
            "session",
            models.UniqueConstraint(
                condition=models.Q(external_id__isnull=False, removed_at__isnull=True),
                fields=("owner", "external_id"),
                name="session_external_id",
            ),
        ),
    ]
