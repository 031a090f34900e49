"""Audit log: one line, at any log level, for each change of what people and tokens may do and how long data is kept."""

from __future__ import annotations

import logging

_logger = logging.getLogger("sessions_app.audit")
_logger.setLevel(logging.INFO)


def record(actor: str, action: str) -> None:
    """Log that an identity did something: `user:1 revoked token abc`. Neither may contain a secret."""
    _logger.info("%s %s", actor, action)
