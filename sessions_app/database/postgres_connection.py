"""The connection class of PostgreSQL's pool: `"connection_class": PooledConnection` in OPTIONS["pool"]."""

from __future__ import annotations

from typing import Any, Self

import psycopg

from sessions_app.database import connection_failures


class PooledConnection(psycopg.Connection[Any]):
    """A connection that keeps the server's reason for a refusal."""

    @classmethod
    def connect(cls, *arguments: Any, **options: Any) -> Self:
        try:
            made = super().connect(*arguments, **options)
        except psycopg.Error as error:
            connection_failures.note(" ".join(str(error).split()))
            raise
        connection_failures.note("")
        return made
