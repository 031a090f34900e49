"""The SQLite file that a command is about; refuses other databases."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import CommandError
from django.db import connection

from sessions_app.database import sqlite_file

DOCUMENT = "docs/backup.md"


def database_file(instead: str) -> Path:
    """Return the path of the site's SQLite file. Raise CommandError with what to do `instead` for another database."""
    path = sqlite_file.path_of(connection)
    if path is None:
        raise CommandError(f"The site's database is not an SQLite file. {instead} See {DOCUMENT}.")
    return path
