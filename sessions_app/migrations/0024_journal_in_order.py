"""The journal in the order of commits: a session names its last row, and each row the one before it, instead of an index.

What is in it goes along. Servers of before neither link what they write nor know what is folded: stop them first. It is
undone only while nothing is being written.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

BLOCK = 1 << 20  # ids of one transaction: more than it has room for
LINK = (
    "UPDATE sessions_app_journalentry SET previous = linked.previous FROM (SELECT j.id, coalesce(lag(j.id) OVER"
    " (PARTITION BY m.session_id ORDER BY j.serial), 0) AS previous FROM sessions_app_journalentry j"
    " JOIN sessions_app_message m ON m.id = j.message_id) AS linked WHERE sessions_app_journalentry.id = linked.id"
)
NAME_THE_LAST = (
    "UPDATE sessions_app_session SET journal = last.id FROM (SELECT m.session_id, max(j.id) AS id"
    " FROM sessions_app_journalentry j JOIN sessions_app_message m ON m.id = j.message_id GROUP BY m.session_id) AS last"
    " WHERE sessions_app_session.id = last.session_id"
)
FORGET_THE_FOLDED = (
    "DELETE FROM sessions_app_journalentry WHERE NOT EXISTS (SELECT 1 FROM sessions_app_message m"
    " WHERE m.id = message_id AND m.status = 'streaming' AND m.last_serial < serial)"
)


def give_blocks(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _step_by(BLOCK, schema_editor)


def give_single_ids(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _step_by(1, schema_editor)


def _step_by(ids: int, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "DO $$ BEGIN EXECUTE 'ALTER SEQUENCE ' || pg_get_serial_sequence('sessions_app_journalentry', 'id')"
            f" || ' INCREMENT BY {ids}'; END $$"
        )


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0023_words"),
    ]

    operations = [
        migrations.AddField(
            "journalentry",
            "previous",
            models.BigIntegerField(
                db_default=0, help_text="Id of the row before, in the same session. That one may be gone."
            ),
        ),
        migrations.AddField(
            "session",
            "journal",
            models.BigIntegerField(
                db_default=0, default=0, editable=False, help_text="Id of its last row in the journal."
            ),
        ),
        migrations.RunSQL([LINK, NAME_THE_LAST], FORGET_THE_FOLDED),
        migrations.RunPython(give_blocks, give_single_ids),
        migrations.RemoveConstraint("journalentry", "journal_serial_in_message"),
        migrations.AlterField(
            "journalentry",
            "message",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="journal",
                to="sessions_app.message",
            ),
        ),
    ]
