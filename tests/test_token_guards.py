"""Access by token: the same tokens, sessions and scopes on every transport, and cookies do not count."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import AsyncClient, Client

from sessions_app import process
from sessions_app.auth import identity, tokens
from sessions_app.database import threads
from sessions_app.fairness.rates import limiter
from sessions_app.models import RevokedSubject, Session
from tests.support.requests import GUEST, Events, message_signal, new_session, publish_answer, refusal_of, running
from tests.support.stored import default_policy
from tests.support.token_socket import EVIL, TokenSocket
from tests.support.tokens import KEYS, OLD_KEY, SUB, bearer, token

__all__ = ["running"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

S = "A" * 22
# Every way in, with the scope that it needs.
WAYS = {
    "stream": ("POST", "/api/stream/", {"attach": [{"session": "{session}"}]}, "read"),
    "session stream": ("GET", "/api/sessions/{session}/stream/", None, "read"),
    "poll": ("POST", "/api/poll/", {"attach": [{"session": "{session}"}], "wait_ms": 0}, "read"),
    "session poll": ("GET", "/api/sessions/{session}/poll/?wait_ms=0", None, "read"),
    "signal": ("POST", "/api/sessions/{session}/signals/", message_signal("signal-0001"), "send"),
    "session": ("GET", "/api/sessions/{session}/", None, "read"),
    "messages": ("GET", "/api/sessions/{session}/messages/", None, "read"),
    "rename": ("PATCH", "/api/sessions/{session}/", {"title": "x"}, "send"),
    "delete": ("DELETE", "/api/sessions/{session}/", None, "send"),
    "attach": ("WS", "", {"type": "attach", "session": "{session}"}, "read"),
    "frame": ("WS", "", {"type": "signal", "session": "{session}", **message_signal("signal-0002")}, "send"),
}  # fmt: skip
ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(autouse=True)
def quick(settings: Any, running: process.Process) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS}


def filled(body: Any, session: str) -> Any:
    return None if body is None else json.loads(json.dumps(body).replace("{session}", session))


async def code_of(way: str, text: str, session: str) -> str:
    """Return the code of the refusal that a client with this token gets, or nothing."""
    method, path, body, _ = WAYS[way]
    if method == "WS":
        async with TokenSocket(text) as socket:
            if socket.said[0]["type"] == "error":
                return str(socket.said[0]["code"])
            answer = await socket.ask(filled(body, session))
            return str(answer.get("code") or answer.get("error", {}).get("code", ""))
    return await code_of_answer(await request(method, path, body, session, bearer(text)))


async def request(method: str, path: str, body: Any, session: str, headers: dict[str, str], **client: Any) -> Any:
    sent = {"data": json.dumps(filled(body, session)), "content_type": "application/json"} if body is not None else {}
    browser = client.get("client") or AsyncClient(enforce_csrf_checks=True)
    return await getattr(browser, method.lower())(path.format(session=session), headers=headers, **sent)


async def code_of_answer(response: Any) -> str:
    if hasattr(response, "_body"):
        events = Events(response)
        await events.next()
        frames = [await events.frame()]
        await events.close()
    elif response.status_code == 204:
        return ""
    else:
        answer = response.json()
        if "code" in answer:
            assert refusal_of(response)[1] == answer["code"]
        frames = [answer, *answer.get("frames", [])]
    errors = [frame.get("error", frame) for frame in frames if "code" in frame or frame.get("type") == "receipt"]
    return str(errors[0].get("code", "")) if errors else ""


@ways
async def test_the_subject_of_a_token_is_admitted(way: str) -> None:
    session = await new_session(SUB)
    for text in (
        token(),
        token(kid="old", key=OLD_KEY),
        token(sessions=[session]),
        token(sessions=[f"{session[:9]}*"]),
    ):
        if way == "delete":
            session = await new_session(SUB)
            text = token(sessions=[session])
        limiter.cache_clear()
        assert await code_of(way, text, session) == ""


@ways
async def test_an_invalid_token_is_refused(way: str) -> None:
    session = await new_session(SUB)
    now = int(time.time())
    for text, code in (
        (token(key="x" * 40), "bad_token"), (token(kid="other"), "bad_token"), (token(alg="HS512"), "bad_token"),
        (token(alg="none", key=""), "bad_token"), (token(sub=None), "bad_token"), (token(aud="another"), "bad_token"),
        (token(iat=now + 60), "bad_token"), (token(exp=now + 9999), "bad_token"), (token(pad="x" * 4096), "bad_token"),
        (token(iat=now - 99, exp=now - 9), "token_expired"), ("nonsense", "bad_token"),
    ):  # fmt: skip
        assert await code_of(way, text, session) == code


@ways
async def test_uncovered_and_other_owners_sessions_look_nonexistent(way: str) -> None:
    own, other, theirs = await new_session(SUB), await new_session(SUB), await new_session("ext:bob")
    for text, session in (
        (token(sessions=[own]), other),
        (token(), theirs),
        (token(sessions=[theirs]), theirs),
        (token(), S),
    ):
        assert await code_of(way, text, session) == "not_found"
    assert await threads.run(Session.objects.count) == 3


@ways
async def test_each_operation_requires_its_scope(way: str) -> None:
    session = await new_session(SUB)
    needed = WAYS[way][3]
    others = " ".join({"read", "send", "approve", "cancel", "publish"} - {needed})
    assert await code_of(way, token(scope=others), session) == "forbidden_scope"


@pytest.mark.parametrize(("kind", "scope"), [("approve", "approve"), ("deny", "approve"), ("cancel", "cancel")])
async def test_a_signal_requires_the_scope_of_its_kind(kind: str, scope: str) -> None:
    session = await new_session(SUB)
    path = f"/api/sessions/{session}/signals/"
    body = message_signal("signal-0001") | {"kind": kind}
    response = await request("POST", path, body, session, bearer(token(scope="read send publish")))
    error = response.json()["error"]
    assert response.status_code == 403 and error["code"] == "forbidden_scope" and error["message"].endswith(scope)


@ways
async def test_a_revoked_token_is_refused(way: str) -> None:
    session = await new_session(SUB)
    text = token(jti="gone")
    await threads.run(tokens.revoke, "gone")
    assert await code_of(way, text, session) == "token_expired"


async def test_cookies_are_ignored_beside_a_token() -> None:
    """No credential adds rights to another: a guest's session, a staff login, an Origin, a CSRF token."""
    guests = await new_session(f"guest:{'0' * 32}")
    staff = Client()
    await threads.run(lambda: staff.force_login(get_user_model().objects.create_user("olivia", is_staff=True)))
    client = AsyncClient(enforce_csrf_checks=True)
    client.cookies["holdfast_guest"], client.cookies["sessionid"] = GUEST, staff.cookies["sessionid"].value
    for path in (f"/api/sessions/{guests}/", f"/api/sessions/{guests}/poll/?wait_ms=0"):
        response = await request("GET", path, None, guests, bearer(token()), client=client)
        assert refusal_of(response) == (404, "not_found")
    response = await request("GET", f"/api/sessions/{guests}/", None, guests, bearer("nonsense"), client=client)
    assert refusal_of(response) == (401, "bad_token") and response["WWW-Authenticate"].startswith("Bearer")
    for path in ("/api/policies/", "/api/tokens/"):
        response = await request("POST", path, {}, "", bearer(token(sub=SUB)), client=client)
        assert refusal_of(response) == (403, "forbidden")
    async with TokenSocket(token(), cookie=GUEST, origin="http://localhost") as socket:
        assert (await socket.ask({"type": "attach", "session": guests}))["code"] == "not_found"


