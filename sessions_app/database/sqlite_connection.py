"""The connection class of the site's SQLite file: `"factory": SiteConnection` in the database's OPTIONS.

It opens no file but the first that the process has opened, before SQLite could apply a write-ahead log that belongs to
another one. And it still reads the file where SQLite can't write beside it: on a full or read-only disk.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from django.db.backends.sqlite3.base import FORMAT_QMARK_REGEX, SQLiteCursorWrapper

logger = logging.getLogger(__name__)

# What SQLite reports if it can't make the files beside the database that its write-ahead log needs.
CANNOT_WRITE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
PRIMARY = 0xFF  # of an extended error code
SHARED_BYTES = 32_768  # least size of the shared memory that a process has set up
LOG_EVERY_S = 60.0  # between two lines about the same disk


class FileId(NamedTuple):
    """What tells a file from another one at its path."""

    device: int
    inode: int


_opened: dict[str, FileId] = {}  # by path: the file that this process opened first
_logged_at = -LOG_EVERY_S


class SiteCursor(SQLiteCursorWrapper):
    """Django's cursor, which converts a statement's placeholders once, not each time it is executed."""

    @staticmethod
    @lru_cache(maxsize=512)
    def _converted(query: str) -> str:
        return FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%")

    def convert_query(self, query: str, *, param_names: list[str] | None = None) -> str:
        return super().convert_query(query, param_names=param_names) if param_names else self._converted(query)


class SiteConnection(sqlite3.Connection):
    """A connection to the site's file. `is_snapshot`: it only reads, and doesn't see what is written later."""

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(SiteCursor if factory is SQLiteCursorWrapper else factory or sqlite3.Cursor)

    def __init__(self, database: str | os.PathLike[str], *arguments: Any, **options: Any) -> None:
        self.is_snapshot = False
        path = path_in(database)
        if path and not is_in_place(path):
            raise sqlite3.OperationalError(replaced(path))
        super().__init__(database, *arguments, **options)
        if path and not self._is_readable():
            _check_unused(path)
            options["uri"] = True
            super().__init__(f"file:{quote(path)}?mode=ro&immutable=1", *arguments, **options)
            self.is_snapshot = True

    def _is_readable(self) -> bool:
        """Return False if the database can't be read because its disk can't be written."""
        try:
            self.execute("PRAGMA schema_version")
        except sqlite3.OperationalError as error:
            return error.sqlite_errorcode & PRIMARY not in CANNOT_WRITE
        return True


def _check_unused(path: str) -> None:
    """Raise OperationalError if the file alone isn't the whole database, or another process may be writing it."""
    global _logged_at
    if _size(f"{path}-wal") or _size(f"{path}-shm") >= SHARED_BYTES:
        raise sqlite3.OperationalError(f"{path} can't be read: its disk is full or read-only")
    now = time.monotonic()
    if now - _logged_at >= LOG_EVERY_S:
        _logged_at = now
        logger.warning("%s can only be read: its disk is full or read-only", path)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def path_in(name: str | os.PathLike[str]) -> str:
    """Return the absolute path in a database's NAME; empty if the database is in memory."""
    text = os.fspath(name)
    return "" if not text or text.startswith((":memory:", "file:")) else os.path.abspath(text)


def remember(path: str) -> None:
    """Remember the file as the one that this process has open, unless there is an earlier one."""
    found = identify(path)
    if found is not None:
        _opened.setdefault(path, found)


def is_in_place(path: str) -> bool:
    """Return whether the file at this path is the one that the process has open, or the first."""
    first = _opened.get(path)
    return first is None or identify(path) == first


def replaced(path: str) -> str:
    """Return the error for a file that isn't in place."""
    return f"{path} was replaced or deleted while this process had it open. Restart this process."


def identify(path: str) -> FileId | None:
    """Return the identity of a file, or None if there is none."""
    try:
        found = os.stat(path)
    except OSError:  # deleted, or its folder is
        return None
    return FileId(found.st_dev, found.st_ino)
