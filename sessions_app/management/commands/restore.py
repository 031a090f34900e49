"""`manage.py restore FILE`: replace the SQLite database by a backup; every session gets a new epoch."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from sessions_app.database.sqlite_backup import BackupError, restore
from sessions_app.management.sqlite_only import database_file


class Command(BaseCommand):
    help = (
        "Put a backup in the place of the SQLite database, with all servers and workers stopped. Every session gets a "
        "new epoch, so that clients drop what the backup doesn't have. For PostgreSQL, use pg_restore and new_epoch."
    )
    requires_system_checks: list[str] = []  # the database may be damaged or missing

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="a backup made by `manage.py backup`")
        parser.add_argument("--force", action="store_true", help="replace the database that is there now")

    def handle(self, *, file: Path, force: bool, **options: object) -> None:
        database = database_file("Restore PostgreSQL with pg_restore, then run `manage.py new_epoch --all`.")
        connection.close()  # this process's own would count as a server's
        try:
            restored = restore(file, database, overwrite=force)
        except BackupError as problem:
            raise CommandError(str(problem)) from None
        sessions = "1 session" if restored.sessions == 1 else f"{restored.sessions} sessions"
        self.stdout.write(f"Restored {sessions} from {file}, with new epochs: clients load them again.")
        if restored.missing:
            self.stdout.write(f"The backup is of an older version: run `manage.py migrate` ({restored.missing[-1]}).")
