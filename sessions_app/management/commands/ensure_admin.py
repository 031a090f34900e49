"""`manage.py ensure_admin`: create the first administrator, with a password that is shown once."""

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction
from django.urls import NoReverseMatch, reverse

USERNAME = "admin"
EMAIL = "admin@localhost"  # for user models that sign in by email


class Command(BaseCommand):
    help = "Create an administrator with a random password, unless the site has one, and print the password."

    def handle(self, *args: object, **options: object) -> None:
        # 128 bits, so it can't be guessed.
        password = secrets.token_urlsafe(16)
        with transaction.atomic():
            name = make_admin(get_user_model(), password)
        if name:
            self.stdout.write(
                self.style.SUCCESS("\nCreated an administrator. The password is not shown again:\n")
                + f"\n    user      {name}\n    password  {password}\n\n"
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


def _page() -> str:
    try:
        return f"at {reverse('admin:password_change')}, or "
    except NoReverseMatch:  # the project has no admin
        return ""
