"""Observability of a running server: probes, metrics, log and traces of real traffic."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sessions_app import __version__
from sessions_app.models import Session
from tests import services
from tests.support.harness import DEADLINE_S, Server, StartServer, environment_of, manage, wait_for
from tests.support.person import Person
from tests.support.tcp_proxy import TcpProxy
from tests.support.trace_collector import TraceCollector

TOKEN = "a scraper's token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PHRASE = "xylophone-in-the-attic"  # what a person writes, and no log or trace may have


@pytest.fixture(scope="module")
def collector() -> Iterator[TraceCollector]:
    with TraceCollector() as collector:
        yield collector


@pytest.fixture(scope="module")
def server(start_shared_server: StartServer, collector: TraceCollector) -> Server:
    """A server with everything on, at its most talkative; the agent `ghost` isn't there, so that its runs fail."""
    return start_shared_server(
        HOLDFAST_METRICS_TOKEN=TOKEN,
        HOLDFAST_LOG_FORMAT="json",
        HOLDFAST_LOG_LEVEL="DEBUG",
        HOLDFAST_AGENTS="demo,ghost",
        HOLDFAST_DEMO_TOKENS_PER_S="5000",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="100",
    )


@pytest.fixture
async def person(server: Server) -> AsyncIterator[Person]:
    async with Person(server.url) as person:
        await person.connect()
        yield person


async def answered(person: Person, **fields: str) -> str:
    """A session in which something was asked and answered."""
    session = await person.create_session(**fields)
    await person.attach(session)
    signal = await person.say(session, PHRASE)
    await person.wait_for_end(session)
    await person.wait_status(session, signal, "applied", "rejected")
    return session


def metrics(server: Server, **headers: str) -> dict[tuple[str, ...], float]:
    """Return every sample: (name, label values in the order of their names) → value."""
    answer = httpx.get(f"{server.url}/metrics", headers=headers or BEARER, timeout=DEADLINE_S)
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def lines(server: Server) -> list[dict[str, Any]]:
    """The log, without what `runserver` says on its own to whoever started it."""
    said = ("System check", "Holdfast is at")
    return [json.loads(line) for line in server.log.splitlines() if not line.startswith(said)]


