"""Rows about the site as a whole: the clock as retention has seen it, and what readiness writes."""

from __future__ import annotations

from django.db import models


class ClockReading(models.Model):
    """The clock when a process last read it: one row. It tells a clock that was set while all were stopped."""

    ROW = 1

    read_at = models.DateTimeField()
    steady_since = models.DateTimeField(null=True, help_text="When it was last seen to jump; empty once it is trusted.")

    def __str__(self) -> str:
        return f"clock at {self.read_at:%Y-%m-%d %H:%M}"


class WriteProbe(models.Model):
    """What a readiness check writes and removes in one transaction: nothing is ever stored here."""

    padding = models.TextField()

    def __str__(self) -> str:
        return "write probe"
