"""Moments as rows and the wire have them."""

from __future__ import annotations

from datetime import UTC, datetime


def aware(value: datetime) -> datetime:
    """Return a moment of a row that was read by plain SQL: SQLite's have no time zone, and are in UTC."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """Return a moment as the wire has it: ms since 1970, UTC."""
    return round(moment.timestamp() * 1000)
