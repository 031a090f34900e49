"""Sessions have an id of their owner's own, if it wants one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0024_journal_in_order")]
    operations = [
        migrations.AddField(
            "session",
            "external_id",
            models.CharField(
                editable=False, help_text="The owner's own id of it, if it has one.", max_length=128, null=True
            ),
        ),
    ]
