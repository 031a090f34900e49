"""A server's SQLite file: after a clean stop, after a restore, replaced under it, and on a disk without room."""

import asyncio
import resource
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer, wait_for

AGENTLESS = {"HOLDFAST_RUNS_PER_PROCESS": "0"}


def file_of(server: Server) -> Path:
    return Path(server.database.removeprefix("sqlite:///"))


def log_size(file: Path) -> int:
    log = Path(f"{file}-wal")
    return log.stat().st_size if log.exists() else 0


def owners(file: Path) -> list[str]:
    """Return what the file holds without its log."""
    copy = file.with_suffix(".copy")
    shutil.copyfile(file, copy)
    with closing(sqlite3.connect(copy)) as database:
        return [owner for (owner,) in database.execute("SELECT owner FROM sessions_app_session")]


def readiness(server: Server) -> tuple[int, str]:
    answer = httpx.get(f"{server.url}/readyz", timeout=DEADLINE_S)
    return answer.status_code, answer.text


# A clean stop


@pytest.mark.parametrize(
    "command", [pytest.param("runserver", marks=pytest.mark.long), "daphne", "uvicorn", "runagents"]
)
async def test_after_a_clean_stop_the_file_alone_has_everything(start_server: StartServer, command: str) -> None:
    server = start_server("uvicorn" if command == "runagents" else command, **AGENTLESS)
    last = start_server("runagents") if command == "runagents" else server
    async with Follower(server.url) as person:
        session = await person.create_session()
        await person.follow(session)
        await person.say(session, "Is it in the file?")
    file = file_of(server)
    if last is not server:
        server.terminate()
    assert log_size(file) or last is not server
    assert last.terminate() in (0, -signal.SIGTERM)
    assert log_size(file) == 0
    assert len(owners(file)) == 1


async def test_a_stop_leaves_the_log_of_another_process_in_order(start_server: StartServer) -> None:
    stopped, other = start_server("daphne", **AGENTLESS), start_server("daphne", **AGENTLESS)
    async with Follower(other.url) as person:
        session = await person.create_session()
        await person.follow(session)
        await person.say(session, "Before")
        assert stopped.terminate() == 0
        turn = await person.say(session, "After")
        await person.wait_until(lambda: turn in person.sessions[session].messages)
        assert (person.resets, person.taken_back, person.connections) == ([], [], 1)
    assert readiness(other) == (200, "ready\n")
    assert other.terminate() == 0
    assert len(owners(file_of(other))) == 1


# Restored, replaced


async def test_a_client_of_what_a_restore_took_back_is_reset(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("daphne", **AGENTLESS)
    backup = tmp_path / "backup.sqlite3"
    async with Follower(server.url) as person:
        session = await person.create_session()
        await person.follow(session)
        kept = await person.say(session, "Before the backup")
        await person.wait_until(lambda: kept in person.sessions[session].messages)
        server.manage("backup", str(backup))
        await person.say(session, "After the backup")
        await person.wait_until(lambda: len(person.messages(session)) == 2)
        with pytest.raises(AssertionError, match="is in use: stop all servers and workers first"):
            server.manage("restore", str(backup), "--force")
        assert server.terminate() == 0
        server.manage("restore", str(backup), "--force")
        server.start()
        await person.wait_until(lambda: bool(person.resets))
        assert person.resets == ["epoch-changed"]
        assert list(person.sessions[session].messages) == [kept]
        turn = await person.say(session, "Again")
        await person.wait_until(lambda: list(person.sessions[session].messages) == [kept, turn])


def delete(file: Path) -> None:
    file.unlink()


def put_another_in_its_place(file: Path) -> None:
    other = file.with_suffix(".other")
    shutil.copyfile(file, other)
    other.replace(file)


@pytest.mark.parametrize("fault", [delete, put_another_in_its_place])
async def test_a_server_without_its_file_acknowledges_nothing_until_it_is_restarted(
    start_server: StartServer, migrated: Path, fault: Callable[[Path], None]
) -> None:
    server = start_server("uvicorn", **AGENTLESS)
    async with Follower(server.url) as person:
        session = await person.create_session()
        await person.follow(session)
        fault(file_of(server))
        receipt = person.receipts[await person.say(session, "Is it kept?")]
        assert (receipt["status"], receipt["error"]["code"]) == ("rejected", "storage_unavailable")
        assert readiness(server) == (
            503,
            "the database file was replaced or deleted while this process had it open: restart the process\n",
        )
        assert (await person.http.post("/api/sessions/", json={})).status_code == 503
        assert file_of(server).exists() == (fault is not delete)
    server.terminate()
    if fault is delete:
        shutil.copyfile(migrated, file_of(server))
    server.start()
    assert readiness(server) == (200, "ready\n")


# No room


def limit_files(server: Server, size: int) -> None:
    """Let no file of a server's grow beyond this size, as a full disk would."""
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("stop", [pytest.param("terminate", marks=pytest.mark.long), "kill9"])
async def test_a_server_starts_without_room_serves_history_and_heals(
    start_server: StartServer, tmp_path: Path, stop: str
) -> None:
    server = start_server("uvicorn", **AGENTLESS)
    async with Follower(server.url) as person:
        session = await person.create_session()
        await person.follow(session)
        await person.say(session, "Is it still there?")
        getattr(server, stop)()
        size = Path(f"{file_of(server)}-shm").stat().st_size if stop == "kill9" else 1
        script = (
            f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY));"
            " os.execv(sys.argv[1], sys.argv[1:])"
        )
        server.log_path = tmp_path / "limited.log"
        server.log_path.symlink_to("/dev/null")  # which the limit doesn't concern
        server.command, ordinary = [sys.executable, "-c", script, *server.command], server.command
        server.start()
        status, problem = readiness(server)
        assert status == 503 and problem.startswith("the database can be read, but not written: ")
        history = await person.http.get(f"/api/sessions/{session}/messages/")
        assert [message["role"] for message in history.json()["results"]] == ["user"]
        assert (await person.http.post("/api/sessions/", json={})).status_code == 503
        limit_files(server, resource.RLIM_INFINITY)
        wait_for(lambda: readiness(server) == (200, "ready\n"), DEADLINE_S, lambda: readiness(server)[1])
        await person.wait_until(lambda: person.close_code is None)
        turn = await person.say(session, "There is room again")
        await person.wait_until(lambda: turn in person.sessions[session].messages)
    server.command = ordinary


async def test_a_running_server_without_room_is_not_ready_until_there_is_some(start_server: StartServer) -> None:
    server = start_server("daphne", **AGENTLESS)
    limit_files(server, 1)
    wait_for(lambda: readiness(server)[0] == 503, DEADLINE_S, lambda: "it is ready")
    limit_files(server, resource.RLIM_INFINITY)
    wait_for(lambda: readiness(server)[0] == 200, DEADLINE_S, lambda: readiness(server)[1])
    await asyncio.to_thread(server.terminate)
