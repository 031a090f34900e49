"""The SQLite file under a process: replaced or deleted, nothing is acknowledged; a checkpoint empties the log."""

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.db import OperationalError, connection

from sessions_app.core.errors import HoldfastError
from sessions_app.database import sqlite_file, threads
from sessions_app.event_log import queries
from sessions_app.models import Session
from sessions_app.process import Process
from tests.support.stored import a_session
from tests.support.writer import Writer, user_message
from tests.test_readiness import ready

pytestmark = pytest.mark.django_db(transaction=True)

REPLACED = "the database file was replaced or deleted while this process had it open: restart the process"


@pytest.fixture
def file() -> Path:
    path = sqlite_file.path_of(connection)
    if path is None:
        pytest.skip("is about SQLite's file")
    return path


@contextmanager
def deleted(path: Path) -> Iterator[None]:
    aside = path.rename(f"{path}.aside")
    try:
        yield
    finally:
        aside.rename(path)


@contextmanager
def replaced(path: Path) -> Iterator[None]:
    with deleted(path):
        path.write_bytes(Path(f"{path}.aside").read_bytes()[:4096])
        yield


@pytest.mark.parametrize("fault", [deleted, replaced])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_no_commit_is_acknowledged_without_the_file(file: Path, fault: Callable[[Path], object], suffix: str) -> None:
    session = a_session("guest:1")
    with Writer() as writer:
        writer.append(session, "m_1", [user_message("Hello")])
        with fault(Path(f"{file}{suffix}")):  # type: ignore[attr-defined]
            with pytest.raises(HoldfastError) as refused:
                writer.submit(session, "m_2", [user_message("Is it kept?")]).result(30)
            assert refused.value.code == "storage_unavailable"
            assert len(writer.frames) == 1
        assert writer.append(session, "m_3", [user_message("And now?")]).serial


def test_statements_of_other_threads_are_refused_on_open_and_on_new_connections(file: Path) -> None:
    Session.objects.exists()
    with deleted(file):
        with pytest.raises(sqlite_file.FileReplaced, match=f"^{file} was replaced or deleted"):
            a_session_by_id("open")
        connection.close()
        with pytest.raises(OperationalError, match="was replaced or deleted"):
            a_session_by_id("new")
    assert not Session.objects.filter(pk__in=["open", "new"]).exists()


def test_a_read_that_has_begun_goes_on_and_the_next_is_refused(file: Path) -> None:
    Session.objects.exists()
    with queries.consistent_read():
        Session.objects.exists()
        with deleted(file):
            Session.objects.exists()
    with deleted(file):
        with pytest.raises(sqlite_file.FileReplaced):
            Session.objects.exists()
        with pytest.raises(sqlite_file.FileReplaced), queries.consistent_read():
            pass
    assert not Session.objects.exists()


def a_session_by_id(pk: str) -> None:
    Session.objects.filter(pk=pk).update(title="changed")


async def test_a_process_without_its_file_is_not_ready_and_says_why(file: Path) -> None:
    process = Process()
    await process.start([])
    with deleted(file):
        assert await ready(process) == (503, f"{REPLACED}\n")
    assert await ready(process) == (200, "ready\n")
    await process.stop()


async def test_after_a_checkpoint_the_file_alone_has_everything(file: Path, tmp_path: Path) -> None:
    await threads.run(a_session, "guest:checkpoint")
    assert Path(f"{file}-wal").stat().st_size
    await threads.run(sqlite_file.checkpoint)
    assert Path(f"{file}-wal").stat().st_size == 0
    copy = tmp_path / "copy.sqlite3"
    subprocess.run(["cp", file, copy], check=True)  # to read it here would end this process's locks on it
    with closing(sqlite3.connect(copy)) as copied:
        assert copied.execute("SELECT count(*) FROM sessions_app_session").fetchone() == (1,)


def test_a_checkpoint_neither_waits_long_nor_fails_beside_a_reader(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "EMPTYING_S", 0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sessions_app_session").fetchone()
        kept = a_session("guest:1")
        sqlite_file.checkpoint()
        assert reader.execute("SELECT count(*) FROM sessions_app_session").fetchone() == (0,)
        reader.execute("ROLLBACK")
    assert Session.objects.filter(pk=kept.pk).exists()
