"""Rows by plain SQL: written and read as the ORM does it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model

from sessions_app.database import rows
from sessions_app.models import Message, Run, Session, Signal
from tests.support.stored import a_session

pytestmark = pytest.mark.django_db(transaction=True)

AT = datetime(2026, 12, 1, 3, 4, 5, 678901, UTC)
TEXT = "für %s 'alle' \"🎈\""


def a_signal(session: Session, uid: str, **fields: Any) -> Signal:
    values = {"kind": "message", "actor": TEXT, "serial": 2**40, "last_serial": 2, "created_at": AT, "changed_at": AT}
    return Signal(session=session, uid=uid, **values | fields)


def values_of(row: Model) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def all_read(model: type[Model]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {rows.columns(model, 'm')} FROM {model._meta.db_table} m ORDER BY m.id")
        found = cursor.fetchall()
    return [values_of(rows.read(model, row)) for row in found]


def test_rows_are_inserted_with_the_keys_that_the_database_makes(monkeypatch: Any) -> None:
    monkeypatch.setattr(rows, "PARAMETERS", 40)  # two rows in a statement
    session = a_session("user:1")
    signals = [a_signal(session, f"s_{n}", payload=TEXT, issued_by=None if n % 2 else TEXT) for n in range(5)]
    rows.insert(signals)
    assert [values_of(signal) for signal in Signal.objects.order_by("serial", "uid")] == list(map(values_of, signals))
    assert {signal._state.adding for signal in signals} == {False}
    signals[0].save()  # the ORM takes it for the stored row
    assert Signal.objects.count() == 5


def test_rows_are_inserted_with_keys_of_their_own() -> None:
    session = a_session("user:1")
    run = Run(session=session, agent="test", status=Run.Status.WAITING, started_at=AT)
    rows.insert([run])
    assert [values_of(stored) for stored in Run.objects.all()] == [values_of(run)]


def test_no_rows_are_no_statement() -> None:
    rows.insert([])
    assert not Message.objects.exists()


def test_rows_are_read_as_the_orm_reads_them() -> None:
    session = a_session("user:1")
    cause = a_signal(session, "s_1")
    rows.insert([cause])
    rows.insert([Run(session=session, agent="test", cause=cause, created_at=AT), Run(session=session, ended_at=AT)])
    for model in (Run, Signal, Session):
        assert all_read(model) == [values_of(row) for row in model._default_manager.order_by("pk")]


def test_an_update_writes_the_fields_that_are_named() -> None:
    session = a_session("user:1")
    kept, changed = a_signal(session, "s_1"), a_signal(session, "s_2")
    rows.insert([kept, changed])
    changed.status, changed.reason, changed.changed_at = Signal.Status.APPLIED, TEXT, datetime(2027, 1, 1, tzinfo=UTC)
    changed.code = "not_named"
    rows.update(changed, ("status", "reason", "changed_at"))
    stored = {signal.uid: signal for signal in Signal.objects.all()}
    assert values_of(stored["s_1"]) == values_of(kept)
    assert values_of(stored["s_2"]) == values_of(changed) | {"code": ""}
