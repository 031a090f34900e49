"""Log filter for what clients' input causes: one line without a traceback, and not too many of them.

Django logs a traceback for each request with a wrong Host header, too many fields or a malformed form, so anyone could
fill the disk and hide what matters.
"""

from __future__ import annotations

import logging
import threading
import time

LINES = 20  # of one kind in a window
WINDOW_S = 60.0
MESSAGE_CHARS = 300  # a header may have 16 KiB
SERVERS_OWN = {
    "Invalid HTTP request received.",
    "Unsupported upgrade request.",
    "Invalid UTF-8 sequence received from client.",  # of uvicorn's own WebSocket protocols
}


class ClientErrorFilter(logging.Filter):
    """Filter for a handler: shortens records of clients' errors, and drops those beyond LINES in a window."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}  # by kind: beginning, and records since

    def filter(self, record: logging.LogRecord) -> bool:
        kind = kind_of(record)
        if kind is None:
            return True
        is_shown, dropped = self._count(kind, time.monotonic())
        if is_shown:
            _shorten(record, dropped)
        return is_shown

    def _count(self, kind: str, now: float) -> tuple[bool, int]:
        """Return whether a record is shown, and how many of its kind the previous window dropped."""
        with self._lock:
            began, count = self._windows.get(kind, (now, 0))
            dropped = 0
            if now - began >= WINDOW_S:
                began, count, dropped = now, 0, max(0, count - LINES)
            self._windows[kind] = began, count + 1
        return count < LINES, dropped


def kind_of(record: logging.LogRecord) -> str | None:
    """Return the kind of a client's error, of which there are few; None for any other record."""
    if record.name.startswith("django.security."):
        return record.name
    status = getattr(record, "status_code", None)
    if record.name == "django.request" and isinstance(status, int) and 400 <= status < 500:
        return f"{record.name} {status}"
    return str(record.msg) if record.name == "uvicorn.error" and record.msg in SERVERS_OWN else None


def _shorten(record: logging.LogRecord, dropped: int) -> None:
    message = record.getMessage()
    if len(message) > MESSAGE_CHARS:
        message = f"{message[:MESSAGE_CHARS]}…"
    if dropped:
        message += f" ({dropped} more like it were not logged)"
    record.msg, record.args = message.replace("\r", "\\r").replace("\n", "\\n"), None
    record.exc_info = record.exc_text = record.stack_info = None
    if record.levelno > logging.WARNING:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
