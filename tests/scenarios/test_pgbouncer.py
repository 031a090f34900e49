"""Servers behind pgbouncer in transaction mode: nothing leans on a connection, and a refusal says its reason."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.services import PgBouncer, Postgres
from tests.support.follower import Follower
from tests.support.harness import ROOT, StartServer, environment_of, manage

POOL = 3  # of pgbouncer's connections, which all processes share


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    place = tmp_path_factory.mktemp("postgres")
    place.parent.chmod(0o755)  # it runs as another user
    server = Postgres(place)
    server.start()
    server.ask("ALTER ROLE holdfast SET timezone = 'Asia/Tokyo'")  # a client must not change it for others
    yield server
    server.end(Postgres.FAST)


@pytest.fixture(scope="module")
def pgbouncer(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    pooler = PgBouncer(tmp_path_factory.mktemp("pgbouncer"), postgres.url, default_pool_size=str(POOL))
    pooler.start()
    manage("migrate", "--verbosity", "0", environment=environment_of(pooler.url, {}))
    yield pooler
    pooler.end(signal.SIGINT)


async def test_answers_approvals_and_resumes_work_over_two_processes(
    start_server: StartServer, pgbouncer: PgBouncer
) -> None:
    servers = [start_server("uvicorn", database=pgbouncer.url, HOLDFAST_POOL="4") for _ in range(2)]
    async with Follower(servers[0].url) as person, Follower(servers[1].url) as other:
        other.http.cookies = person.http.cookies
        session = await person.create_session()
        await person.follow(session)
        await other.follow(session)
        for number in range(3):
            await person.say(session, f"Question {number}")
            await person.wait_for_end(session)
        await other.wait_until(lambda: other.messages(session) and len(other.messages(session)) == 6)
        await other.wait_until(other.all_answered)
        assert [message.status for message in person.messages(session)] == ["complete"] * 6
        for each in (person, other):
            assert (each.resets, each.taken_back, each.sessions[session].gaps) == ([], [], 0)
    assert not [line for server in servers for line in server.log.splitlines() if " ERROR " in line]


def test_no_setting_stays_on_a_shared_connection(pgbouncer: PgBouncer) -> None:
    with ExitStack() as stack:
        for _ in range(POOL):
            client = stack.enter_context(psycopg.connect(pgbouncer.url))  # holds a connection: in a transaction
            shown = [
                client.execute(f"SHOW {name}".encode()).fetchone()
                for name in ("idle_in_transaction_session_timeout", "lock_timeout", "default_transaction_isolation")
            ]
            assert shown == [("0",), ("0",), ("read committed",)]
            assert client.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
            assert client.execute("SELECT count(*) FROM pg_cursors WHERE is_holdable").fetchone() == (0,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("?options=-c%20lock_timeout%3D5s", "unsupported startup parameter: options"),
        ("?sslmode=require", "server does not support SSL, but SSL was required"),
    ],
)
def test_a_refused_connection_says_the_servers_reason(pgbouncer: PgBouncer, change: str, reason: str) -> None:
    environment = environment_of(f"{pgbouncer.url}{change}", {"HOLDFAST_LOG_LEVEL": "ERROR"})
    ended = subprocess.run(
        [sys.executable, "manage.py", "check", "--database", "default"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode
    assert ended.stderr.strip().splitlines()[-1].endswith(reason)


def test_a_server_without_its_database_logs_the_reason_and_tells_no_one_else(
    start_server: StartServer, pgbouncer: PgBouncer, tmp_path: Path
) -> None:
    server = start_server("daphne", database=f"{pgbouncer.url}?options=-c%20lock_timeout%3D5s")
    assert "writes were not stored: couldn't get a connection after 10.00 sec" in server.log
    assert "unsupported startup parameter: options" in server.log
