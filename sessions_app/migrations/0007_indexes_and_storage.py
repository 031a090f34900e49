"""An index for purges, and how PostgreSQL keeps the tables that are written all the time.

Every commit moves the tails of its sessions, every batch of a producer elsewhere is noted in its run, and workers beat:
none of these columns is in an index, so that with room in its page a row's next version costs no index an entry, and
the old one is cleared without a vacuum. A group may move all sessions of a page at once: hence half a page.

The journal's rows live for seconds. Vacuumed as soon as some thousands are dead, whatever the table's size, and
without pauses, it stays as large as what is written between two rounds of autovacuum (a minute). Its end is not cut
off: that takes a lock which writers would wait for, and the next minute needs the room again.
"""

from django.db import migrations, models

from sessions_app.database.migration_operations import AddIndexInUse, SetStorage


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("sessions_app", "0006_publishing"),
    ]

    operations = [
        AddIndexInUse(
            model_name="session",
            index=models.Index(fields=["policy", "created_at"], name="session_policy_created"),
        ),
        migrations.AlterModelOptions(name="message", options={"ordering": ["session_id", "first_serial"]}),
        migrations.AlterModelOptions(name="signal", options={"ordering": ["session_id", "serial"]}),
        SetStorage("session", fillfactor=50),
        SetStorage("worker", fillfactor=50),
        SetStorage("run", fillfactor=80),
        SetStorage(
            "journalentry",
            autovacuum_vacuum_scale_factor=0,
            autovacuum_vacuum_threshold=5000,
            autovacuum_vacuum_cost_delay=0,
            vacuum_truncate=False,
        ),
    ]
