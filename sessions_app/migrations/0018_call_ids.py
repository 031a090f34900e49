"""Ids of tool calls, and tools' names, of up to 8 KiB; until now of 256 and 128 characters.

They are in no index: what looks for a call knows its run.
"""

from django.db import migrations, models

from sessions_app.database.migration_operations import WidenToText


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0017_run_batches")]
    operations = [
        WidenToText("approval", "call", models.TextField(help_text="The tool call's id.")),
        WidenToText("approval", "tool", models.TextField()),
        WidenToText(
            "signal", "target", models.TextField(blank=True, help_text="The approval or tool call that it is about.")
        ),
    ]
