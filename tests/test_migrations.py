"""Migrations of a site in use: they block no one, and leave the tables as their writers need them."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import pytest
from django.db import IntegrityError, connection, migrations, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.state import StateApps
from django.db.models import Model
from django.utils import timezone

from sessions_app.database import migration_operations
from sessions_app.database.migration_operations import (
    AddIndexInUse,
    AddUniqueInUse,
    SetStorage,
    UpdateFew,
    UpdateInSteps,
    WidenToText,
)
from sessions_app.event_log import queries, sql
from sessions_app.models import JournalEntry, Message, Session, Signal, Worker
from tests.support.stored import default_policy

FIRST = "0007"  # of sites that are in use; what came before was never run on one
STOPPED = {"0008_journal_by_message", "0024_journal_in_order"}  # those for which a site is stopped, as they say
CONCURRENT = (AddIndexInUse, AddUniqueInUse)
# On a table that exists: they need no lock for longer than a moment, and rewrite nothing.
HARMLESS = (
    AddIndexInUse, AddUniqueInUse, SetStorage, UpdateFew, UpdateInSteps, WidenToText,
    migrations.CreateModel, migrations.DeleteModel, migrations.RemoveIndex, migrations.RemoveConstraint,
    migrations.RemoveField, migrations.AlterModelOptions,
)  # fmt: skip

only_postgres = pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL's storage")


def of_ours() -> Iterator[Migration]:
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app == "sessions_app" and name >= FIRST and name not in STOPPED:
            yield migration


def harmful(migration: Migration) -> list[str]:
    """Return a migration's operations that block a site's readers or writers."""
    new = {operation.name_lower for operation in migration.operations if isinstance(operation, migrations.CreateModel)}
    found = []
    for operation in migration.operations:
        if isinstance(operation, HARMLESS) or getattr(operation, "model_name", "").lower() in new:
            continue
        # A column with a constant default, or none, is added without a rewrite.
        if isinstance(operation, migrations.AddField):
            field = operation.field
            if not (field.has_default() and callable(field.default)):
                continue
        if isinstance(operation, migrations.AlterField) and leaves_the_column(operation, migration):
            continue
        found.append(operation.describe())
    if migration.atomic and any(isinstance(operation, CONCURRENT) for operation in migration.operations):
        found.append("adds an index concurrently within a transaction")
    return found


def leaves_the_column(operation: migrations.AlterField, migration: Migration) -> bool:
    """Return whether an altered field differs to Django alone: a validator, a help text."""
    old, new = (
        apps.get_model("sessions_app", operation.model_name)._meta.get_field(operation.name)
        for apps in around(migration)
    )
    return not connection.schema_editor()._field_should_be_altered(old, new)


@cache
def around(migration: Migration) -> tuple[StateApps, StateApps]:
    """Return the models before and after a migration."""
    before = MigrationLoader(None).project_state(migration.dependencies)  # type: ignore[arg-type]
    return before.apps, migration.mutate_state(before).apps


@pytest.fixture(autouse=True)
def newest(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the tables as all other tests need them."""
    mark = request.node.get_closest_marker("django_db")
    migrates = bool(mark and mark.kwargs.get("transaction"))
    if migrates:
        request.getfixturevalue("transactional_db")  # which ends after this
    yield
    if migrates:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())


def test_migrations_block_no_reader_or_writer() -> None:
    assert {migration.name: harmful(migration) for migration in of_ours()} == {
        migration.name: [] for migration in of_ours()
    }


def test_a_blocking_migration_is_detected() -> None:
    earlier = import_module("sessions_app.migrations.0004_signals_and_runs").Migration("0004", "sessions_app")
    assert "Create index run_session_status on field(s) session, status of model run" in harmful(earlier)


@pytest.mark.django_db(transaction=True)
def test_migrations_run_back_and_forth_and_after_a_failed_attempt() -> None:
    migrate("0006_publishing")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # half an index has its name already
            cursor.execute("CREATE INDEX session_policy_created ON sessions_app_session (owner)")
    migrate("0008_journal_by_message")
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Session._meta.db_table)
    assert found["session_policy_created"]["columns"] == ["policy_id", "created_at"]


