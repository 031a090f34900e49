"""WebSockets of AI SDK clients at real servers: their addresses, large frames, and half-sent ones."""

import json
from typing import Any

import httpx
import pytest

from tests.support.harness import DEADLINE_S, Server, StartServer, guest
from tests.support.raw_socket import CLOSE, CONTINUATION, TEXT, RawSocket, Refused, encode

CHAT_BODY_BYTES = 300_000
TOO_BIG, LATE = 1009, 1008


@pytest.fixture(scope="module", params=["daphne", "serve"])
def server(start_shared_server: StartServer, request: Any) -> Server:
    return start_shared_server(
        request.param, HOLDFAST_CHAT_BODY_BYTES=str(CHAT_BODY_BYTES), HOLDFAST_REQUEST_BODY_S="1"
    )


def asks(*, padding: int = 0) -> bytes:
    """A frame of any size that one frame answers."""
    frame = {"type": "resume", "requestId": "r1", "id": "not-begun", "headers": {}, "body": {"padding": "x" * padding}}
    return json.dumps(frame).encode()


def frames(client: RawSocket, count: int) -> list[Any]:
    return [json.loads(client.read_until(TEXT).text) for _ in range(count)]


@pytest.mark.parametrize("path", ["/ws/chat/", "/ws/chat"])
def test_a_large_frame_is_taken_whole_and_in_pieces(server: Server, path: str) -> None:
    client = RawSocket(server.port, path, headers=guest(server))
    client.send(TEXT, asks(padding=250_000))
    assert [frame["type"] for frame in frames(client, 1)] == ["no-active"]
    data = asks(padding=250_000)
    client.send(TEXT, data[:100_000], fin=False)
    client.send(CONTINUATION, data[100_000:])
    assert [frame["type"] for frame in frames(client, 1)] == ["no-active"]
    for _ in range(20):  # at once
        client.send(TEXT, asks())
    assert [frame["type"] for frame in frames(client, 20)] == ["no-active"] * 20


def test_a_frame_beyond_the_limit_is_refused_by_its_requests_name(server: Server) -> None:
    client, other = (RawSocket(server.port, "/ws/chat/", headers=guest(server)) for _ in range(2))
    client.send(TEXT, asks(padding=CHAT_BODY_BYTES))
    [frame] = frames(client, 1)
    assert (frame["type"], frame["requestId"]) == ("error", "r1")
    assert json.loads(frame["errorText"])["code"] == "body_too_large"
    client.send(TEXT, asks())
    assert [frame["type"] for frame in frames(client, 1)] == ["no-active"]
    client.send(TEXT, asks(padding=2 * CHAT_BODY_BYTES))
    assert client.read_until(CLOSE).code == TOO_BIG
    other.send(TEXT, asks())
    assert [frame["type"] for frame in frames(other, 1)] == ["no-active"]


def test_a_client_that_may_not_connect_can_send_no_large_frame(server: Server) -> None:
    client = RawSocket(server.port, "/ws/chat/", headers={"Origin": "http://evil.example"})
    client.send(TEXT, asks(padding=CHAT_BODY_BYTES - 1000))
    assert client.read_until(CLOSE).code == TOO_BIG
    client = RawSocket(server.port, "/ws/chat/", headers=guest(server) | {"Origin": "http://evil.example"})
    client.send(TEXT, asks())
    assert json.loads(frames(client, 1)[0]["errorText"])["code"] == "forbidden_origin"
    assert client.read_until(CLOSE).code == 4403


@pytest.mark.parametrize("is_fragment", [True, False])
def test_a_frame_that_is_half_sent_closes_its_socket_in_time(server: Server, is_fragment: bool) -> None:
    client = RawSocket(server.port, "/ws/chat/", headers=guest(server))
    data = asks(padding=100_000)
    if is_fragment:
        client.send(TEXT, data, fin=False)
    else:
        client.send_bytes(encode(TEXT, data)[:50_000])
    assert client.read_until(CLOSE).code == LATE


def test_an_idle_socket_stays_open(server: Server) -> None:
    client = RawSocket(server.port, "/ws/chat/", headers=guest(server))
    client.send(TEXT, asks())
    frames(client, 1)
    assert not client.is_cut(1.5)


def test_other_addresses_and_plain_requests_are_refused(server: Server) -> None:
    for path in ("/ws/chat/x", "/ws/chats", "/api/chat/"):
        with pytest.raises(Refused) as refused:
            RawSocket(server.port, path, headers=guest(server))
        assert refused.value.status == 403
    for path in ("/ws/chat/", "/ws/chat"):
        assert httpx.get(f"{server.url}{path}", timeout=DEADLINE_S).json()["code"] == "upgrade_required"


def test_requests_without_reading_are_read_no_further(server: Server) -> None:
    client = RawSocket(server.port, "/ws/chat/", headers=guest(server), receive_buffer=4096)
    other = RawSocket(server.port, "/ws/chat/", headers=guest(server))
    client.socket.settimeout(1)
    bad = encode(TEXT, json.dumps({"type": "x" * 30, "requestId": "r" * 128}).encode()) * 100
    with pytest.raises(TimeoutError):
        for _ in range(5000):  # 100 MB
            client.socket.sendall(bad)
    other.send(TEXT, asks())
    assert [frame["type"] for frame in frames(other, 1)] == ["no-active"]
