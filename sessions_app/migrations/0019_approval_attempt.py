"""Attempts of approved calls: a beginning that is stored twice, because a COMMIT's answer was lost, is known as one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0018_call_ids")]
    operations = [
        migrations.AddField(
            "approval",
            "attempt",
            models.CharField(
                editable=False,
                help_text="By which a repeated beginning of its execution is known.",
                max_length=22,
                null=True,
            ),
        ),
    ]
