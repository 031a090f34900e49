"""What the log says, and how: one handler and one form for all, with the ids of what a line is about.

What people and agents have written, and tokens, are in no line.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
from datetime import UTC, datetime

from sessions_app.telemetry import log_context

IDS = ("session", "connection", "run", "worker")
HOST = socket.gethostname()
# A page that polls asks ten times a second while an answer streams.
QUIET_PATHS = re.compile(r"/static/|/(healthz|readyz|metrics)$|/api/(sessions/[^/]+/)?poll/")
# Where PostgreSQL says what is wrong, it quotes the row: what people wrote.
QUOTED_ROW = re.compile(r"\nDETAIL:.*?(?=\n\nThe above exception|\n\nDuring handling|\Z)", re.DOTALL)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """A server's line for a request, unless all went well and it was one of the many that tell nothing."""
    args = record.args
    if isinstance(args, tuple):
        path = args[2] if len(args) > 2 else None  # uvicorn's: client, method, path, …
    else:
        path = args.get("path") if args else None  # Daphne's
    return record.levelno > logging.INFO or not QUIET_PATHS.match(str(path))


def ids_of(record: logging.LogRecord) -> dict[str, str]:
    """Return what a line is about: what its task is, and what `extra` adds."""
    return log_context.ids() | {name: record.__dict__[name] for name in IDS if name in record.__dict__}


class LineFormatter(logging.Formatter):
    """For people: `2026-11-25 12:00:00,000 WARNING sessions_app.delivery.feeds: … session=…`."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<7} {name}: {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = "".join(f" {name}={value}" for name, value in ids_of(record).items())
        return super().formatMessage(record) + ids

    def format(self, record: logging.LogRecord) -> str:
        return QUOTED_ROW.sub("", super().format(record))


class JsonFormatter(logging.Formatter):
    """For machines: an object a line, with time, level, logger, message, process, ids, and an exception's traceback."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": QUOTED_ROW.sub("", record.getMessage()),
            "process": f"{HOST}:{os.getpid()}",
            **ids_of(record),
        }
        if record.exc_info:
            told["exception"] = QUOTED_ROW.sub("", self.formatException(record.exc_info))
        return json.dumps(told)


def logging_config(level: str, form: str) -> dict[str, object]:
    """Return Django's LOGGING. `level` is for Holdfast's and Django's loggers, others begin at WARNING; `form`: LINE
    or JSON.
    """
    quiet = {"propagate": True, "handlers": [], "filters": ["quiet"]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"quiet": {"()": "django.utils.log.CallbackFilter", "callback": is_worth_a_line}},
        "formatters": {"LINE": {"()": LineFormatter}, "JSON": {"()": JsonFormatter}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": form}},
        "root": {"handlers": ["console"], "level": "WARNING"},
        # All lines go through the root's handler; Django's and uvicorn's own loggers would otherwise have others.
        "loggers": {
            name: {"level": level, "propagate": True, "handlers": []}
            for name in ("django", "django.server", "sessions_app", "agents_app", "uvicorn", "uvicorn.error")
        }
        | {"django.channels.server": quiet, "uvicorn.access": quiet}
        # At DEBUG they show statements and frames with what people wrote. At INFO uvicorn's sockets would take a tenth
        # of the time in which a hundred readers return, for three lines each: the record of connections tells more.
        | {"django.db.backends": {"level": "INFO"}, "sessions_app.servers.uvicorn_websocket": {"level": "WARNING"}},
    }
