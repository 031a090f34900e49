"""Ids in the log lines of agents elsewhere, as those of agents inside have them.

handler.addFilter(RunFilter())
handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s session=%(session)s run=%(run)s"))
"""

from __future__ import annotations

import logging

from sessions_app.telemetry import log_context

IDS = ("session", "run")


class RunFilter(logging.Filter):
    """Adds `session` and `run` to each log record; they are empty outside of runs."""

    def filter(self, record: logging.LogRecord) -> bool:
        ids = log_context.ids()
        for name in IDS:
            if name not in record.__dict__:  # one that the caller has given by `extra` stays
                setattr(record, name, ids.get(name, ""))
        return True
