"""How connections ended, and which tokens ended early."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

from sessions_app import conf
from sessions_app.core import proxies

CLOCKS_S = 60  # by which the clocks of those who issue tokens may differ from ours, and more


class ConnectionRecord(models.Model):
    """How one connection ended, kept for a while to find out what cuts connections. Nothing in it says whose it was."""

    class Ended(models.TextChoices):
        BY_CLIENT = "client", "closed by client"
        BY_SERVER = "server", "closed by server"
        CUT = "cut", "cut"
        LOST = "lost", "lost"
        LEFT = "left", "client left"

    transport = models.CharField(max_length=16, help_text="websocket, stream or poll.")
    process = models.CharField(max_length=128, help_text="Host and process id of the server process.")
    ended_at = models.DateTimeField(db_index=True)
    ended = models.CharField(
        max_length=8,
        choices=Ended,
        help_text="Cut: without a close frame. Lost: without an answer to a ping. Client left: over HTTP, where a "
        "closed tab and a cut look the same.",
    )
    code = models.PositiveSmallIntegerField(
        null=True, help_text="WebSocket close code; 1006 stands for no close frame."
    )
    life_s = models.FloatField(help_text="Seconds from its beginning to its end.")
    idle_s = models.FloatField(
        null=True, help_text="Seconds between its end and what was last sent or received on it before."
    )
    exact = models.BooleanField(
        default=False, help_text="Idle time by the kernel, pings included; else since the last frame that is known."
    )
    headers = models.CharField(
        max_length=proxies.HEADERS_LENGTH, blank=True, help_text="Which headers of proxies its request carried."
    )
    hops = models.PositiveSmallIntegerField(default=0, help_text="Addresses in X-Forwarded-For; they are not kept.")
    ray = models.CharField("Ray id", max_length=proxies.RAY_LENGTH, blank=True, help_text="Cloudflare's CF-Ray.")

    class Meta:
        ordering = ["-ended_at"]

    def __str__(self) -> str:
        return f"{self.transport} {self.get_ended_display()} after {self.life_s:.1f} s"

    @property
    def began_at(self) -> datetime:
        return self.ended_at - timedelta(seconds=self.life_s)


# Tokens that have ended early


def when_all_have_expired() -> datetime:
    """When every token that there is now has expired by itself: of another back end's nobody here knows more."""
    return timezone.now() + timedelta(seconds=conf.settings.token_max_s + CLOCKS_S)


class RevokedToken(models.Model):
    """One token that is valid no more."""

    jti = models.CharField("token id", primary_key=True, max_length=64, help_text="Its `jti` claim.")
    expires_at = models.DateTimeField(default=when_all_have_expired, help_text="When this row is needed no more.")

    class Meta:
        ordering = ["-expires_at"]
        permissions = [  # here because tokens that are issued have no table
            ("issue_token", "Can issue tokens"),
            ("issue_token_for_others", "Can issue tokens for others"),
        ]

    def __str__(self) -> str:
        return self.jti


class RevokedSubject(models.Model):
    """All tokens of somebody that were issued before a moment."""

    sub = models.CharField("subject", max_length=80, db_index=True, help_text="Whom they act as: their `sub` claim.")
    issued_before = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(default=when_all_have_expired, help_text="When this row is needed no more.")

    class Meta:
        ordering = ["-issued_before"]

    def __str__(self) -> str:
        return f"{self.sub} before {self.issued_before:%Y-%m-%d %H:%M:%S}"
