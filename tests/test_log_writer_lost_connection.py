"""A lost PostgreSQL connection of the writer: one commit fails with an error, and the next is stored."""

import pytest
from django.db import connection

from sessions_app.core.errors import HoldfastError
from tests.support.stored import a_session
from tests.support.writer import Writer, begun, delta, serials, text_of, writer

__all__ = ["writer"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL's connections"),
]


def backend() -> int:
    """Return the process that serves this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid: int = cursor.fetchone()[0]
        return pid


def test_writes_continue_after_a_lost_connection(writer: Writer) -> None:
    session = a_session("user:1")
    writer.append(session, "r", begun("r", "one "))
    lost = writer.run(writer.log_writer.do(backend))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [lost])
    with pytest.raises(HoldfastError, match="storage_unavailable"):
        writer.append(session, "r", [delta("two")])
    writer.append(session, "r", [delta("two")])
    assert text_of(session, "r") == "one two"
    assert serials(writer, session) == [1, 2, 3, 4]
    assert writer.run(writer.log_writer.do(backend)) != lost
