"""Cursors: positions in a session's log, up to which a client has applied everything."""

import re
from typing import NamedTuple, Self

from sessions_app.core.errors import HoldfastError

# 15 digits keep every serial exact in JavaScript, whose integers end at 2**53.
_PATTERN = re.compile(r"([A-Za-z0-9_-]{1,64})-(0|[1-9][0-9]{0,14})", re.ASCII)


class Cursor(NamedTuple):
    """A cursor: a serial within an epoch. On the wire it is `<epoch>-<serial>`, opaque to clients."""

    epoch: str
    serial: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.serial}"

    @classmethod
    def parse(cls, text: object) -> Self:
        """Parse a cursor from the wire. Raises bad_cursor."""
        match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise HoldfastError("bad_cursor")
        return cls(match[1], int(match[2]))
