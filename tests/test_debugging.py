"""Debugging: with DEBUG, Django logs the queries of requests only; no other thread keeps them."""

from typing import Any

import pytest
from django.db import connection

from sessions_app import models
from sessions_app.database import threads
from tests.support.stored import a_session
from tests.support.writer import Writer, begun

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def debugging(settings: Any) -> None:
    settings.DEBUG = True


def remembered() -> int:
    """Return the length of all queries that this thread remembers."""
    return sum(len(query["sql"]) for query in connection.queries_log)


def query() -> int:
    before = remembered()
    models.Session.objects.count()
    return before


async def test_reading_threads_keep_no_queries() -> None:
    times = 3 * threads.THREADS
    assert [await threads.run(query) for _ in range(times)] == [0] * times


def test_the_writing_thread_keeps_no_queries() -> None:
    session = a_session("guest:1")
    with Writer() as writer:
        for number in range(3):
            writer.append(session, f"m_{number}", begun(f"m_{number}", "x" * 10_000))
        assert writer.run(writer.log_writer.do(remembered)) < 10_000
