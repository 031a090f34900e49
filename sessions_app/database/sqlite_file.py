"""The SQLite file: it must stay the one at its path, and after a clean stop it alone holds everything.

A file that is replaced or deleted under a running process goes on being written to, and what was acknowledged is gone
at the next start. So every transaction, and every commit of the log before it is acknowledged, compares the file with
the one that this process opened first; connections to any other are refused until the process is restarted.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from sessions_app.database.sqlite_connection import FileId, identify, is_in_place, path_in, remember, replaced

logger = logging.getLogger(__name__)

SIDE_FILES = ("-wal", "-shm")  # write-ahead log, and its index in shared memory: SQLite's names for them
EMPTYING_S, PAUSE_S = 2.0, 0.05  # how long a checkpoint waits for other connections, and between two attempts

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


class FileReplaced(OperationalError):
    """The file at the database's path is not the one that this process has open."""


def path_of(database: BaseDatabaseWrapper) -> Path | None:
    """Return the path of a database's SQLite file; None if it has none."""
    path = path_in(database.settings_dict["NAME"]) if database.vendor == "sqlite" else ""
    return Path(path) if path else None


def problem() -> str:
    """Return in words, without the path, why this process must not go on with the file; empty if it may."""
    path = path_of(connections[DEFAULT_DB_ALIAS])
    if path is None or is_in_place(str(path)):
        return ""
    return "the database file was replaced or deleted while this process had it open: restart the process"


def require_in_place() -> None:
    """Raise FileReplaced if a commit just made is not in the files that a restart would open.

    Call it between COMMIT and what acknowledges it.
    """
    guard = _guard()
    if guard is not None:
        guard.check_all()


@contextmanager
def checked_once() -> Iterator[None]:
    """Let this thread's statements within go without a look at the file, for a transaction that only reads.

    It reads the file in which it has begun, whatever is at the path by its end.
    """
    guard = _guard()
    if guard is None:
        yield
        return
    guard.is_trusting = True
    try:
        yield
    finally:
        guard.is_trusting = False


@contextmanager
def checked_at_both_ends() -> Iterator[None]:
    """As `checked_once`, for a transaction that writes: looks at the file again before its COMMIT, which writes it.

    A look is a system call, which gives the interpreter's lock to another thread: at each statement it would be felt.
    """
    with checked_once():
        yield
    guard = _guard()
    if guard is not None:
        guard.check_file()


def _guard() -> _Guard | None:
    return next((each for each in connection.execute_wrappers if isinstance(each, _Guard)), None)


def is_snapshot() -> bool:
    """Return whether this thread's connection only reads, because the disk is full or read-only."""
    return getattr(connection.connection, "is_snapshot", False)


def leave_snapshot() -> None:
    """Close this thread's connection if it only reads: the next one may find room on the disk."""
    if is_snapshot():
        connection.close()


class _Guard:
    """One connection's check of its files, called by Django around every statement."""

    def __init__(self, path: str) -> None:
        self.is_trusting = False  # within a transaction, which looks at the file itself
        self._path = path
        self._side_files: dict[str, FileId] = {}  # as first seen; SQLite keeps them while a connection is open

    def __call__(self, execute: Execute, sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        if not self.is_trusting:
            self.check_file()
        return execute(sql, parameters, many, context)

    def check_all(self) -> None:
        self.check_file()
        for suffix in SIDE_FILES:
            found, first = identify(self._path + suffix), self._side_files.get(suffix)
            if found is not None and first is None:
                self._side_files[suffix] = found
            elif found != first:
                raise FileReplaced(replaced(self._path + suffix))

    def check_file(self) -> None:
        if not is_in_place(self._path):
            raise FileReplaced(replaced(self._path))


@receiver(connection_created)
def _watch(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Watch the file of a new connection. Closes it and raises FileReplaced if it is to another file."""
    connection.execute_wrappers[:] = [each for each in connection.execute_wrappers if not isinstance(each, _Guard)]
    path = path_of(connection) if connection.alias == DEFAULT_DB_ALIAS else None
    if path is None:
        return
    remember(str(path))
    if not is_in_place(str(path)):  # without the project's connection class, which looks before it opens
        connection.close()  # or Django would go on with it
        raise FileReplaced(replaced(str(path)))
    connection.execute_wrappers.append(_Guard(str(path)))


def checkpoint() -> None:
    """Move all commits from the write-ahead log into the file, and empty the log.

    Safe beside other processes: they wait at most for what was committed since the first of the two steps. The last
    process to stop leaves the log empty.
    """
    path = path_of(connections[DEFAULT_DB_ALIAS])
    if path is None or not path.exists() or problem():
        return
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:  # it never waits for a lock
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")  # writers and readers don't wait for it
            _empty_log(database)
    except sqlite3.Error as error:  # a full or read-only disk: the log keeps what it has, and the next start reads it
        logger.warning("%s-wal was not moved into the database file: %s", path, error)


def _empty_log(database: sqlite3.Connection) -> None:
    until = time.monotonic() + EMPTYING_S
    while database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:  # busy: others read or write
        if time.monotonic() > until:
            logger.info("the write-ahead log is in use by another process, which empties it when it stops")
            return
        time.sleep(PAUSE_S)
