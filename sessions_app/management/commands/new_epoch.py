"""`manage.py new_epoch`: start a new epoch, so that clients discard serials they can no longer trust."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sessions_app.database import locking
from sessions_app.models import Session, new_epoch

EXPLANATION = """\
{sessions} will get a new epoch. Do this after the database was restored from a backup, with all servers and
workers stopped. Serials that clients have already seen will be reused for other events; because of the new
epoch, clients discard their copy of the session and load it from this database. Stored data isn't changed.
"""


class Command(BaseCommand):
    help = "Start a new epoch for sessions after the database was restored from a backup."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("sessions", nargs="*", default=[], metavar="SESSION", help="session id")
        which.add_argument("--all", action="store_true", dest="everything", help="all sessions")
        parser.add_argument("--no-input", action="store_false", dest="interactive", help="don't ask")

    def handle(self, *, sessions: list[str], everything: bool, interactive: bool, **options: object) -> None:
        ids = self._chosen(sessions, everything)
        words = "1 session" if len(ids) == 1 else f"{len(ids)} sessions"
        self.stdout.write(EXPLANATION.format(sessions=words))
        if interactive and input("Continue? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was changed.")
        with transaction.atomic():
            locking.sessions(ids)
            for pk in ids:
                Session.objects.filter(pk=pk).update(epoch=new_epoch())
        self.stdout.write(f"{words}: new epoch.")

    def _chosen(self, sessions: list[str], everything: bool) -> list[str]:
        chosen = Session.objects.all() if everything else Session.objects.filter(pk__in=sessions)
        ids = list(chosen.values_list("pk", flat=True))
        unknown = set(sessions) - set(ids)
        if unknown:
            raise CommandError(f"Session not found: {', '.join(sorted(unknown))}. Nothing was changed.")
        return ids