@pytest.mark.django_db(transaction=True)
def test_the_journal_is_migrated() -> None:
    before = migrate("0007_indexes_and_storage")
    policy = before.get_model("sessions_app", "RetentionPolicy").objects.create(name="Any", hours=1)
    session = before.get_model("sessions_app", "Session").objects.create(owner="user:1", policy=policy)
    now, journal = timezone.now(), before.get_model("sessions_app", "JournalEntry").objects
    messages = before.get_model("sessions_app", "Message").objects
    for number, uid in enumerate(("m_1", "m_2")):
        messages.create(
            session=session, uid=uid, first_serial=number, last_serial=number, created_at=now, updated_at=now
        )
        journal.create(session=session, serial=10 + number, uid=uid, event=uid)
    journal.create(session=session, serial=20, uid="m_none", event="of no message")
    migrate("0008_journal_by_message")
    assert list(JournalEntry.objects.order_by("serial").values_list("message__uid", "serial", "event")) == [
        ("m_1", 10, "m_1"), ("m_2", 11, "m_2"),
    ]  # fmt: skip
    JournalEntry.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_the_journal_is_linked_and_read_the_same_both_ways() -> None:
    before = migrate("0023_words")
    policy = before.get_model("sessions_app", "RetentionPolicy").objects.create(name="Any", hours=1)
    sessions = before.get_model("sessions_app", "Session").objects
    messages = before.get_model("sessions_app", "Message").objects
    journal = before.get_model("sessions_app", "JournalEntry").objects
    now, state = timezone.now(), '{"text":{"t":0},"reasoning":{},"tools":{}}'
    parts, marks = '[{"type":"text","text":"","state":"streaming"}]', "[[1,1]]"
    written = [
        messages.create(
            session=sessions.create(owner="user:1", policy=policy), uid="m", role="assistant", status="streaming",
            parts=parts, open=state, marks=marks, first_serial=1, last_serial=1, created_at=now, updated_at=now,
        )
        for _ in range(2)
    ]  # fmt: skip
    for serial in (2, 3, 4):
        for message in written:
            chunk = {"type": "text-delta", "id": "t", "delta": f"{serial} "}
            event = json.dumps({"serial": serial, "message": "m", "chunk": chunk})
            journal.create(message=message, serial=serial, event=event)
    migrate("0024_journal_in_order")
    for message in written:
        assert [serial for serial, _ in queries.journal_after(message.session_id, 0)] == [2, 3, 4]
        found = queries.message(message.session_id, "m")
        assert found is not None and found.parts[0]["text"] == "2 3 4 "
    Message.objects.filter(pk=written[0].pk).update(last_serial=3)  # folded up to there
    migrate("0023_words")
    assert sorted(journal.values_list("message", "serial")) == [
        (written[0].pk, 4), *((written[1].pk, serial) for serial in (2, 3, 4)),
    ]  # fmt: skip
    JournalEntry.objects.all().delete()
    sessions.all().delete()
    policy.delete()


@pytest.mark.django_db(transaction=True)
def test_sessions_being_removed_remain_so() -> None:
    """Both ways: such a session has no owner on one side and a date on the other."""
    before = migrate("0010_policy_hours")
    policy = before.get_model("sessions_app", "RetentionPolicy").objects.create(name="Any", hours=24)
    sessions = before.get_model("sessions_app", "Session").objects
    kept, removed = (sessions.create(owner=owner, policy=policy).pk for owner in ("user:1", ""))
    after = migrate("0012_session_removed_index").get_model("sessions_app", "Session").objects
    assert set(after.filter(removed_at=None).values_list("pk", flat=True)) == {kept}
    assert set(after.exclude(removed_at=None).values_list("pk", flat=True)) == {removed}
    later = after.create(owner="user:2", policy_id=policy.pk, removed_at=timezone.now()).pk
    migrate("0010_policy_hours")
    assert dict(sessions.values_list("pk", "owner")) == {kept: "user:1", removed: "", later: ""}
    sessions.all().delete()
    policy.delete()


@pytest.mark.django_db(transaction=True)
def test_ids_of_calls_become_longer_without_a_rewrite_and_shorter_again() -> None:
    before = migrate("0017_run_batches")
    policy = before.get_model("sessions_app", "RetentionPolicy").objects.create(name="Any", hours=24)
    session = before.get_model("sessions_app", "Session").objects.create(owner="user:1", policy=policy)
    signals = before.get_model("sessions_app", "Signal").objects
    signals.create(session=session, uid="signal_1", kind="tool-result", target="t" * 256, serial=1, last_serial=1)
    files = storage_of(Signal)
    migrate("0018_call_ids")
    assert storage_of(Signal) == files
    assert signals.get().target == "t" * 256
    signals.update(target="x" * 8192)
    assert signals.get().target == "x" * 8192
    migrate("0017_run_batches")
    assert signals.get().target[:256] == "x" * 256
    session.delete()
    policy.delete()


