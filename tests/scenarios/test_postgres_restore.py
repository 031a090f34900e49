"""A rehearsal of docs/backup.md on PostgreSQL: pg_dump, pg_restore, new epochs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.services import require
from tests.support.follower import Follower
from tests.support.harness import StartServer, environment_of, manage


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """A database of this test's own."""
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute("CREATE DATABASE rehearsal")
        address = urlsplit(postgres_url)._replace(path="/rehearsal").geturl()
        manage("migrate", "--verbosity", "0", environment=environment_of(address, {}))
        yield address
        owner.execute("DROP DATABASE rehearsal WITH (FORCE)")


def run(program: str, *arguments: str) -> None:
    place = Path(require("postgres")).resolve().parent
    subprocess.run([place / program, *arguments], check=True)


async def test_a_client_of_what_a_restore_took_back_is_reset(
    start_server: StartServer, database: str, tmp_path: Path
) -> None:
    server = start_server("uvicorn", database=database, HOLDFAST_RUNS_PER_PROCESS="0")
    dump = str(tmp_path / "holdfast.dump")
    async with Follower(server.url) as person:
        session = await person.create_session()
        await person.follow(session)
        kept = await person.say(session, "Before the backup")
        await person.wait_until(lambda: kept in person.sessions[session].messages)
        run("pg_dump", "--format=custom", f"--file={dump}", database)
        await person.say(session, "After the backup")
        await person.wait_until(lambda: len(person.messages(session)) == 2)
        server.terminate()
        run("pg_restore", "--clean", "--if-exists", "--single-transaction", f"--dbname={database}", dump)
        assert "1 session: new epoch." in server.manage("new_epoch", "--all", "--no-input")
        with pytest.raises(AssertionError, match="not an SQLite file. Restore PostgreSQL with pg_restore"):
            server.manage("restore", dump)
        with pytest.raises(AssertionError, match="not an SQLite file. Back up PostgreSQL with pg_dump"):
            server.manage("backup", dump)
        server.start()
        await person.wait_until(lambda: bool(person.resets))
        assert person.resets == ["epoch-changed"]
        assert list(person.sessions[session].messages) == [kept]
