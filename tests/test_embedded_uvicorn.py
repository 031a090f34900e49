"""The small server for machines: bounded in size and time, without signal handlers of its own."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from sessions_app.servers import embedded_uvicorn
from sessions_app.servers.embedded_uvicorn import HEAD_BYTES, listen, serving
from sessions_app.transports import probes

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with serving(probes.application(lambda: None), listener):
        yield port


async def connect(port: int) -> Pair:
    return await asyncio.open_connection("127.0.0.1", port)


async def answer(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    """Return status, head and body of the answer, which ends with its connection."""
    reader, writer = await connect(port)
    writer.write(request)
    async with asyncio.timeout(20):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), head.lower(), body


@pytest.mark.parametrize(
    ("request_line", "status", "body"),
    [
        (b"GET /healthz HTTP/1.1", 200, b"ok\n"),
        (b"GET /healthz?verbose=1 HTTP/1.0", 200, b"ok\n"),
        (b"HEAD /healthz HTTP/1.1", 200, b""),
        (b"POST /healthz HTTP/1.1", 405, b"send GET\n"),
        (b"GET /readyz HTTP/1.1", 503, b"the process has not started\n"),
        (b"GET /metrics HTTP/1.1", 404, b"not found\n"),
        (b"GET / HTTP/1.1", 404, b"not found\n"),
    ],
)
async def test_probes_are_answered_and_their_connection_ends(
    port: int, request_line: bytes, status: int, body: bytes
) -> None:
    code, head, sent = await answer(port, request_line + b"\r\nHost: x\r\n\r\n")
    assert (code, sent) == (status, body)
    assert b"connection: close" in head and b"server:" not in head


@pytest.mark.parametrize(
    "request_", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * HEAD_BYTES]
)
async def test_malformed_and_oversized_requests_are_refused(
    port: int, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await answer(port, request_))[0] == 400
    assert not caplog.records


async def test_half_a_request_is_cut_off_in_time(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_uvicorn, "CONNECTION_S", 0.1)
    reader, writer = await connect(port)
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    async with asyncio.timeout(20):
        with suppress(ConnectionResetError):  # if it was cut before the half was read
            assert await reader.read() == b""
    assert (await answer(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200


async def test_the_processs_signal_handlers_are_kept() -> None:
    def handlers() -> list[Any]:
        return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    before, listener = handlers(), listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with serving(probes.application(lambda: None), listener):
        assert (await answer(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200
        assert handlers() == before
    assert handlers() == before


async def test_a_stop_does_not_wait_for_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_uvicorn, "CONNECTION_S", 60)
    asked = asyncio.Event()

    async def endless(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        asked.set()
        while True:
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})

    listener = listen("127.0.0.1", 0)
    async with serving(endless, listener):
        _, idle = await connect(listener.getsockname()[1])
        reader, writer = await connect(listener.getsockname()[1])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asked.wait()
        began = time.monotonic()
    assert time.monotonic() - began < 10  # STOP_S, unless the machine stands still
    assert listener.fileno() == -1
    for each in (writer, idle):
        each.transport.abort()


async def test_an_address_in_use_is_an_error(port: int) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        listen("127.0.0.1", port)