async def in_thread(function: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


async def wait_until(condition: Any) -> None:
    await in_thread(wait_for, condition, DEADLINE_S, lambda: "it did not come to that")


def probe(server: Server, path: str) -> tuple[int, str]:
    answer = httpx.get(f"{server.url}{path}", timeout=DEADLINE_S)
    return answer.status_code, answer.text


# Probes


def test_probes_are_answered_under_any_name(server: Server) -> None:
    by_address = {"Host": "10.1.2.3:8000"}
    assert httpx.get(f"{server.url}/", headers=by_address).status_code == 400
    for path, body in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
        answer = httpx.get(f"{server.url}{path}", headers=by_address)
        assert (answer.status_code, answer.text, answer.headers["Cache-Control"]) == (200, body, "no-store")
        assert httpx.head(f"{server.url}{path}").status_code == 200
        assert httpx.post(f"{server.url}{path}").status_code == 405


@pytest.mark.parametrize("command", ["runserver", "serve"])
def test_a_server_without_its_database_is_alive_and_not_ready(start_server: StartServer, command: str) -> None:
    server = start_server(command)
    assert probe(server, "/metrics")[0] == 404  # nobody has set a token
    table = Session._meta.db_table
    with sqlite3.connect(server.database.removeprefix("sqlite:///"), timeout=DEADLINE_S) as database:
        database.execute(f"ALTER TABLE {table} RENAME TO away")
        database.commit()
        assert probe(server, "/readyz") == (503, "the database can't be read\n")
        assert probe(server, "/healthz") == (200, "ok\n")
        database.execute(f"ALTER TABLE away RENAME TO {table}")
        database.commit()
    assert probe(server, "/readyz") == (200, "ready\n")


def test_a_server_without_redis_is_ready_and_says_so(start_server: StartServer) -> None:
    with services.redis() as url:
        server = start_server(HOLDFAST_REDIS=url)
        assert probe(server, "/readyz") == (200, "ready\n")
    late = "ready\nthe channel layer does not answer, so updates from other processes are late: ConnectionError\n"
    wait_for(lambda: probe(server, "/readyz") == (200, late), DEADLINE_S, lambda: str(probe(server, "/readyz")))


@pytest.mark.long
def test_a_server_whose_database_hangs_reports_it_in_time(start_server: StartServer, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("CREATE DATABASE hanging")
    port = int(postgres_url.rpartition(":")[2].partition("/")[0])
    with TcpProxy(port) as proxy:
        url = postgres_url.replace(f":{port}/postgres", f":{proxy.port}/hanging")
        manage("migrate", "--verbosity", "0", environment=environment_of(url, {}))
        server = start_server(database=url)
        assert probe(server, "/readyz") == (200, "ready\n")
        proxy.freeze()
        for _ in range(3):  # those that hang don't use up what the next one needs
            assert probe(server, "/readyz") == (503, "the database has not answered for 2 s\n")
        assert probe(server, "/healthz") == (200, "ok\n")
        proxy.thaw()
        wait_for(lambda: probe(server, "/readyz") == (200, "ready\n"), DEADLINE_S, lambda: server.log)


# Metrics


async def test_metrics_count_real_traffic(start_server: StartServer) -> None:
    server = start_server(HOLDFAST_METRICS_TOKEN=TOKEN, HOLDFAST_DEMO_TOKENS_PER_S="5000")
    async with Person(server.url) as person:
        await person.connect()
        session = await answered(person)
        tail = person.sessions[session].cursor.serial
        await person.attach(session, cursor="0123456789abcdef-1")
        # The last receipt is committed before its counters are seen: it was waited for.
        seen = await in_thread(metrics, server)
        assert seen["holdfast_stored_events_total",] == tail
        assert seen["holdfast_delivered_events_total",] == tail
        assert seen["holdfast_delivered_bytes_total",] == seen["holdfast_stored_bytes_total",] > 0
        assert seen["holdfast_signals_total", "message", "accepted"] == 1
        assert seen["holdfast_receipts_total", "message", "applied"] == 1
        assert seen["holdfast_runs_ended_total", "demo", "complete"] == 1
        assert seen["holdfast_run_seconds_count", "demo"] == seen["holdfast_run_wait_seconds_count",] == 1
        assert seen["holdfast_runs", "demo"] == seen["holdfast_ingest_waiting",] == 0
        assert seen["holdfast_catchups_total", "rewind", ""] == 1
        assert seen["holdfast_catchups_total", "reset", "epoch-changed"] == 1
        assert seen["holdfast_catchup_bytes_total", "reset"] > 100
        assert seen["holdfast_connections_opened_total", "websocket"] == 1
        assert seen["holdfast_connections", "live", "websocket"] == 1
        assert 0 < seen["holdfast_delivery_lag_seconds_count",] <= seen["holdfast_commit_seconds_count",]
        assert seen["holdfast_commits_failed_total",] == 0
        assert seen["holdfast_build_info", __version__] == 1
        assert seen["process_resident_memory_bytes",] > 1e6
        await person.disconnect()
        closed = "holdfast_connections_closed_total", "client", "websocket"
        await wait_until(lambda: metrics(server).get(closed) == 1)
        assert not [key for key in metrics(server) if key[0] == "holdfast_connections"]


@pytest.mark.parametrize("header", [{}, {"Authorization": TOKEN}, {"Authorization": "Bearer x"}, {"Cookie": TOKEN}])
def test_metrics_require_their_token(server: Server, header: dict[str, str]) -> None:
    answer = httpx.get(f"{server.url}/metrics", headers=header)
    assert answer.status_code == 403 and "holdfast_" not in answer.text
    assert httpx.get(f"{server.url}/metrics?token={TOKEN}").status_code == 403


async def test_clients_cannot_create_labels(server: Server, person: Person) -> None:
    session = await answered(person)
    await person.signal(session, 'x"} 1\nevil 1', {})
    before = await in_thread(metrics, server)
    for number in range(20):
        await person.signal(session, f"kind{number}", {})
        await person.attach(f"{number:022}")
        await person.attach(session, cursor=f"{number:016}-1")
    after = await in_thread(metrics, server)
    assert after["holdfast_signals_total", "unknown", "unknown_kind"] == 21
    gained = {key for key in after.keys() - before.keys() if key[0].startswith("holdfast_")}
    assert gained <= {("holdfast_catchups_total", "reset", "epoch-changed"), ("holdfast_catchup_bytes_total", "reset")}
    assert "evil" not in str(after)


# The log


async def test_log_lines_name_their_context(server: Server, person: Person) -> None:
    session = await answered(person, agent="ghost")
    connection_id = next(frame["connection"] for frame in person.frames if frame["type"] == "connected")
    failure = [line for line in lines(server) if line.get("session") == session and line["level"] == "ERROR"]
    assert len(failure) == 1
    [failed] = failure
    assert failed["logger"] == "agents_app.local.runner" and failed["run"] in failed["message"] and failed["worker"]
    assert failed["exception"].startswith("Traceback") and "\n" in failed["exception"]
    assert failed["process"].endswith(f":{server.pid}") and failed["time"].endswith("+00:00")
    await person.disconnect()
    await wait_until(
        lambda: any("a connection ended: client" in line["message"] for line in about(server, connection_id))
    )
    messages = [line["message"] for line in about(server, connection_id)]
    assert messages[0] == "a connection opened: websocket"


async def test_a_request_does_not_inherit_the_log_context_of_the_previous_one(server: Server, person: Person) -> None:
    session = await person.create_session()
    cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
    paths = (f"sessions/{session}/poll/?wait_ms=x", "nowhere/")  # both at once, so that one follows from the other
    asked = [f"GET /api/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookies}\r\n\r\n" for path in paths]
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write("".join(asked).encode())
    assert (await logged(server, "Bad Request"))["session"] == session
    assert "session" not in await logged(server, "Not Found: /api/nowhere/")
    writer.close()


async def logged(server: Server, part: str) -> dict[str, Any]:
    """The line whose message has this in it."""
    await wait_until(lambda: any(part in line["message"] for line in lines(server)))
    return next(line for line in lines(server) if part in line["message"])


def about(server: Server, connection_id: str) -> list[dict[str, Any]]:
    return [line for line in lines(server) if line.get("connection") == connection_id]


async def test_the_log_contains_no_user_content(server: Server, person: Person, collector: TraceCollector) -> None:
    await answered(person)
    await answered(person, agent="ghost")
    assert PHRASE not in server.log
    for secret in (TOKEN, *person.http.cookies.values()):
        assert secret not in server.log
    assert PHRASE not in str(collector.spans)


# Traces


async def test_a_question_is_traced_to_its_run(person: Person, collector: TraceCollector) -> None:
    session = await answered(person)

    def spans(name: str) -> list[Any]:
        return [span for span in collector.named(name) if span.attributes.get("holdfast.session") == session]

    await wait_until(lambda: spans("holdfast.run") and spans("holdfast.signal") and spans("holdfast.catch-up"))
    [run], [signal], [catchup] = spans("holdfast.run"), spans("holdfast.signal"), spans("holdfast.catch-up")
    assert run.links == [signal.id] and not run.parent  # which has ended long before
    assert run.attributes["holdfast.agent"] == "demo" and run.attributes["holdfast.status"] == "complete"
    assert run.attributes["holdfast.run"]
    assert signal.attributes["holdfast.kind"] == "message"
    assert catchup.attributes["holdfast.bytes"] > 0
    assert collector.named("holdfast.commit")[0].attributes["holdfast.writes"] >= 1
