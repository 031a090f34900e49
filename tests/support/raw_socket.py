"""A WebSocket client (RFC 6455) that shows every frame and can violate the protocol."""

import base64
import os
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.harness import DEADLINE_S

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Refused(Exception):
    """The handshake was answered with something else than 101."""

    def __init__(self, head: str) -> None:
        super().__init__(head.partition("\r\n")[0])
        self.status = int(head.split(" ", 2)[1])


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    at: float  # time.monotonic() at its arrival

    @property
    def text(self) -> str:
        return self.payload.decode()

    @property
    def code(self) -> int | None:
        """A close frame's code."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None


def encode(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """A client's frame; `masked=False`, `rsv` and unknown opcodes make it malformed."""
    size, mark = len(payload), 128 if masked else 0
    head = bytes([(128 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([mark | size])
    elif size < 65536:
        head += struct.pack("!BH", mark | 126, size)
    else:
        head += struct.pack("!BQ", mark | 127, size)
    # A mask of zeros is a mask, and leaves the payload as it is.
    return head + (bytes(4) if masked else b"") + payload


def connect(port: int, receive_buffer: int | None) -> socket.socket:
    """Connect a TCP socket. `receive_buffer`: bytes that the kernel takes from the server on our behalf."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(DEADLINE_S)
    connection.connect(("127.0.0.1", port))
    return connection


class RawSocket:
    """Connects at once; raises `Refused`. Nothing is read, and no ping answered, but by `receive` and `read_until`."""

    def __init__(
        self,
        port: int,
        path: str = "/ws/",
        *,
        headers: Mapping[str, str] | None = None,
        answer_pings: bool = True,
        receive_buffer: int | None = None,
        connection: socket.socket | None = None,
    ) -> None:
        self.answer_pings = answer_pings
        self.buffer = b""
        self.socket = connection or connect(port, receive_buffer)
        self.handshake(port, path, headers or {})

    def handshake(self, port: int, path: str, headers: Mapping[str, str]) -> None:
        lines = {
            "Host": f"127.0.0.1:{port}",
            "Origin": f"http://127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        } | dict(headers)
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
        while b"\r\n\r\n" not in self.buffer:
            self.fill(DEADLINE_S)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.answer = head.decode("latin1")
        if not self.answer.startswith("HTTP/1.1 101 "):
            self.socket.close()
            raise Refused(self.answer)

    def fill(self, within: float) -> None:
        self.socket.settimeout(max(within, 0.001))
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server closed the connection")
        self.buffer += data

    def receive(self, within: float = DEADLINE_S) -> Frame:
        """The next frame. Raises TimeoutError after `within` seconds, EOFError or ConnectionError at the end."""
        deadline = time.monotonic() + within
        while (frame := self.parse_frame()) is None:
            self.fill(deadline - time.monotonic())
        if frame.opcode == PING and self.answer_pings:
            self.send(PONG, frame.payload)
        return frame

    def parse_frame(self) -> Frame | None:
        if len(self.buffer) < 2:
            return None
        length, start = self.buffer[1], 2
        if length in (126, 127):
            start, form = (4, "!H") if length == 126 else (10, "!Q")
            if len(self.buffer) < start:
                return None
            length = struct.unpack(form, self.buffer[2:start])[0]
        if len(self.buffer) < start + length:
            return None
        frame = Frame(self.buffer[0] & 15, self.buffer[start : start + length], time.monotonic())
        self.buffer = self.buffer[start + length :]
        return frame

    def read_until(self, opcode: int, within: float = DEADLINE_S) -> Frame:
        """Skip to the next frame of a kind."""
        deadline = time.monotonic() + within
        while (frame := self.receive(deadline - time.monotonic())).opcode != opcode:
            pass
        return frame

    def send(self, opcode: int, payload: bytes = b"", **flaws: Any) -> None:
        """Send one frame; `flaws` are those of `encode`."""
        self.send_bytes(encode(opcode, payload, **flaws))

    def send_text(self, text: str) -> None:
        self.send(TEXT, text.encode())

    def send_bytes(self, data: bytes) -> None:
        self.socket.settimeout(10)
        self.socket.sendall(data)

    def is_cut(self, within: float) -> bool:
        """Return whether the server ends the connection within a number of seconds, in any way."""
        deadline = time.monotonic() + within
        try:
            while True:
                self.receive(deadline - time.monotonic())
        except TimeoutError:
            return False
        except (EOFError, ConnectionError):
            return True

    def cut(self) -> None:
        """Reset the TCP connection, with no word to the server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()
