"""`manage.py ensure_admin`: create the first administrator, with a password that is shown once.

It is printed only to a terminal, or to a caller in Python: whatever else a command prints to is kept, such as a unit's
journal or a container's log.
"""

import os
import secrets
import sys
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models, transaction
from django.urls import NoReverseMatch, reverse

USERNAME = "admin"
EMAIL = "admin@localhost"  # for user models that sign in by email


class Command(BaseCommand):
    help = (
        "Create an administrator with a random password, unless the site has one. The password is printed to a "
        "terminal; without one, it is written to a file that only its owner can read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--password-file",
            type=Path,
            default=Path("admin_password"),
            metavar="PATH",
            help="where to write the password if the output isn't a terminal (default: %(default)s)",
        )

    def handle(self, *args: object, password_file: Path, **options: object) -> None:
        # 128 bits, so it can't be guessed.
        password = secrets.token_urlsafe(16)
        is_logged = self.stdout._out is sys.stdout and not self.stdout.isatty()
        with transaction.atomic():
            name = make_admin(get_user_model(), password)
            if name and is_logged:
                _write_private(password_file, password)  # without it, no administrator is created
        if name:
            place = f"is in {password_file.resolve()}. Delete that file" if is_logged else "is not shown again"
            shown = "" if is_logged else f"    password  {password}\n"
            self.stdout.write(
                self.style.SUCCESS(f"\nCreated an administrator. The password {place}:\n")
                + f"\n    user      {name}\n{shown}\n"
                + f"Change it {_page()}with: python manage.py changepassword {name}\n"
            )


def make_admin(model: Any, password: str) -> str:
    """Create an administrator unless there is one; return the name to sign in with, or "" if none was created.

    Raises CommandError for a user model that needs more than a name, an email address and a password.
    """
    if not hasattr(model, "is_superuser"):
        raise CommandError(f"{model._meta.label} has no is_superuser, which marks administrators")
    if model.objects.filter(is_superuser=True).exists():
        return ""
    further = [field for field in model.REQUIRED_FIELDS if field != "email"]
    if further:
        needs = ", ".join(further)
        raise CommandError(f"{model._meta.label} needs {needs}: use `manage.py createsuperuser`")
    is_email = isinstance(model._meta.get_field(model.USERNAME_FIELD), models.EmailField)
    name = EMAIL if is_email else USERNAME
    email = {"email": ""} if "email" in model.REQUIRED_FIELDS else {}
    model.objects.create_superuser(**email, **{model.USERNAME_FIELD: name}, password=password)
    return name


def _write_private(path: Path, password: str) -> None:
    """Write a password to a new file of mode 0600. Raises CommandError."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CommandError(
            f"The password can't be written to {path}: {error.strerror}. No administrator was created. Give a path of "
            "a new file with --password-file, or run the command in a terminal."
        ) from None
    with os.fdopen(file, "w") as opened:
        opened.write(f"{password}\n")


def _page() -> str:
    try:
        return f"at {reverse('admin:password_change')}, or "
    except NoReverseMatch:  # the project has no admin
        return ""
