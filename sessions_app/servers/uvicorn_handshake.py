"""WebSocket handshakes under uvicorn, read once: uvicorn has each parsed by h11, and again by websockets.

Only a request in the plain form that browsers and most clients send is read here. For anything else, from a second
Host header to a body, `read` returns None, and uvicorn's own parsers answer as ever.
"""

from __future__ import annotations

import functools
import re
from base64 import b64encode
from hashlib import sha1
from typing import Any, NamedTuple

from uvicorn.protocols.http.h11_impl import H11Protocol

from sessions_app.servers.uvicorn_websocket import SocketProtocol, logs_content

MAX_BYTES = 8192  # of a request: websockets' limit for one line
MAX_HEADERS = 128  # websockets' limit
_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_VALUE = rb"[\t\x20-\x7e]*"
_REQUEST = re.compile(rb"GET (/[\x21-\x7e]*) HTTP/1\.1\r\n((?:%b:%b\r\n){1,%d})\r\n" % (_TOKEN, _VALUE, MAX_HEADERS))
_HEADER = re.compile(rb"(%b):(%b)\r\n" % (_TOKEN, _VALUE))
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in Base64
_CONNECTION = (b"upgrade", b"keep-alive, upgrade")
_BODY = (b"content-length", b"transfer-encoding", b"expect")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


class Handshake(NamedTuple):
    """A valid handshake. `headers`: by names in lower case. `accept`: the answer to its key."""

    target: bytes
    headers: dict[bytes, bytes]
    accept: bytes


def read(data: bytes) -> Handshake | None:
    """Return the handshake that is all of `data`, if it is one in plain form."""
    match = _REQUEST.fullmatch(data) if len(data) <= MAX_BYTES else None
    if match is None:
        return None
    found = _HEADER.findall(match[2])
    headers = {name.lower(): value.strip(b"\t ") for name, value in found}
    if len(headers) < len(found) or b"host" not in headers or any(name in headers for name in _BODY):
        return None
    key = headers.get(b"sec-websocket-key", b"")
    if (
        headers.get(b"upgrade", b"").lower() != b"websocket"
        or headers.get(b"connection", b"").lower() not in _CONNECTION
        or headers.get(b"sec-websocket-version") != b"13"
        or _KEY.fullmatch(key) is None
    ):
        return None
    return Handshake(match[1], headers, b64encode(sha1(key + _GUID, usedforsecurity=False).digest()))


def install() -> None:
    """Add it to uvicorn's HTTP protocol, once, for sockets of SocketProtocol."""
    original = H11Protocol.data_received
    if hasattr(original, "reads_handshakes"):
        return

    @functools.wraps(original)
    def data_received(self: H11Protocol, data: bytes) -> None:
        handshake = read(data) if _may_upgrade(self) else None
        if handshake is None or _negotiates(self, handshake):
            original(self, data)
        else:
            _upgrade(self, handshake)

    data_received.reads_handshakes = True  # type: ignore[attr-defined]
    H11Protocol.data_received = data_received  # type: ignore[method-assign]


def _may_upgrade(protocol: H11Protocol) -> bool:
    """Return True if a connection has received nothing yet, and its sockets are ours."""
    kind = protocol.ws_protocol_class
    is_ours = kind is not None and issubclass(kind, SocketProtocol) and not logs_content()
    return is_ours and protocol.scope is None and not protocol.conn.trailing_data[0]


def _negotiates(protocol: H11Protocol, handshake: Handshake) -> bool:
    return protocol.config.ws_per_message_deflate and b"sec-websocket-extensions" in handshake.headers


def _upgrade(protocol: Any, handshake: Handshake) -> None:
    """Do as `handle_websocket_upgrade`, which our time limits are added to."""
    if protocol.arrival is not None:
        protocol.arrival.stop()
        protocol.arrival = None
    protocol.connections.discard(protocol)
    socket = protocol.ws_protocol_class(
        config=protocol.config, server_state=protocol.server_state, app_state=protocol.app_state
    )
    socket.adopt(protocol)
    socket.begin(handshake.target, list(handshake.headers.items()), handshake.accept)
    protocol.transport.set_protocol(socket)
