"""An HTTP stream's client that reads only on demand."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

from tests.support.harness import Server
from tests.support.person import Person
from tests.support.raw_socket import connect


class RawStream:
    """A stream of a session, requested at once as this user; its bytes wait until `frames` or `rest`."""

    def __init__(self, server: Server, person: Person, session: str, *, receive_buffer: int | None = 4096) -> None:
        cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
        self.socket: socket.socket = connect(server.port, receive_buffer)
        self.socket.sendall(
            f"GET /api/sessions/{session}/stream/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Cookie: {cookies}\r\n\r\n".encode()
        )
        self.socket.settimeout(30)
        self.response = HTTPResponse(self.socket)

    def frames(self) -> Iterator[dict[str, Any]]:
        """The frames as they come; ends with the stream, however that ends."""
        self.response.begin()
        assert self.response.status == 200, self.response.read()
        try:
            while line := self.response.readline():
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
        except (ConnectionError, ValueError):  # cut, perhaps within a line
            return

    def close(self) -> None:
        self.socket.close()
