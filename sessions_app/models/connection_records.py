"""Connection records: how connections ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models

from sessions_app.core import proxies


class ConnectionRecord(models.Model):
    """The end of one connection, kept for a while to diagnose what cuts connections. Holds no personal data."""

    class Ended(models.TextChoices):
        BY_CLIENT = "client", "closed by client"
        BY_SERVER = "server", "closed by server"
        CUT = "cut", "cut"
        LOST = "lost", "lost"
        LEFT = "left", "client left"

    transport = models.CharField(max_length=16, help_text="`websocket`, `stream` or `poll`.")
    process = models.CharField(max_length=128, help_text="Host and process id of the server process.")
    ended_at = models.DateTimeField(db_index=True)
    ended = models.CharField(
        max_length=8,
        choices=Ended,
        help_text="Cut: without a close frame. Lost: without an answer to a ping. Client left: over HTTP, where a "
        "closed tab and a cut look the same.",
    )
    code = models.PositiveSmallIntegerField(null=True, help_text="WebSocket close code. 1006: no close frame.")
    life_s = models.FloatField(help_text="Lifetime in seconds.")
    idle_s = models.FloatField(null=True, help_text="Seconds without traffic before the end.")
    exact = models.BooleanField(
        default=False,
        help_text="Idle time as measured by the kernel, pings included. Otherwise since the last known frame.",
    )
    headers = models.CharField(max_length=proxies.HEADERS_LENGTH, blank=True, help_text="Proxy headers of the request.")
    hops = models.PositiveSmallIntegerField(
        default=0, help_text="Number of addresses in X-Forwarded-For. The addresses are not kept."
    )
    ray = models.CharField(
        "Ray id", max_length=proxies.RAY_LENGTH, blank=True, help_text="CF-Ray header, from Cloudflare."
    )

    class Meta:
        ordering = ["-ended_at"]

    def __str__(self) -> str:
        return f"{self.transport} {self.get_ended_display()} after {self.life_s:.1f} s"

    @property
    def began_at(self) -> datetime:
        return self.ended_at - timedelta(seconds=self.life_s)
