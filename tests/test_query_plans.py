"""Query plans: frequent queries use indexes alone, so that their cost does not grow with the rest of the database."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import connection, transaction
from django.utils import timezone

from sessions_app import conf
from sessions_app.auth.identity import Identity
from sessions_app.event_log import queries as store
from sessions_app.event_log import quota
from sessions_app.event_log import sql as statements
from sessions_app.http import own_sessions
from sessions_app.models import Approval, JournalEntry, Message, Run, Session, Signal, Worker, new_id
from sessions_app.retention import journal
from sessions_app.retention import purge as retention
from sessions_app.runs import claims, inbox, leases, lifecycle, signal_handlers
from tests.support.stored import default_policy, hours_ago

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = "guest:1"
SESSIONS, OF_EACH, OF_ONE = 1000, 4, 2000
TABLES = {model._meta.db_table for model in (Approval, JournalEntry, Message, Run, Session, Signal)}
SORTED = 300  # rows that a query may sort at most: a page, or what is open in one session

Plan = dict[str, Any]


@pytest.fixture
def large() -> Session:
    """A large session in a database with many others, most of them of other owners."""
    policy, now = default_policy(), timezone.now()
    many = [
        Session(
            owner=OWNER if n % 50 == 0 else f"guest:{n}",
            external_id=f"chat-{n}" if n % 2 else None,
            policy=policy,
            active_at=now - timedelta(seconds=n),
        )
        for n in range(SESSIONS)
    ]
    Session.objects.bulk_create(many)
    live = Worker.objects.create(name="live")
    Worker.objects.bulk_create(Worker(name="dead", alive=False) for _ in range(1000))
    with transaction.atomic():
        fill([(each, OF_EACH if n else OF_ONE, live if n % 50 == 0 else None) for n, each in enumerate(many)])
    if connection.vendor == "postgresql":  # by itself, it does so after a minute; SQLite never does
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM FULL {', '.join(sorted(TABLES))}")  # without the dead rows of other tests
            cursor.execute("ANALYZE")
    return many[0]


def fill(contents: list[tuple[Session, int, Worker | None]]) -> None:
    """Give sessions messages, signals and ended runs, and one response that is being written if there is a worker."""
    now = timezone.now()
    messages = Message.objects.bulk_create(
        Message(
            session=session, uid=f"m_{serial}", role="user",
            status="streaming" if worker and serial == count else "complete",
            first_serial=serial, last_serial=serial, created_at=now, updated_at=now,
        )
        for session, count, worker in contents
        for serial in range(1, count + 1)
    )  # fmt: skip
    sent = Signal.objects.bulk_create(
        Signal(session=session, uid=f"s_{n}", kind="steer", actor=OWNER, status="applied", serial=n, last_serial=n)
        for session, count, _ in contents
        for n in range(1, count + 1)
    )
    ended = [
        Run(session=cause.session, status="ended", agent="demo", ended_at=now, cause=cause)
        for cause in sent
        if cause.serial > 1
    ]
    running = [
        Run(session=session, status="running", agent="demo", worker=worker) for session, _, worker in contents if worker
    ]
    Run.objects.bulk_create([*ended, *running])
    Approval.objects.bulk_create(
        Approval(session=run.session, run=run, uid=f"a_{n}", call="call", tool="mail", input="{}", status="expired")
        for n, run in enumerate(ended)
    )
    for message in messages:
        if message.status == "streaming":
            write_journal(message, 200)


def write_journal(message: Message, events: int) -> None:
    session, last = message.session, JournalEntry.objects.count()
    JournalEntry.objects.bulk_create(
        JournalEntry(
            id=last + n + 1,
            message=message,
            serial=message.last_serial + n + 1,
            event=event_of(message),
            previous=last + n if n else session.journal,
        )
        for n in range(events)
    )
    session.journal = last + events
    session.save(update_fields=["journal"])


def event_of(message: Message) -> str:
    return orjson.dumps({"serial": 0, "message": message.uid, "chunk": {"type": "start-step"}}).decode()


# What is asked. Each is given the large session.


def attach(session: Session) -> None:
    store.view(session.pk, OWNER, changed_after=None, limit=conf.settings.history_default)


def resume(session: Session) -> None:
    store.view(session.pk, OWNER, changed_after=OF_ONE - 20, limit=conf.settings.history_max)


def history(session: Session) -> None:
    store.history(session.pk, limit=50)
    store.history(session.pk, limit=50, before=OF_ONE // 2)
    store.history(session.pk, limit=50, after=OF_ONE // 2)


def history_of_signals(session: Session) -> None:
    store.signal_history(session.pk, limit=50)
    store.signal_history(session.pk, limit=50, before=OF_ONE // 2)
    store.signal_history(session.pk, limit=50, after=OF_ONE // 2)


def mend(session: Session) -> None:
    store.journal_after(session.pk, OF_ONE + 2)


def check_tails(session: Session) -> None:
    store.tails([session.pk, *(new_id() for _ in range(9))])


def commit(session: Session) -> None:
    run = Run.objects.filter(session=session, status="running").get()
    with transaction.atomic():
        statements.lock_sessions({session.pk})
        statements.fenced_runs({(run.pk, run.worker_id or "")})
        statements.existing_messages({(session.pk, "m_7"), (session.pk, "m_new")})
        statements.advance_tails([(session.pk, OF_ONE + 9, session.journal, 50)])
        statements.note_runs([], {new_id()})


def end_a_response(session: Session) -> None:
    found = store.keyed_message(session.pk, f"m_{OF_ONE - 1}")
    assert found
    with transaction.atomic():
        statements.conflate([(found[0], found[2])], timezone.now())


def begin_runs(session: Session) -> None:
    worker = Run.objects.running().values_list("worker", flat=True).first() or ""
    claims.claimable_sessions(20, worker)
    for run in lifecycle.at_work(session.pk):
        claims._may_claim(run, worker, 20)
    signal_handlers._check_waiting(OWNER)
    quota.stored_bytes(OWNER)


def look_into_inboxes(session: Session) -> None:
    [(run, worker)] = {(run.pk, run.worker_id) for run in lifecycle.at_work(session.pk)}
    inbox._find([worker])
    inbox._read([run])
    inbox._expired([worker])
    inbox._running([worker])


def look_for_the_dead(session: Session) -> None:
    leases._beats("own")
    leases._orphans([])


def list_conversations(session: Session) -> None:
    list(Session.objects.visible().filter(owner=OWNER).order_by("-active_at")[:20])
    Session.objects.visible().filter(owner=OWNER).count()


def find_by_id(session: Session) -> None:
    own_sessions._find(Identity(OWNER), "chat-7")
    list(Session.objects.visible().filter(owner=OWNER, external_id="chat-7"))


def purge(session: Session) -> None:
    """Purge while nothing has expired."""
    retention.purge()


def trim_the_journal(session: Session) -> None:
    rows = JournalEntry.objects.filter(id__lte=100)
    list(journal._needed_by(rows))
    journal._remove(rows)


QUERIES = [
    attach, resume, history, history_of_signals, mend, check_tails, commit, end_a_response, begin_runs,
    look_into_inboxes, look_for_the_dead, list_conversations, find_by_id, purge, trim_the_journal,
]  # fmt: skip


def test_frequent_queries_use_an_index(large: Session) -> None:
    slow = {ask.__name__: found for ask in QUERIES if (found := problems(ask, large))}
    assert slow == {}


def test_a_purge_that_finds_rows_uses_an_index(large: Session) -> None:
    Session.objects.filter(pk__in=Session.objects.values("pk")[:20]).update(active_at=hours_ago(1000))
    assert problems(purge, large) == []


def problems(ask: Callable[[Session], None], session: Session) -> list[str]:
    with asked() as queries:
        ask(session)
    assert queries
    explain = explain_postgres if connection.vendor == "postgresql" else explain_sqlite
    return [f"{problem}: {sql}" for sql, values in queries.items() for problem in explain(sql, values)]


@contextmanager
def asked() -> Iterator[dict[str, Any]]:
    """Collect the explainable statements of this connection, each with its parameters."""
    queries: dict[str, Any] = {}

    def note(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
            queries[sql] = values[0] if many else values
        return execute(sql, values, many, context)

    with connection.execute_wrapper(note):
        yield queries


def explain_postgres(sql: str, values: Any) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("SET random_page_cost = 1.1")  # an SSD's: by a disk's, it rather reads tables as small as these
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", values)
        [[[plan]]] = cursor.fetchall()
    for node in nodes(plan["Plan"]):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in TABLES:
            yield f"reads all of {node['Relation Name']}"
        if node["Node Type"] == "Sort" and node["Plan Rows"] > SORTED:
            yield f"sorts {node['Plan Rows']} rows"


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def explain_sqlite(sql: str, values: Any) -> Iterator[str]:
    aliases = {alias: table for table, alias in re.findall(r"(?:FROM|JOIN) (\w+) (\w+)", sql)}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        details = [detail for *_, detail in cursor.fetchall()]
    for detail in details:
        scanned = detail.split()[1] if detail.startswith("SCAN ") else ""
        if aliases.get(scanned, scanned) in TABLES and " USING " not in detail:
            yield f"reads all of {scanned}"
