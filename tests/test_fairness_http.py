"""Limits over HTTP: answers cost their bytes, requests wait in turns, and a site without guests is closed to them."""

from typing import Any

import pytest
from django.test import Client

from sessions_app.auth.addresses import scope_client_key
from sessions_app.database import threads
from sessions_app.fairness import answers, rates, requests
from sessions_app.fairness.payer import Payer
from sessions_app.models import Session
from tests.support.requests import (
    GUEST,
    OWNER,
    Browser,
    Events,
    limit,
    message_signal,
    new_session,
    refusal_of,
    running,
)
from tests.support.stored import a_message
from tests.support.token_socket import TokenSocket
from tests.support.tokens import KEYS, bearer, token

__all__ = ["limit", "running"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "x" * 30_000
MINE = Payer(OWNER, "127.0.0.1")


@pytest.fixture(autouse=True)
def small_budget(limit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "WAIT_S", 0.05)
    limit(ANSWER_BYTES_PER_MINUTE=65_536, TOKEN_KEYS=KEYS)


async def a_long_session(owner: str = OWNER) -> str:
    session = await new_session(owner)
    await threads.run(lambda: a_message(Session.objects.get(pk=session), LONG))
    return session


def in_debt() -> None:
    rates.spend("answer", MINE, 100_000)


# Answers


async def test_pages_of_history_cost_their_bytes_and_then_are_refused_with_a_time() -> None:
    session = await a_long_session()
    statuses = []
    for _ in range(5):
        response = await Browser().get(f"/api/sessions/{session}/messages/")
        statuses.append(response.status_code)
    assert statuses[:2] == [200, 200] and statuses[-1] == 429
    assert refusal_of(response) == (429, "read_limit")
    assert 0 < int(response["Retry-After"]) <= 60


async def test_requests_and_attaches_draw_on_one_budget() -> None:
    session = await a_long_session()
    in_debt()
    poll = await Browser().get(f"/api/sessions/{session}/poll/")
    assert refusal_of(poll) == (429, "read_limit") and int(poll["Retry-After"]) > 0
    page = await Browser().get(f"/api/sessions/{session}/messages/")
    assert refusal_of(page) == (429, "read_limit")


async def test_a_stream_in_debt_says_so_and_may_ask_again() -> None:
    session = await a_long_session()
    in_debt()
    events = Events(await Browser().post("/api/stream/", {"attach": [{"session": session}]}))
    assert (await events.frame())["type"] == "connected"
    error = await events.frame()
    assert (error["code"], error["session"], error["retryable"]) == ("read_limit", session, True)
    assert error["retry_after_ms"] > 0
    await events.close()


async def test_signals_are_sent_in_debt() -> None:
    session = await new_session()
    in_debt()
    response = await Browser().post(f"/api/sessions/{session}/signals/", message_signal("signal-0001"))
    assert response.status_code == 200


async def test_a_back_end_pays_nothing() -> None:
    session = await a_long_session("ext:alice")
    headers = bearer(token())
    for _ in range(5):
        response = await Browser(guest="").get(f"/api/sessions/{session}/messages/", **headers)
        assert response.status_code == 200


async def test_new_sessions_are_limited(limit: Any) -> None:
    limit(SESSIONS_PER_HOUR=2, ANSWER_BYTES_PER_MINUTE=6_291_456)
    answered = [await Browser().post("/api/sessions/", {}) for _ in range(3)]
    assert [response.status_code for response in answered] == [201, 201, 429]
    assert refusal_of(answered[-1]) == (429, "rate_limited")
    assert int(answered[-1]["Retry-After"]) > 60


async def test_a_full_owner_begins_no_session_and_reads_on() -> None:
    session = await new_session()
    await threads.run(lambda: Session.objects.update(stored=2**30))
    assert refusal_of(await Browser().post("/api/sessions/", {})) == (409, "storage_full")
    assert (await Browser().get(f"/api/sessions/{session}/messages/")).status_code == 200


# Turns


async def test_requests_to_the_api_wait_in_a_line_of_bounded_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "LINE", 0)
    refused = await Browser().get("/api/sessions/")
    assert refusal_of(refused) == (429, "rate_limited") and refused["Retry-After"] == "1"
    bob = Browser(guest="")
    assert (await bob.get("/api/sessions/", **bearer(token()))).status_code == 200  # a back end


# The client's address


@pytest.mark.parametrize(
    ("client", "headers", "key"),
    [
        (("203.0.113.7", 5), [], "203.0.113.7"),
        (("2001:db8::1:2", 5), [], "2001:db8::/64"),
        (("203.0.113.7", 5), [(b"x-forwarded-for", b"198.51.100.1")], "203.0.113.7"),
        (None, [], ""),
    ],
)
def test_a_sockets_address(client: Any, headers: Any, key: str) -> None:
    assert scope_client_key({"client": client, "headers": headers}) == key


def test_a_sockets_address_behind_a_proxy(settings: Any) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}
    headers = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"203.0.113.7")]
    assert scope_client_key({"client": ("10.0.0.1", 5), "headers": headers}) == "203.0.113.7"


# A site without guests


async def test_without_guests_every_door_is_closed_in_words(limit: Any) -> None:
    session = await new_session()
    limit(GUESTS=False)
    browser = Browser()
    refusals = [
        await browser.get("/api/sessions/"),
        await browser.post("/api/sessions/", {}),
        await browser.get(f"/api/sessions/{session}/messages/"),
        await browser.get(f"/api/sessions/{session}/signals/"),
        await browser.get(f"/api/sessions/{session}/poll/"),
        await browser.get(f"/api/sessions/{session}/stream/"),
        await browser.post("/api/stream/", {"attach": []}),
        await browser.post("/api/poll/", {"attach": []}),
        await browser.post(f"/api/sessions/{session}/signals/", message_signal("signal-0001")),
    ]
    assert [refusal_of(response) for response in refusals] == [(401, "signed_out")] * len(refusals)
    assert all("no guests" in response.json()["message"] for response in refusals)
    async with TokenSocket(None, origin="http://localhost", cookie=GUEST) as socket:
        assert (socket.said[0]["code"], socket.code) == ("signed_out", 4401)
        assert "no guests" in socket.said[0]["message"]


def test_without_guests_the_page_asks_to_sign_in_and_makes_no_guest(limit: Any) -> None:
    limit(GUESTS=False)
    for address in ("/", f"/s/{'A' * 22}/"):
        response = Client().get(address)
        assert response.status_code == 302 and response["Location"].startswith("/login/")
        assert "holdfast_guest" not in response.cookies
    assert "holdfast_guest" not in Client().get("/login/").cookies


async def test_without_guests_tokens_work_on(limit: Any) -> None:
    session = await new_session("ext:alice")
    limit(GUESTS=False)
    response = await Browser(guest="").get(f"/api/sessions/{session}/messages/", **bearer(token()))
    assert response.status_code == 200
