"""`manage.py ensure_admin`: create the first administrator, with a password that is shown once."""

import secrets

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction

USERNAME = "admin"


class Command(BaseCommand):
    help = "Create an administrator with a random password, unless the site has one, and print the password."

    def handle(self, *args: object, **options: object) -> None:
        # 128 bits, so it can't be guessed.
        password = secrets.token_urlsafe(16)
        users = get_user_model().objects
        with transaction.atomic():
            if users.filter(is_superuser=True).exists():
                return
            users.create_superuser(USERNAME, email="", password=password)
        self.stdout.write(
            self.style.SUCCESS("\nCreated an administrator. The password is not shown again:\n")
            + f"\n    user      {USERNAME}\n    password  {password}\n\n"
            + "Change it at /admin/password_change/, or with: python manage.py changepassword admin\n"
        )
