"""Parents of messages. Existing ones get theirs by their order, in small steps: nobody waits longer than for one."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from sessions_app.database.migration_operations import update_in_steps

FOLLOW_THE_ONE_BEFORE = (
    "UPDATE sessions_app_message SET parent = (SELECT uid FROM sessions_app_message AS earlier"
    " WHERE earlier.session_id = sessions_app_message.session_id"
    " AND earlier.first_serial < sessions_app_message.first_serial ORDER BY earlier.first_serial DESC LIMIT 1)"
    " WHERE id > %s AND id <= %s AND parent IS NULL"
)


def number_parents(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    update_in_steps(schema_editor, apps.get_model("sessions_app", "Message"), FOLLOW_THE_ONE_BEFORE)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sessions_app", "0012_session_removed_index")]
    operations = [
        migrations.AddField(
            "message",
            "parent",
            models.CharField(help_text="The id of the message that it follows.", max_length=64, null=True),
        ),
        migrations.AddField(
            "message",
            "continues",
            models.CharField(help_text="The id of the answer that it goes on with.", max_length=64, null=True),
        ),
        migrations.AddField(
            "message",
            "replaced_by",
            models.CharField(
                help_text="The id of the message that took its place; none while it is on show.",
                max_length=64,
                null=True,
            ),
        ),
        migrations.AddField(
            "run",
            "parent",
            models.CharField(
                help_text="The message that was last when the run was caused; see `place`.", max_length=64, null=True
            ),
        ),
        migrations.AddField(
            "session",
            "leaf",
            models.CharField(
                editable=False,
                help_text="What the next message follows: a message, or a response that is still to come.",
                max_length=64,
                null=True,
            ),
        ),
        migrations.RunPython(number_parents, migrations.RunPython.noop, atomic=False),
    ]
