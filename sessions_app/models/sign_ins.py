"""Failed sign-ins, and the addresses that people have signed in from. Names and addresses are keyed digests."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class SignInFailures(models.Model):
    """A leaky bucket of failed sign-ins from one address, or with one name."""

    key = models.CharField(primary_key=True, max_length=64)
    level = models.FloatField(default=0.0, help_text="Failures at `changed_at`; they drain since.")
    changed_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"{self.level:g} failures"


class SignInAddress(models.Model):
    """An address that a person has signed in from."""

    key = models.CharField(primary_key=True, max_length=64, help_text="Digest of the person and the address.")
    person = models.CharField(max_length=64, db_index=True, help_text="Digest of the person.")
    seen_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"seen {self.seen_at:%Y-%m-%d %H:%M}"
