"""The journal by message: its index has a number where it had a session's id, and a third of the pages to write.

What was in it goes along. Servers of before can't write once this is done: stop them first. It is undone only while
nothing is being written.
"""

import django.db.models.deletion
from django.db import migrations, models

NAME_THE_MESSAGES = (
    "UPDATE sessions_app_journalentry SET message_id = (SELECT id FROM sessions_app_message m"
    " WHERE m.session_id = sessions_app_journalentry.session_id AND m.uid = sessions_app_journalentry.uid)"
)
FORGET_THE_REST = "DELETE FROM sessions_app_journalentry WHERE message_id IS NULL"


def of_a_message(*, null: bool = False) -> "models.ForeignKey[object, object]":
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        null=null,
        on_delete=django.db.models.deletion.CASCADE,
        related_name="journal",
        to="sessions_app.message",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0007_indexes_and_storage"),
    ]

    operations = [
        migrations.AddField("journalentry", "message", of_a_message(null=True)),
        migrations.RunSQL([NAME_THE_MESSAGES, FORGET_THE_REST], migrations.RunSQL.noop),
        migrations.RemoveConstraint("journalentry", "journal_serial_in_session"),
        migrations.AlterField("journalentry", "message", of_a_message()),
        migrations.AddConstraint(
            "journalentry",
            models.UniqueConstraint(fields=("message", "serial"), name="journal_serial_in_message"),
        ),
        migrations.RemoveField("journalentry", "session"),
        migrations.RemoveField("journalentry", "uid"),
    ]