async def test_any_origin_may_use_a_token_but_no_cookie() -> None:
    session = await new_session(SUB)
    headers = bearer(token()) | {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}
    assert (await request("POST", WAYS["poll"][1], WAYS["poll"][2], session, headers)).status_code == 200
    headers["Authorization"] = "Basic " + headers["Authorization"].removeprefix("Bearer ")
    client = AsyncClient()
    client.cookies["holdfast_guest"] = GUEST
    assert refusal_of(await request("POST", "/api/poll/", {}, session, headers, client=client))[1] == "forbidden_origin"


async def test_a_page_opened_with_a_token_creates_no_guest() -> None:
    response = await AsyncClient().get("/login/", headers=bearer(token()))
    assert response.status_code == 200 and "holdfast_guest" not in response.cookies


async def test_without_the_database_a_request_is_refused_and_may_be_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(held: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(tokens, "revoked", fails)
    for way in ("poll", "session", "attach"):
        assert await code_of(way, token(), S) == "storage_unavailable"
    async with TokenSocket(token()) as socket:
        assert await socket.end() == ("storage_unavailable", 4503)


# Sessions by a token


async def test_a_token_lists_the_sessions_it_covers() -> None:
    own, _, _ = [await new_session(SUB) for _ in range(2)] + [await new_session("ext:bob")]
    for sessions, count in (["*"], 2), ([own], 1), ([f"{own[:-1]}*"], 1), ([S], 0):
        listed = await request("GET", "/api/sessions/", None, "", bearer(token(sessions=sessions)))
        assert len(listed.json()["results"]) == count
    assert refusal_of(await request("GET", "/api/sessions/", None, "", bearer(token(scope="send")))) == (
        403,
        "forbidden_scope",
    )


async def test_a_token_creates_sessions_for_its_subject() -> None:
    await threads.run(default_policy)
    created = await request("POST", "/api/sessions/", {"agent": ""}, "", bearer(token(scope="send")))
    assert created.status_code == 201
    assert (await threads.run(Session.objects.get, pk=created.json()["id"])).owner == SUB
    for narrow in (token(scope="read"), token(sessions=[S])):
        refused = await request("POST", "/api/sessions/", {"agent": ""}, "", bearer(narrow))
        assert refusal_of(refused) == (403, "forbidden_scope")


# A socket's handshake


@pytest.mark.parametrize(
    ("how", "answered"),
    [("header", None), ("holdfast, bearer.{token}", "holdfast"), ("bearer.{token}, x, holdfast", "holdfast")],
)
async def test_a_socket_accepts_a_token_as_header_or_subprotocol(how: str, answered: str | None) -> None:
    session = await new_session(SUB)
    async with TokenSocket(token(), how=how) as socket:
        assert socket.accepted["subprotocol"] == answered
        assert (await socket.ask({"type": "attach", "session": session}))["type"] == "attached"


async def test_a_subprotocol_without_a_token_uses_the_cookies() -> None:
    async with TokenSocket("", how="holdfast", cookie=GUEST, origin="http://localhost") as socket:
        assert (socket.accepted["subprotocol"], socket.said[0]["type"]) == ("holdfast", "connected")
    async with TokenSocket("", how="holdfast", cookie=GUEST) as socket:
        assert await socket.end() == ("forbidden_origin", 4403)


async def test_a_socket_with_a_bad_token_is_closed_with_its_error() -> None:
    for how in ("header", "holdfast, bearer.{token}"):
        async with TokenSocket("nonsense", how=how) as socket:
            assert await socket.end() == ("bad_token", 4401)


# While it is open


@pytest.fixture
async def rechecked(settings: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A process that looks at its identities often."""
    await process.stop(0)
    settings.HOLDFAST = settings.HOLDFAST | {"RECHECK_MS": 100}
    monkeypatch.setattr(process, "_current", None)
    await process.current()
    yield


@pytest.mark.parametrize("how", ["revoked", "revoked with all of theirs", "expired"])
async def test_a_revocation_ends_sockets_streams_and_polls_within_seconds(
    rechecked: None, monkeypatch: pytest.MonkeyPatch, settings: Any, how: str
) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"POLL_MS": 60_000}
    session = await new_session(SUB)
    text = token(jti="gone", iat=int(time.time()) - 1)
    async with TokenSocket(text) as socket, TokenSocket(token(sub="ext:bob", exp=int(time.time()) + 3600)) as other:
        events = Events(await request("POST", "/api/stream/", {"attach": []}, session, bearer(text)))
        await events.next()
        poll = asyncio.create_task(request("POST", "/api/poll/", {"attach": []}, session, bearer(text)))
        here = await process.current()
        while len(here.connections) < 4:
            await asyncio.sleep(0.01)
        if how == "revoked":
            await threads.run(tokens.revoke, "gone")
        elif how == "expired":
            expires_at = time.time() + 650
            monkeypatch.setattr(time, "time", lambda: expires_at)
        else:
            await threads.run(lambda: RevokedSubject.objects.create(sub=SUB))
        assert await socket.end() == ("token_expired", 4401)
        assert (await events.frame())["code"] == "token_expired"
        with pytest.raises(StopAsyncIteration):
            await events.next()
        assert (await poll).json()["frames"][-1]["code"] == "token_expired"
        assert (await other.ask({"type": "ping"}))["type"] == "heartbeat"


async def test_a_fresh_token_replaces_the_old_one_without_disconnecting(
    rechecked: None, running: process.Process
) -> None:
    session = await new_session(SUB)
    async with TokenSocket(token(jti="gone")) as socket:
        await socket.ask({"type": "attach", "session": session})
        fresh, grant = tokens.issue(sub=SUB, scope="read", sessions=["*"], life_s=60)
        answer = await socket.ask({"type": "authenticate", "token": fresh})
        assert answer == {"type": "authenticated", "expires_at": grant.expires_at * 1000}
        await threads.run(tokens.revoke, "gone")
        here = await process.current()
        await here.connections.check_identities()
        await publish_answer(here, session, "still here")
        await socket.until(lambda: socket.said[-1]["type"] == "events")
        assert socket.code is None


async def test_a_recheck_asks_for_those_alone_who_may_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def still_valid(identities: Any) -> Any:
        given = list(identities)
        asked.append({each.owner for each in given})
        return original(given)

    original = identity.still_valid
    here = await process.current()
    async with TokenSocket(None, cookie=GUEST, origin="http://localhost") as guest:
        monkeypatch.setattr(identity, "still_valid", still_valid)
        await here.connections.check_identities()
        assert asked == []
        async with TokenSocket(token()):
            asked.clear()  # the handshake asks, too
            await here.connections.check_identities()
        assert asked == [{SUB}]
        assert (await guest.ask({"type": "ping"}))["type"] == "heartbeat"


async def test_sessions_not_covered_by_the_fresh_token_are_detached() -> None:
    kept, dropped = await new_session(SUB), await new_session(SUB)
    async with TokenSocket(token()) as socket:
        for session in (kept, dropped):
            await socket.ask({"type": "attach", "session": session})
        told_ = await socket.ask({"type": "authenticate", "token": token(sessions=[kept], scope="read")})
        assert (told_["type"], told_["session"], told_["error"]["code"]) == ("detached", dropped, "not_found")
        await socket.until(lambda: socket.said[-1]["type"] == "authenticated")
        frame = {"type": "signal", "session": kept, **message_signal("signal-0001")}
        assert (await socket.ask(frame))["error"]["code"] == "forbidden_scope"
        told_ = await socket.ask({"type": "authenticate", "token": token(scope="send")})
        assert (told_["session"], told_["error"]["code"]) == (kept, "forbidden_scope")


async def test_an_invalid_fresh_token_closes_the_socket() -> None:
    now = int(time.time())
    for fresh, code in (
        (token(sub="ext:bob"), "bad_token"), (token(key="x" * 40), "bad_token"), ("", "bad_token"),
        (token(iat=now - 99, exp=now - 9), "token_expired"),
    ):  # fmt: skip
        async with TokenSocket(token()) as socket:
            await socket.ask({"type": "authenticate", "token": fresh})
            assert await socket.end() == (code, 4401)


async def test_a_cookie_login_cannot_be_refreshed_by_a_token() -> None:
    async with TokenSocket(None, cookie=GUEST, origin="http://localhost") as socket:
        for frame, code in (({"token": token()}, "bad_frame"), ({}, "bad_frame"), ({"token": 7}, "bad_frame")):
            assert (await socket.ask({"type": "authenticate", **frame}))["code"] == code
        assert socket.code is None


async def test_a_refresh_without_the_database_may_be_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(token: str) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    async with TokenSocket(token()) as socket:
        with monkeypatch.context() as away:
            away.setattr(identity, "still_valid", fails)
            answer = await socket.ask({"type": "authenticate", "token": token()})
            assert (answer["code"], socket.code) == ("storage_unavailable", None)
        assert (await socket.ask({"type": "authenticate", "token": token()}))["type"] == "authenticated"
