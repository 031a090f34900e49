"""PostgreSQL ends all connections, as when it restarts: one commit fails, is told so, and the next ones are stored."""

import pytest
from django.db import connection

from sessions_app.core.errors import HoldfastError
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session
from tests.support.writer import Writer, begun, delta, serials, text_of, writer

__all__ = ["writer"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL's connections"),
]

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"


def test_writes_go_on(writer: Writer) -> None:
    session = a_session("user:1")
    writer.append(session, "r", begun("r", "one "))
    with connection.cursor() as cursor:
        cursor.execute(f"{CUT} AND pid <> pg_backend_pid()")
        cut = len(cursor.fetchall())
    refusals = []
    # Each of the lost connections that the pool has may cost one attempt.
    for _ in range(cut + 1):
        try:
            writer.submit(session, "r", [delta("two")]).result(DEADLINE_S)
            break
        except HoldfastError as problem:
            refusals.append(problem.code)
    assert refusals and set(refusals) == {"storage_unavailable"}
    assert text_of(session, "r") == "one two"
    assert serials(writer, session) == [1, 2, 3, 4]
