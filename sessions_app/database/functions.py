"""Database functions that Django lacks."""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, Func


class Bytes(Func):
    """Bytes of a text in UTF-8."""

    function = "OCTET_LENGTH"
    output_field = BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # SQLite has OCTET_LENGTH from 3.43 on.
        return self.as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)
