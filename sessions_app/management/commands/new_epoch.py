"""`manage.py new_epoch`: tells clients that a session's serials can't be compared with theirs any more."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sessions_app.database import locking
from sessions_app.models import Session, new_epoch

EXPLANATION = """\
{sessions} will get a new epoch. Do this after the database was restored from a backup, and with every
server and worker stopped: serials that clients have seen will be given out again, for other events. With the
new epoch every client drops what it has of the session and takes the state of this database. Nothing stored
is changed.
"""


class Command(BaseCommand):
    help = "Give sessions a new epoch, after the database was restored from a backup."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("sessions", nargs="*", default=[], metavar="SESSION", help="a session's id")
        which.add_argument("--all", action="store_true", dest="everything", help="every session")
        parser.add_argument("--no-input", action="store_false", dest="interactive", help="don't ask")

    def handle(self, *, sessions: list[str], everything: bool, interactive: bool, **options: object) -> None:
        ids = self._chosen(sessions, everything)
        words = "1 session" if len(ids) == 1 else f"{len(ids)} sessions"
        self.stdout.write(EXPLANATION.format(sessions=words))
        if interactive and input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
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
            raise CommandError(f"There is no session {', '.join(sorted(unknown))}. Nothing was changed.")
        return ids