@pytest.mark.django_db(transaction=True)
def test_sessions_get_external_ids_without_a_rewrite_and_lose_them_again() -> None:
    before = migrate("0024_journal_in_order")
    policy = before.get_model("sessions_app", "RetentionPolicy").objects.create(name="Any", hours=24)
    sessions = before.get_model("sessions_app", "Session").objects
    old = sessions.create(owner="user:1", policy=policy).pk
    files = storage_of(Session)
    migrate("0025_external_ids")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # half an index has its name already
            cursor.execute("CREATE INDEX session_external_id ON sessions_app_session (owner)")
    migrate("0026_external_ids_unique")
    assert storage_of(Session) == files
    sessions.create(owner="user:1", policy=policy)  # by a process of the release before
    assert set(Session.objects.values_list("external_id", flat=True)) == {None}
    Session.objects.filter(pk=old).update(external_id="a")
    with pytest.raises(IntegrityError), transaction.atomic():
        Session.objects.exclude(pk=old).update(external_id="a")
    migrate("0024_journal_in_order")
    assert sessions.count() == 2
    sessions.all().delete()
    policy.delete()


def storage_of(model: type[Model]) -> object:
    """Return the name of a table's file on PostgreSQL, which changes if it is written again; None on SQLite."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT relfilenode FROM pg_class WHERE oid = %s::regclass", [model._meta.db_table])
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_messages_follow_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps that are smaller than the table, and again after a failed attempt, in which some have got theirs."""
    monkeypatch.setattr(migration_operations, "STEP", 2)
    before = migrate("0019_approval_attempt")
    policy = before.get_model("sessions_app", "RetentionPolicy").objects.create(name="Any", hours=24)
    now, messages = timezone.now(), before.get_model("sessions_app", "Message").objects
    for owner in ("user:1", "user:2"):
        session = before.get_model("sessions_app", "Session").objects.create(owner=owner, policy=policy)
        for number in (9, 2, 5):
            messages.create(
                session=session, uid=f"m_{number}", role="user", status="complete", parts=f"[{number}]",
                first_serial=number, last_serial=number + 1, created_at=now, updated_at=now,
            )  # fmt: skip
    migrate("0020_message_parents")
    Message.objects.filter(uid="m_5").update(parent="m_2")
    for _ in range(2):
        migrate("0021_parents_by_order")
        rows = Message.objects.order_by("session", "first_serial").values_list("uid", "parent", "last_serial", "parts")
        assert list(rows) == 2 * [("m_2", None, 3, "[2]"), ("m_5", "m_2", 6, "[5]"), ("m_9", "m_5", 10, "[9]")]
        assert set(Message.objects.values_list("continues", "replaced_by", "session__leaf")) == {(None, None, None)}
        migrate("0019_approval_attempt")
    assert messages.count() == 6
    before.get_model("sessions_app", "Session").objects.all().delete()
    policy.delete()


@only_postgres
@pytest.mark.django_db
def test_a_tail_update_writes_no_index() -> None:
    clear(Session)
    policy = default_policy()
    sessions = Session.objects.bulk_create(Session(owner="user:1", policy=policy) for _ in range(200))
    before = updates(Session)
    with transaction.atomic():
        sql.advance_tails([(session.pk, 7, 3, 9) for session in sessions])
    assert updates(Session) - before == {"rows": 200, "without an index": 200}


@only_postgres
@pytest.mark.django_db
def test_a_lease_renewal_writes_no_index() -> None:
    clear(Worker)
    workers = Worker.objects.bulk_create(Worker(name="w", producer=f"p{n}", epoch=1) for n in range(50))
    before = updates(Worker)
    sql.beat_producers({worker.pk for worker in workers})
    assert updates(Worker) - before == {"rows": 50, "without an index": 50}


def migrate(name: str) -> StateApps:
    """Return the models as they are then."""
    executor = MigrationExecutor(connection)
    return executor.migrate([("sessions_app", name)]).apps


def clear(model: type[Model]) -> None:
    """Remove earlier tests' leftovers from the pages of its table."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")


def updates(model: type[Model]) -> Counter[str]:
    """Return this connection's updated rows of a table, and those of them that needed no index entry.

    What its earlier transactions changed counts too, until PostgreSQL moves it to the shared statistics, which it
    does between transactions only: within one, the difference of two counts is exact.
    """
    with connection.cursor() as cursor:
        counts = (
            "SELECT pg_stat_get_xact_tuples_updated(%s::regclass), pg_stat_get_xact_tuples_hot_updated(%s::regclass)"
        )
        cursor.execute(counts, [model._meta.db_table] * 2)
        rows, hot = cursor.fetchone()
    return Counter({"rows": rows, "without an index": hot})
