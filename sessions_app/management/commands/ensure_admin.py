"""Makes the first administrator, with a password that is shown once."""

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist
from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction
from django.urls import NoReverseMatch, reverse

USERNAME = "admin"
EMAIL = "admin@localhost"  # where people sign in by it


class Command(BaseCommand):
    help = "Make an administrator with a random password, unless the site has one, and print the password."

    def handle(self, *args: Any, **options: Any) -> None:
        model = get_user_model()
        name = _name(model)
        # 128 bits: nobody guesses it, and the command never has to show it again.
        password = secrets.token_urlsafe(16)
        with transaction.atomic():
            if model.objects.filter(is_superuser=True).exists():
                return
            email = {"email": ""} if "email" in model.REQUIRED_FIELDS else {}
            model.objects.create_superuser(**email, **{model.USERNAME_FIELD: name}, password=password)
        self.stdout.write(
            self.style.SUCCESS("\nAn administrator was made. This password is not shown again:\n")
            + f"\n    user      {name}\n    password  {password}\n\n"
            + f"Change it {_page()}with: python manage.py changepassword {name}\n"
        )


def _name(model: type[AbstractBaseUser]) -> str:
    """Return what the administrator signs in with. Raises CommandError for a user model that needs more than that."""
    further = [field for field in model.REQUIRED_FIELDS if field != "email"]
    try:
        model._meta.get_field("is_superuser")
    except FieldDoesNotExist:
        further.append("is_superuser")
    if further:
        raise CommandError(
            f"{model._meta.label} has fields of its own, {', '.join(further)}: make the first administrator with "
            "`manage.py createsuperuser`"
        )
    return EMAIL if isinstance(model._meta.get_field(model.USERNAME_FIELD), models.EmailField) else USERNAME


def _page() -> str:
    try:
        return f"at {reverse('admin:password_change')}, or "
    except NoReverseMatch:  # the project has no admin
        return ""
