"""`manage.py begin_turn`: have a session's agent answer, for cron."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from sessions_app.core.errors import HoldfastError
from sessions_app.runs import turns


class Command(BaseCommand):
    help = "Begin a turn in a session: its agent answers TEXT. The same --id again begins nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("session", metavar="SESSION", help="its id, as in the page's address")
        parser.add_argument("text", metavar="TEXT", help="what the agent is asked")
        parser.add_argument("--id", required=True, help="of the turn: 8 to 64 characters of A-Z a-z 0-9 _ -")
        parser.add_argument("--by", default=turns.SITE, help="who begins it (default %(default)s)")

    def handle(self, *, session: str, text: str, id: str, by: str, **options: object) -> None:
        try:
            begun = turns.begin(session, text, id=id, by=by)
        except HoldfastError as problem:
            raise CommandError(problem.message) from None
        self.stdout.write(f"Turn {begun.id}: answered as {begun.message}.")
