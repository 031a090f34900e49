"""Backups of an SQLite database: made while servers run, verified, and restored with new epochs.

Both directions write a new file beside the wanted one and rename it once it is complete, verified and on the disk.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from sessions_app.models import Session, new_epoch

HEADER = b"SQLite format 3\0"
SIDE_FILES = ("-wal", "-shm", "-journal")  # SQLite would replay these into whatever file has the name
IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
SESSIONS, MIGRATIONS = Session._meta.db_table, MigrationRecorder.Migration._meta.db_table
APP = Session._meta.app_label


class BackupError(Exception):
    """Why nothing was backed up or restored, in words."""


class Restored(NamedTuple):
    """What a restore put in place. `missing`: the migrations that the backup is older than."""

    sessions: int
    missing: list[str]


def back_up(database: Path, target: Path, *, overwrite: bool) -> int:
    """Copy a database, also one in use, to a new file of its own; return the file's size in bytes."""
    _check_target(target, overwrite)
    if not database.exists():
        raise BackupError(f"{database} does not exist: there is nothing to back up.")
    with _new_file(target) as copy:
        _copy(f"file:{quote(str(database))}?mode=ro", copy, database)
        _check_content(copy, named=database)
        _put_in_place(copy, target)
        return target.stat().st_size


def restore(source: Path, database: Path, *, overwrite: bool) -> Restored:
    """Put a backup in the place of a database that no process uses, and give each of its sessions a new epoch."""
    database = Path(os.path.realpath(database))
    _check_source(source, database)
    _check_target(database, overwrite)
    with _new_file(database) as copy:
        # Without a log there is nothing but the file, and it may be on a read-only disk.
        log = Path(f"{source}-wal")
        mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
        _copy(f"file:{quote(str(source))}?{mode}", copy, source)
        missing = _check_migrations(copy, _check_content(copy, named=source), named=source)
        sessions = _give_new_epochs(copy)
        _own_like(copy, database)
        with _unused(database):
            for suffix in SIDE_FILES:
                Path(f"{database}{suffix}").unlink(missing_ok=True)
            _put_in_place(copy, database)
    return Restored(sessions, missing)


# Checks


def _check_target(target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise BackupError(f"{target} is a folder: name a file.")
    if not target.parent.is_dir():
        raise BackupError(f"{target.parent} does not exist: make the folder first.")
    if not overwrite and target.exists() and target.stat().st_size:
        raise BackupError(f"{target} exists. Nothing was changed; --force replaces it.")


def _check_source(source: Path, database: Path) -> None:
    if not source.is_file():
        raise BackupError(f"{source} is not a file.")
    if database.exists() and source.samefile(database):
        raise BackupError(f"{source} is the site's own database: name a backup.")
    with source.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:
            raise BackupError(f"{source} is not an SQLite database.")


def _check_content(path: Path, *, named: Path) -> set[str]:
    """Raise BackupError unless the file is a sound database of Holdfast's; return its applied migrations."""
    try:
        with closing(sqlite3.connect(path)) as database:
            found = [text for (text,) in database.execute("PRAGMA integrity_check")]
            if found != ["ok"]:
                raise BackupError(f"{named} is damaged: {'; '.join(found[:3])}")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {SESSIONS, MIGRATIONS} <= tables:
                raise BackupError(f"{named} is not a Holdfast database: it has no table {SESSIONS}.")
            return {name for (name,) in database.execute(f"SELECT name FROM {MIGRATIONS} WHERE app = ?", [APP])}
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{named} is damaged: {error}") from None


def _check_migrations(path: Path, applied: set[str], *, named: Path) -> list[str]:
    """Return the migrations that a database lacks. Raise BackupError if it has some that this version doesn't know."""
    known = {name for app, name in MigrationLoader(None).disk_migrations if app == APP}
    if unknown := sorted(applied - known):
        raise BackupError(
            f"{named} is of a newer version of Holdfast: it has {', '.join(unknown)}. Restore it with that version."
        )
    return sorted(known - applied)


# Files


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Yield an empty file beside the target, for nobody else to read; it is removed unless it was renamed."""
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        yield new
    except OSError as error:
        raise BackupError(f"{target}: {error.strerror or error}. Nothing was changed.") from None
    finally:
        for path in (new, *(Path(f"{new}{suffix}") for suffix in SIDE_FILES)):
            with suppress(OSError):
                path.unlink()


def _copy(source: str, copy: Path, named: Path) -> None:
    """Copy a database as it is at one moment, with all that is in its write-ahead log, to one file without a log."""
    try:
        with closing(sqlite3.connect(source, uri=True)) as reading, closing(sqlite3.connect(copy)) as writing:
            reading.backup(writing)  # all pages in one step: a writer in between would make it begin again
            writing.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise BackupError(f"{named} could not be copied: {error}. Nothing was changed.") from None


def _give_new_epochs(copy: Path) -> int:
    with closing(sqlite3.connect(copy)) as database, database:
        database.create_function("new_epoch", 0, new_epoch)
        return database.execute(f"UPDATE {SESSIONS} SET epoch = new_epoch()").rowcount


def _own_like(copy: Path, database: Path) -> None:
    """Give the copy the mode and owner of what it replaces: after a restore by root the site must be able to write."""
    replaced = database.stat() if database.exists() else None
    if replaced is not None:
        copy.chmod(replaced.st_mode & 0o777)
    if os.geteuid() == 0:
        owner = replaced or database.parent.stat()
        os.chown(copy, owner.st_uid, owner.st_gid)


@contextmanager
def _unused(path: Path) -> Iterator[None]:
    """Keep other processes out of a database. Raise BackupError if one has it open."""
    if not path.exists():
        yield
        return
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
        try:
            database.execute("PRAGMA journal_mode=DELETE")  # refused as long as there are other connections
            database.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in IN_USE:
                raise BackupError(f"{path} is in use: stop all servers and workers first.") from None
            # Otherwise it is damaged, which is why it is replaced; who has it open can't be told.
        yield


def _put_in_place(copy: Path, target: Path) -> None:
    _sync(copy)
    copy.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
