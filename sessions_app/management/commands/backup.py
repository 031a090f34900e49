"""`manage.py backup FILE`: copy the SQLite database, also while servers run, to a verified file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from sessions_app.database.sqlite_backup import BackupError, back_up
from sessions_app.management.sqlite_only import database_file


class Command(BaseCommand):
    help = "Back up the SQLite database to one file, also while servers run. For PostgreSQL, use pg_dump."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="where to write the backup")
        parser.add_argument("--force", action="store_true", help="replace FILE if it exists")

    def handle(self, *, file: Path, force: bool, **options: object) -> None:
        database = database_file("Back up PostgreSQL with pg_dump.")
        try:
            size = back_up(database, file, overwrite=force)
        except BackupError as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"Backed up {database} to {file} ({size:,} bytes), and verified it.")
