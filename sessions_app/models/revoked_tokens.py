"""Revoked tokens: those that ended before they expired."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from sessions_app import conf
from sessions_app.core import tokens
from sessions_app.models.subjects import subject_problem

CLOCKS_S = 60  # the most by which the clocks of token issuers and ours may differ, with a margin


def when_all_have_expired() -> datetime:
    """Return the moment at which every token issued until now has expired, by whichever back end."""
    return timezone.now() + timedelta(seconds=conf.settings.token_max_s + CLOCKS_S)


class RevokedToken(models.Model):
    """One token that was revoked before it expired."""

    jti = models.CharField("token id", primary_key=True, max_length=64, help_text="The token's `jti` claim.")
    expires_at = models.DateTimeField(
        default=when_all_have_expired, help_text="When every such token has expired, and this row is no longer needed."
    )

    class Meta:
        ordering = ["-expires_at"]
        permissions = [  # here because tokens that are issued have no table
            ("issue_token", "Can issue tokens"),
            ("issue_token_for_others", "Can issue tokens for others"),
            ("issue_token_for_all_agents", "Can issue tokens that work as any agent"),
        ]

    def __str__(self) -> str:
        return self.jti

    def described(self) -> str:
        """Return it for the audit log."""
        return f"revoked token {self.jti}"

    def clean(self) -> None:
        """Refuse an id that no token can have. Raises ValidationError by field."""
        super().clean()
        if problem := tokens.id_problem(self.jti):
            raise ValidationError({"jti": problem})


class RevokedSubject(models.Model):
    """A subject whose tokens issued before a moment are revoked."""

    sub = models.CharField(
        "subject", max_length=80, db_index=True, help_text="The tokens' `sub` claim: the identity they act as."
    )
    issued_before = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(
        default=when_all_have_expired, help_text="When every such token has expired, and this row is no longer needed."
    )

    class Meta:
        ordering = ["-issued_before"]

    def described(self) -> str:
        """Return it for the audit log."""
        return f"revoked all tokens of {self.sub}"

    def clean(self) -> None:
        """Refuse a subject that no token can have. Raises ValidationError by field."""
        super().clean()
        if problem := subject_problem(self.sub):
            raise ValidationError({"sub": problem})

    def __str__(self) -> str:
        return f"{self.sub} before {self.issued_before:%Y-%m-%d %H:%M:%S}"
