"""What the log says, and how: one handler, one form for every line, and no line for what tells nothing."""

from __future__ import annotations

import logging
import re
from typing import Any

# A page that polls asks ten times a second while an answer streams.
QUIET_PATHS = re.compile(r"/static/|/healthz|/api/(sessions/[^/]+/)?poll/")


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Daphne's line for a request, unless all went well and it was one of the many that tell nothing."""
    path = record.args.get("path") if isinstance(record.args, dict) else None
    return record.levelno > logging.INFO or not QUIET_PATHS.match(str(path))


def logging_config(level: str) -> dict[str, Any]:
    """Return Django's LOGGING. `level` is for Holdfast's and Django's loggers; others begin at WARNING."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"quiet": {"()": "django.utils.log.CallbackFilter", "callback": is_worth_a_line}},
        "formatters": {"line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": "WARNING"},
        # All lines go through the root's handler; Django's own loggers would otherwise have others.
        "loggers": {
            name: {"level": level, "propagate": True}
            for name in ("django", "django.server", "sessions_app", "agents_app")
        }
        | {"django.channels.server": {"filters": ["quiet"]}},
    }
