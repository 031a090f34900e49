"""Responses written by an agent while the database is away."""

import asyncio
from typing import Any

import pytest
from django.db import OperationalError

from sessions_app import models
from sessions_app.core.errors import HoldfastError
from sessions_app.publishing import local_writer
from tests.support.responses import ERROR, begin, message_of, respond, session, text_of
from tests.support.writer import Writer, delta, finish, writer

__all__ = ["session", "writer"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


class Outage:
    """While `is_on`, transactions fail as when the database is away; `untold`: they fail after they were committed."""

    is_on = False
    untold = False


@pytest.fixture
def outage(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Outage:
    outage = Outage()
    commit = writer.log_writer._commit

    def fail_or_commit(group: list[Any]) -> Any:
        if outage.untold:
            commit(group)
        if outage.is_on or outage.untold:
            outage.untold = False
            raise OperationalError("the server closed the connection unexpectedly")
        return commit(group)

    monkeypatch.setattr(writer.log_writer, "_commit", fail_or_commit)
    return outage


def test_an_outage_delays_an_answer_and_loses_nothing(writer: Writer, session: models.Session, outage: Outage) -> None:
    response = respond(writer, session)

    async def agent() -> None:
        await begin(response)
        outage.is_on = True
        for number in range(20):
            await response.write(delta(f"{number} "))
            await asyncio.sleep(0.02)
        assert response.serial == 2
        outage.is_on = False
        await response.write(finish())
        await response.flush()

    writer.run(agent())
    assert text_of(response) == "".join(f"{number} " for number in range(20))
    assert message_of(response).status == "complete"


def test_an_unconfirmed_commit_is_not_repeated(writer: Writer, session: models.Session, outage: Outage) -> None:
    response = respond(writer, session)

    async def agent() -> None:
        outage.untold = True
        await begin(response)
        for number in range(10):
            outage.untold = number % 2 == 0
            await response.write(delta(f"{number} "))
            await response.flush()
        outage.untold = True
        await response.write(finish())
        await response.flush()

    writer.run(agent())
    assert text_of(response) == "".join(f"{number} " for number in range(10))
    session.refresh_from_db()
    assert session.tail == message_of(response).last_serial == 13
    assert models.Run.objects.get().status == "ended"


def test_an_outage_that_lasts_too_long_is_reported(
    writer: Writer, session: models.Session, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_writer, "RETRY_S", 0.3)
    response = respond(writer, session)

    async def agent() -> None:
        await begin(response)
        outage.is_on = True
        await response.write(delta("never stored"))
        with pytest.raises(HoldfastError, match="storage_unavailable"):
            await response.flush()
        with pytest.raises(HoldfastError, match="storage_unavailable"):
            await response.close(ERROR)

    writer.run(agent())
    assert text_of(response) == ""


def test_a_real_error_in_a_group_reaches_its_publisher_alone(writer: Writer, session: models.Session) -> None:
    good, bad = respond(writer, session), respond(writer, session)

    async def agents() -> None:
        await asyncio.gather(begin(good), begin(bad))
        with writer.together():
            await bad.write(delta("x", part="none"))
            await good.write(delta("fine"))
            await asyncio.sleep(0.1)
        await good.flush()
        with pytest.raises(HoldfastError, match="unknown_part"):
            await bad.flush()

    writer.run(agents())
    assert (text_of(good), text_of(bad)) == ("fine", "")
