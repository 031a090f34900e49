"""Sessions that are being removed say so, and keep their owner; until now their owner was empty."""

from django.db import migrations, models

from sessions_app.database.migration_operations import UpdateFew


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0010_policy_hours")]
    operations = [
        migrations.AddField(
            "session",
            "removed_at",
            models.DateTimeField(
                editable=False, help_text="When its removal began: hidden since then, and emptied in steps.", null=True
            ),
        ),
        UpdateFew(
            "UPDATE sessions_app_session SET removed_at = CURRENT_TIMESTAMP WHERE owner = ''",
            "UPDATE sessions_app_session SET owner = '' WHERE removed_at IS NOT NULL",
        ),
    ]
