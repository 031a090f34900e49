"""Servers behind pgbouncer in transaction mode: nothing leans on a connection, and a refusal says its reason."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.services import PgBouncer, postgres, require
from tests.support.follower import Follower
from tests.support.harness import ROOT, StartServer, environment_of, manage

POOL = 3  # of pgbouncer's connections, which all processes share


@pytest.fixture(scope="module")
def pgbouncer() -> Iterator[PgBouncer]:
    require("pgbouncer")
    with ExitStack() as stack:
        address = stack.enter_context(postgres())
        with psycopg.connect(address, autocommit=True) as owner:
            owner.execute("ALTER ROLE holdfast SET timezone = 'Asia/Tokyo'")  # clients set their own, for themselves
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-pgbouncer-"))
        pooler = PgBouncer(Path(place), address, default_pool_size=str(POOL))
        pooler.start()
        stack.callback(pooler.end, signal.SIGINT)
        manage("migrate", "--verbosity", "0", environment=environment_of(pooler.url, {}))
        yield pooler


QUICK = {"HOLDFAST_DEMO_TOKENS_PER_S": "2000", "HOLDFAST_DATABASE_POOL": "6"}


async def test_answers_reach_the_readers_of_two_processes(start_server: StartServer, pgbouncer: PgBouncer) -> None:
    servers = [start_server("uvicorn", database=pgbouncer.url, **QUICK) for _ in range(2)]
    async with Follower(servers[0].url) as person, Follower(servers[1].url) as other:
        other.http.cookies = person.http.cookies
        session = await person.create_session()
        await person.follow(session)
        await other.follow(session)
        for number in range(2):
            await person.say(session, f"Question {number}")
            await person.wait_for_end(session)
        await other.wait_until(lambda: len(other.messages(session)) == 4 and other.all_answered())
        assert [message.status for message in other.messages(session)] == ["complete"] * 4
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


def test_a_refused_connection_says_the_servers_reason(pgbouncer: PgBouncer) -> None:
    environment = environment_of(f"{pgbouncer.url}?options=-c%20lock_timeout%3D5s", {"HOLDFAST_LOG_LEVEL": "ERROR"})
    ended = subprocess.run(
        [sys.executable, "manage.py", "check", "--database", "default"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode
    assert ended.stderr.strip().splitlines()[-1].endswith("FATAL: unsupported startup parameter: options")
