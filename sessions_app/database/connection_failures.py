"""Why the database refused a connection: the error of PostgreSQL's pool says only that none came in time."""

from __future__ import annotations

from django.db import Error

_refusal = ""  # why the last attempt to connect failed; empty if it didn't


def note(refusal: str) -> None:
    """Keep the server's reason, or note by an empty one that it accepts connections."""
    global _refusal
    _refusal = refusal


def describe(error: Error) -> str:
    """Return a database error for the log, with the server's reason if no connection came in time."""
    is_timeout = type(error.__cause__).__name__ == "PoolTimeout"  # by name: SQLite doesn't need its package
    return f"{error}: {_refusal}" if is_timeout and _refusal else str(error)
