"""WebSockets: handshakes and frames mutated from valid ones."""

import asyncio
import base64
import json
from contextlib import suppress
from random import Random
from typing import Any

from tests.fuzz import doors, values
from tests.fuzz.doors import Known
from tests.fuzz.requests import HEADERS, Exchange, Visitor
from tests.support.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, encode

HANDSHAKE_S = 5.0
QUIET_S = 0.05  # without a frame of the server's, after which the next ones are sent
SUBPROTOCOLS = ["holdfast", "holdfast, bearer.x", "é", ",,,", "bearer.", "%00", "x" * 3000, "holdfast, bearer.é", "a b"]


def handshake(random: Random, visitor: Visitor, port: int, path: str) -> bytes:
    headers = {
        "Host": f"127.0.0.1:{port}",
        "Origin": f"http://127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(random.randbytes(16)).decode(),
        **visitor.headers,
    }
    act = random.randrange(12)
    if act == 0:
        headers["Sec-WebSocket-Protocol"] = random.choice(SUBPROTOCOLS)
    if act == 1:
        headers["Sec-WebSocket-Version"] = random.choice(["8", "é", "99", "13, 8"])
    if act == 2:
        headers["Sec-WebSocket-Key"] = random.choice(["", "x", "é", "A" * 24, "x" * 3000])
    if act == 3:
        headers["Sec-WebSocket-Extensions"] = random.choice(
            ["permessage-deflate", "permessage-deflate; x", "é", ";;", "x" * 900]
        )
    if act == 4:
        path = random.choice(
            ["/ws", "/ws/%00", "/ws/?x=%ff", "/nothing/", "/ws/é", "/api/stream/", "/admin/", "/ws/?é"]
        )
    if act == 5:
        name, choices = random.choice(HEADERS)
        headers[name] = random.choice(choices)
    method = "POST" if random.random() < 0.02 else "GET"
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode("utf-8" if act % 2 else "latin-1", "replace")


def frame(random: Random, valid: list[dict[str, Any]]) -> bytes:
    """Return one message of a client as frames, or something like one of these."""
    whole = values.several(random, random.choice(valid))
    payload = json.dumps(whole).encode() if random.random() < 0.7 else values.data(random, whole)
    act = random.randrange(24)
    if act == 0:
        return encode(random.choice([BINARY, CONTINUATION, PING, PONG, 3, 7, 11, 15]), payload[:200])
    if act == 1:
        return encode(
            CLOSE, random.choice([b"", b"x", b"\x03\xe8", b"\x03\xed", b"\xff\xff", b"\x03\xe8\xff", payload[:300]])
        )
    if act == 2:
        return encode(TEXT, payload, rsv=random.randrange(1, 8))
    if act == 3:
        return encode(TEXT, payload, masked=False)
    if act == 4:
        cut = random.randrange(len(payload) + 1)
        return encode(TEXT, payload[:cut], fin=False) + encode(PING, b"x") + encode(CONTINUATION, payload[cut:])
    if act == 5:
        return encode(TEXT, b"\xff" + payload)
    if act == 6:
        return random.randbytes(random.randrange(1, 60))
    if act == 7:
        return encode(TEXT, b"x" * random.choice([65_535, 65_536, 65_537, 131_073, 400_000]))
    return encode(TEXT, payload)


async def conversation(random: Random, known: Known, visitor: Visitor, port: int) -> Exchange:
    """Open a WebSocket, send some frames, read what comes, and leave in one of several ways."""
    path = random.choice(["/ws/", "/ws/", "/ws/chat/", "/ws/chat"])
    frames = doors.chat_frames if "chat" in path else doors.frames
    result = Exchange(handshake(random, visitor, port, path))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(result.sent)
        await _read(reader, result)
        result.status = int(result.answer.split(b" ", 2)[1]) if result.answer.startswith(b"HTTP/") else None
        for _ in range(random.randrange(1, 12) if result.status == 101 else 0):
            data = frame(random, frames(random, known))
            result.sent += data
            writer.write(data)
            await writer.drain()
            if random.random() < 0.4:
                await _read(reader, result)
        await _read(reader, result)
    except (ConnectionError, TimeoutError):
        pass
    finally:
        if random.random() < 0.3:
            writer.transport.abort()
        writer.close()
    return result


async def _read(reader: asyncio.StreamReader, result: Exchange) -> None:
    """Read until nothing comes for QUIET_S; the response to the handshake may take longer."""
    with suppress(TimeoutError):
        while data := await asyncio.wait_for(reader.read(65536), QUIET_S if result.answer else HANDSHAKE_S):
            result.answer = result.answer or data
