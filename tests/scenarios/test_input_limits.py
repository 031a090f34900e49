"""Input limits: excessive or malformed input closes its own socket with a code, or waits in the network."""

from typing import Any

import httpx
import pytest

from tests.support.harness import DEADLINE_S, Server, StartServer
from tests.support.raw_socket import CLOSE, CONTINUATION, TEXT, RawSocket, encode

FRAME_BYTES = 4096
TOO_BIG, MALFORMED, NOT_UTF8 = 1009, 1002, 1007


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def echo(start_shared_server: StartServer, request: Any) -> Server:
    return start_shared_server(
        request.param,
        application="tests.support.echo_application:application",
        arguments=f"--ws-max-size {2 * FRAME_BYTES}" if request.param == "uvicorn" else "",
        HOLDFAST_FRAME_BYTES=str(FRAME_BYTES),
    )


def test_a_frame_far_beyond_the_limit_closes_its_socket(echo: Server) -> None:
    client = RawSocket(echo.port)
    client.send(TEXT, b"x" * (2 * FRAME_BYTES))
    assert len(client.receive().payload) == 2 * FRAME_BYTES
    client.send(TEXT, b"x" * (2 * FRAME_BYTES + 1))
    assert client.read_until(CLOSE).code == TOO_BIG


def test_a_message_in_many_fragments_counts_as_one(echo: Server) -> None:
    client = RawSocket(echo.port)
    client.send(TEXT, b"x" * FRAME_BYTES, fin=False)
    for _ in range(2):
        client.send(CONTINUATION, b"x" * FRAME_BYTES, fin=False)
    assert client.read_until(CLOSE).code == TOO_BIG


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"opcode": TEXT, "payload": b"\xff\xfe"}, NOT_UTF8),
        ({"opcode": TEXT, "payload": b"x", "masked": False}, MALFORMED),
        ({"opcode": TEXT, "payload": b"x", "rsv": 4}, MALFORMED),
        ({"opcode": 5}, MALFORMED),
        ({"opcode": CONTINUATION, "payload": b"x"}, MALFORMED),
    ],
)  # fmt: skip
def test_a_malformed_frame_closes_its_socket(echo: Server, frame: dict[str, Any], code: int) -> None:
    client, other = RawSocket(echo.port), RawSocket(echo.port)
    client.send(**frame)
    assert client.read_until(CLOSE).code == code
    other.send_text("unharmed")
    assert other.receive().text == "unharmed"


def test_the_server_reads_no_faster_than_the_application(echo: Server) -> None:
    client = RawSocket(echo.port, "/ws/asleep")
    client.socket.settimeout(1)  # loopback takes data at once, or not at all
    frames = b"".join(encode(TEXT, f"{number:04096}".encode()) for number in range(8000))
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < len(frames):
            sent += client.socket.send(frames[sent : sent + 65536])
    whole, part = divmod(sent, len(frames) // 8000)

    httpx.get(f"{echo.url}/wake", timeout=DEADLINE_S)
    if part:
        client.send_bytes(frames[sent : (whole + 1) * (len(frames) // 8000)])
        whole += 1
    assert [int(client.receive().text) for _ in range(whole)] == list(range(whole))


def test_compression_is_off(echo: Server) -> None:
    client = RawSocket(echo.port, headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
    assert "sec-websocket-extensions" not in client.answer.lower()
