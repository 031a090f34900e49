"""Arbitrary input to a running server: a named error or a close code, no traceback, no effect on others."""

import asyncio
import json
from collections.abc import Iterator
from functools import cache
from random import Random
from statistics import median
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sessions_app.core.errors import ERRORS
from sessions_app.core.signals import KINDS
from tests.support.harness import DEADLINE_S, Server, StartServer, guest
from tests.support.person import Person
from tests.support.raw_socket import BINARY, CLOSE, CONTINUATION, PING, TEXT, RawSocket, Refused

SERVER_FRAMES = {"connected", "attached", "events", "receipt", "heartbeat", "detached", "error", "going-away"}
CLOSE_CODES = {kind.close_code for kind in ERRORS.values() if kind.close_code} | {1002, 1003, 1007, 1009}
EXAMPLES = settings(phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", params=["runserver", "uvicorn"])
def server(request: pytest.FixtureRequest, start_shared_server: StartServer) -> Server:
    return start_shared_server(
        request.param,
        HOLDFAST_FRAMES_PER_SECOND="100000",
        HOLDFAST_SIGNALS_PER_MINUTE="100000",
        HOLDFAST_RUNS_PER_PROCESS="0",
    )


@pytest.fixture(autouse=True)
def no_traceback(server: Server) -> Iterator[None]:
    """Check that no client input made the server log a traceback."""
    before = len(server.log)
    yield
    assert server.process and server.process.poll() is None
    log = server.log[before:]
    assert log.count("Traceback") == log.count("ERROR") == 0, log


class Site:
    """Two people and their sessions, to be confused with each other."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.headers = guest(server)
        self.own = [self.create(self.headers) for _ in range(2)]
        self.strangers = self.create(guest(server))
        self.cursors = [self.cursor_of(session) for session in self.own]

    def create(self, headers: dict[str, str]) -> str:
        session: str = self.post("/api/sessions/", {}, headers).json()["id"]
        return session

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        headers = headers or self.headers
        token = dict(part.split("=", 1) for part in headers["Cookie"].split("; "))["csrftoken"]
        headers = headers | {"X-CSRFToken": token, "Content-Type": "application/json"}
        return httpx.post(f"{self.server.url}{path}", content=json.dumps(body), headers=headers, timeout=DEADLINE_S)

    def cursor_of(self, session: str) -> str:
        socket = self.connect()
        socket.send_text(json.dumps({"type": "attach", "session": session}))
        while (frame := json.loads(socket.read_until(TEXT).text))["type"] != "attached":
            pass
        socket.close()
        cursor: str = frame["cursor"]
        return cursor

    def connect(self) -> RawSocket:
        return RawSocket(self.server.port, headers=self.headers)


@pytest.fixture(scope="module")
def site(server: Server) -> Site:
    return Site(server)


def answers(socket: RawSocket) -> tuple[list[dict[str, Any]], int | None]:
    """Return the frames until the server has read everything or has closed, and the close code."""
    received: list[dict[str, Any]] = []
    try:
        socket.send_text('{"type": "ping"}')
        while True:
            frame = socket.receive()
            if frame.opcode == CLOSE:
                return received, frame.code
            if frame.opcode == TEXT:
                received.append(json.loads(frame.text))
                if received[-1]["type"] == "heartbeat":
                    return received, None
    except (EOFError, ConnectionError, BrokenPipeError):
        return received, 1006


def check(received: list[dict[str, Any]], code: int | None) -> None:
    assert code is None or code in CLOSE_CODES, code
    for frame in received:
        assert frame["type"] in SERVER_FRAMES
        for error in [frame] if frame["type"] == "error" else [frame[key] for key in ("error",) if frame.get(key)]:
            assert error["code"] in ERRORS and error["message"] and isinstance(error["retryable"], bool)
            assert error["code"] not in ("internal", "storage_unavailable"), error


# Frames that are nearly right

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@cache
def nearly_right(site: Site) -> st.SearchStrategy[Any]:
    sessions = [*site.own, site.strangers, "A" * 22, "", "../" * 8, "'; DROP TABLE sessions_app_session;--"]
    epoch = site.cursors[0].rpartition("-")[0]
    cursors = [*site.cursors, f"{epoch}-999999999999999", f"{epoch}-9999999999999999", f"{epoch}--1", "-", "\u0000-1"]
    fields = {
        "session": st.sampled_from(sessions) | anything,
        "cursor": st.sampled_from(cursors) | anything,
        "rewind": st.integers(-5, 2**70) | anything,
        "held": st.dictionaries(st.sampled_from(["m_1", "", "\u0000"]), st.lists(st.integers(-1, 2**40))) | anything,
        "id": st.from_regex(r"[A-Za-z0-9_-]{6,12}", fullmatch=True) | anything,
        "kind": kinds | anything,
        "payload": payloads | anything,
        "extra": anything,
    }
    return st.lists(st.fixed_dictionaries({"type": st.sampled_from(TYPES)}, optional=fields), min_size=1, max_size=8)


ids = st.sampled_from(["fuzz-0001", "fuzz-0002", "fuzz-0003"])  # few, so that one is often sent again
kinds = st.sampled_from([*KINDS, "", "k" * 40])
parts = st.fixed_dictionaries({"type": st.sampled_from(["text", "file"])}, optional={"text": st.text() | anything})
payloads = st.fixed_dictionaries(
    {},
    optional={
        "parts": st.lists(parts, max_size=20) | anything,
        "message": ids | anything,
        "approval": ids | anything,
        "input_hash": st.text(max_size=300) | anything,
        "input": st.dictionaries(st.text(max_size=8), anything, max_size=3) | anything,
        "reason": st.text(max_size=1100) | anything,
        "call": st.text(max_size=300) | anything,
        "output": anything,
        "error": st.text() | anything,
        "mode": st.sampled_from(["continue", "regenerate"]) | anything,
    },
)
TEXT_PART = {"parts": [{"type": "text", "text": "Hello"}]}


TYPES = ["attach", "detach", "ack", "signal", "ping", "attach", "ack", "signal", "publish", "connected", "", "\u0000"]


@EXAMPLES
@given(data=st.data())
def test_nearly_valid_frames(site: Site, data: st.DataObject) -> None:
    socket = site.connect()
    for one in data.draw(nearly_right(site)):
        try:
            socket.send_text(json.dumps(one, ensure_ascii=data.draw(st.booleans())))
        except UnicodeEncodeError:
            socket.send_text(json.dumps(one))
    received, code = answers(socket)
    check(received, code)
    assert code is None, f"closed with {code}: {received[-1:]}"
    socket.close()


@EXAMPLES
@given(sent=st.lists(st.tuples(ids, kinds, payloads | st.just(TEXT_PART)), min_size=1, max_size=8))
def test_nearly_valid_signals(site: Site, sent: list[tuple[str, str, Any]]) -> None:
    """Each gets one receipt, or an error that names it, over a socket and over HTTP."""
    socket = site.connect()
    session = site.own[1]
    for id, kind, payload in sent:
        signal = {"type": "signal", "session": session, "id": id, "kind": kind, "payload": payload}
        socket.send_text(json.dumps(signal).replace("NaN", "1").replace("Infinity", "1"))  # which JSON hasn't
    received, code = answers(socket)
    check(received, code)
    assert code is None
    answered = [frame["id"] for frame in received if frame["type"] in ("receipt", "error")]
    assert answered == [id for id, _, _ in sent]
    socket.close()
    id, kind, payload = sent[0]
    answer = site.post(f"/api/sessions/{session}/signals/", {"id": id, "kind": kind, "payload": payload})
    assert answer.status_code < 500, answer.text
    if answer.json().get("type") == "receipt":
        check([answer.json()], None)
    else:
        assert answer.json()["code"] in ERRORS


# Texts that are no frame

TEXTS = [
    "", " ", "null", "true", "0", '""', "[]", "{}", "{", "}", '{"type"', '{"type":}', '{"type": "ping"', "ping",
    "\ufeff{}",
    '{"type": "ping"} {"type": "ping"}', '{"type": "ping", "type": "attach"}', '{"type": ["ping"]}', "NaN", "1e999",
    '{"type": "ping", "n": 1e999}', '{"type": "ping", "n": NaN}', '{"type": "ping", "s": "\\ud800"}', "'{}'",
    "[" * 60_000, '{"a":' * 10_000, '{"type": "ping", "x": ' + "[" * 2000 + "]" * 2000 + "}", "\u0000", "{}\u0000",
    '{"type": "signal", "session": "' + "A" * 22 + '", "id": "12345678", "kind": "message", "payload": '
    + '{"p":' * 900 + "1" + "}" * 900 + "}", '{"type": "ping", "n": ' + "9" * 5000 + "}",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:24])
def test_texts_that_are_no_frame(site: Site, text: str) -> None:
    socket = site.connect()
    socket.send_text(text)
    received, code = answers(socket)
    check(received, code)
    assert code is None
    socket.close()


@EXAMPLES
@given(text=st.text(max_size=300), cut=st.integers(0, 60))
def test_random_and_truncated_texts(site: Site, text: str, cut: int) -> None:
    socket = site.connect()
    whole = json.dumps({"type": "attach", "session": site.own[0], "cursor": site.cursors[0]})
    for one in (text, whole[:cut], whole + text):
        socket.send(TEXT, one.encode(errors="ignore"))
    received, code = answers(socket)
    check(received, code)
    assert code is None
    socket.close()


# Bytes that are no message


@EXAMPLES
@given(data=st.binary(min_size=1, max_size=200))
def test_random_bytes_instead_of_frames(site: Site, data: bytes) -> None:
    socket = site.connect()
    socket.send_bytes(data + bytes(300))
    received, code = answers(socket)
    check(received, None if code == 1006 else code)
    socket.close()


@EXAMPLES
@given(payload=st.binary(max_size=200), opcode=st.sampled_from([TEXT, BINARY, CONTINUATION, PING, 3, 15]))
def test_random_payloads(site: Site, payload: bytes, opcode: int) -> None:
    socket = site.connect()
    socket.send(opcode, payload)
    received, code = answers(socket)
    check(received, None if code == 1006 else code)
    socket.close()


def test_a_binary_message_is_refused_with_a_named_error(site: Site) -> None:
    socket = site.connect()
    socket.send(BINARY, b'{"type": "ping"}')
    received, code = answers(socket)
    check(received, code)
    assert [frame["code"] for frame in received if frame["type"] == "error"] == ["bad_frame"]


def test_a_frame_that_is_too_large_gets_an_error_and_a_close(site: Site) -> None:
    socket = site.connect()
    socket.send_text(json.dumps({"type": "ping", "x": "x" * 66_000}))
    received, code = answers(socket)
    assert (received[-1]["code"], code) == ("frame_too_large", 4413)


def test_a_huge_frame_closes_its_socket(site: Site) -> None:
    socket = site.connect()
    try:
        socket.send_text(json.dumps({"type": "ping", "x": "x" * 30_000_000}))
    except OSError:
        pass  # closed while it was sent
    assert answers(socket)[1] in (1009, 4413, 1006)


# Doors

ORIGINS = [
    "", "null", "http://evil.example", "http://[::1", "//", "\xff",
    "http://" + "a" * 3000, "http://127.0.0.1.evil.example", "javascript:alert(1)", "http://localhost@evil.example",
]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS, ids=repr)
def test_another_origin_is_refused_with_its_error(site: Site, origin: str) -> None:
    try:
        socket = RawSocket(site.server.port, headers=site.headers | {"Origin": origin})
    except (Refused, EOFError, ConnectionError):
        return
    received, code = answers(socket)
    assert ([frame.get("code") for frame in received], code) == (["forbidden_origin"], 4403)


COOKIES = [
    "", "x", "=", ";;;", "holdfast_guest=", "holdfast_guest=nonsense", "holdfast_guest=a:b:c", "sessionid=x",
    "sessionid=" + "a" * 32, "sessionid=../../etc", "holdfast_guest=" + "x" * 4000, 'a="\\', "\xff=\xfe",
]  # fmt: skip


@pytest.mark.parametrize("cookie", COOKIES, ids=repr)
def test_an_unauthenticated_client_is_refused_with_its_error(site: Site, cookie: str) -> None:
    try:
        socket = RawSocket(site.server.port, headers=site.headers | {"Cookie": cookie})
    except (Refused, EOFError, ConnectionError):
        return
    received, code = answers(socket)
    assert ([frame["code"] for frame in received], code) == (["signed_out"], 4401)


@pytest.mark.parametrize("other", ['json={"a": [1, 2]}', "a b=c", "x=é", 'q="un;closed', "=; ==; a==b"])
def test_an_unrelated_cookie_does_not_hide_ours(site: Site, other: str) -> None:
    socket = RawSocket(site.server.port, headers=site.headers | {"Cookie": f"{other}; {site.headers['Cookie']}"})
    received, code = answers(socket)
    assert (received[0]["type"], code) == ("connected", None)


# Others


async def test_a_flood_does_not_affect_other_clients(server: Server, site: Site) -> None:
    random = Random(3)
    async with Person(server.url) as person:
        session = await person.create_session()
        await person.connect()
        followed = await person.attach(session)
        flood = asyncio.create_task(asyncio.to_thread(send_garbage, site, random))
        took: list[float] = []
        for number in range(30):
            began = asyncio.get_running_loop().time()
            await person.say(session, f"turn {number}")
            await person.wait_until(lambda number=number: len(followed.messages) > number)
            took.append(asyncio.get_running_loop().time() - began)
            await asyncio.sleep(0.03)
        await flood
        assert followed.serials == list(range(1, 31))
        assert median(took) < 1  # seconds; the slowest would say whether the machine stood still meanwhile
        assert followed.gaps == 0 and person.close_code is None


def send_garbage(site: Site, random: Random) -> None:
    """Open sockets that send arbitrary bytes as fast as they can, and read nothing."""
    for _ in range(6):
        socket = site.connect()
        try:
            for _ in range(60):
                socket.send_text(random.choice(TEXTS)[:5000])
                for session in (*site.own, site.strangers):
                    socket.send_text(json.dumps({"type": "attach", "session": session, "rewind": 200}))
        except OSError:
            pass
        socket.cut()
