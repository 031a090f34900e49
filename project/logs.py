"""Logging: one handler and one format for all loggers, with the ids of the log context.

No log line contains tokens or the text of people and agents.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
from datetime import UTC, datetime

from sessions_app.telemetry import log_context
from sessions_app.telemetry.client_errors import ClientErrorFilter

IDS = ("session", "connection", "run", "worker")
HOST = socket.gethostname()
# A polling page makes ten requests a second while a response streams.
QUIET_PATHS = re.compile(r"/static/|/(healthz|readyz|metrics)$|/api/(sessions/[^/]+/)?poll/")
# PostgreSQL's error details quote the row, and so people's text.
QUOTED_ROW = re.compile(r"\nDETAIL:.*?(?=\n\nThe above exception|\n\nDuring handling|\Z)", re.DOTALL)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Filter for access logs: False for successful requests of static files, probes and polls."""
    args = record.args
    if isinstance(args, tuple):
        path = args[2] if len(args) > 2 else None  # uvicorn's: client, method, path, …
    else:
        path = args.get("path") if args else None  # Daphne's
    return record.levelno > logging.INFO or not QUIET_PATHS.match(str(path))


def ids_of(record: logging.LogRecord) -> dict[str, str]:
    """Return the ids of a log line, from the log context and from `extra`."""
    return log_context.ids() | {name: record.__dict__[name] for name in IDS if name in record.__dict__}


class LineFormatter(logging.Formatter):
    """Formatter for people: `2026-11-25 12:00:00,000 WARNING sessions_app.delivery.feeds: … session=…`."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<7} {name}: {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = "".join(f" {name}={value}" for name, value in ids_of(record).items())
        return super().formatMessage(record) + ids

    def format(self, record: logging.LogRecord) -> str:
        return QUOTED_ROW.sub("", super().format(record))


class JsonFormatter(logging.Formatter):
    """Formatter for log collectors: one JSON object per line, with ids and an exception's traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": QUOTED_ROW.sub("", record.getMessage()),
            "process": f"{HOST}:{os.getpid()}",
            **ids_of(record),
        }
        if record.exc_info:
            line["exception"] = QUOTED_ROW.sub("", self.formatException(record.exc_info))
        return json.dumps(line)


def logging_config(level: str, form: str) -> dict[str, object]:
    """Return Django's LOGGING. `level` applies to Holdfast's and Django's loggers, WARNING to others.

    `form` is LINE or JSON.
    """
    quiet = {"propagate": True, "handlers": [], "filters": ["quiet"]}
    # uvicorn has read its command line by now: with --no-access-log it has cut this logger off.
    access = logging.getLogger("uvicorn.access")
    is_off = not access.propagate and not access.handlers
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "quiet": {"()": "django.utils.log.CallbackFilter", "callback": is_worth_a_line},
            "clients": {"()": ClientErrorFilter},
        },
        "formatters": {"LINE": {"()": LineFormatter}, "JSON": {"()": JsonFormatter}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": form, "filters": ["clients"]}},
        "root": {"handlers": ["console"], "level": "WARNING"},
        # All lines go through the root's handler; otherwise Django's and uvicorn's loggers would use their own.
        "loggers": {
            name: {"level": level, "propagate": True, "handlers": []}
            for name in ("django", "django.server", "sessions_app", "agents_app", "uvicorn", "uvicorn.error")
        }
        | {"django.channels.server": quiet, "uvicorn.access": quiet | {"propagate": not is_off}}
        # At DEBUG these loggers show SQL and frames with people's text. At INFO, uvicorn's three lines per socket cost
        # a tenth of the time in which a hundred readers reconnect, and connection records tell more.
        | {"django.db.backends": {"level": "INFO"}, "sessions_app.servers.uvicorn_websocket": {"level": "WARNING"}},
    }
