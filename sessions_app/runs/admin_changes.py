"""Changes that the admin makes to a session's log, outside of a process's log writer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from django.db import transaction

from sessions_app.event_log.commands import SessionLog
from sessions_app.event_log.open_messages import OpenMessages
from sessions_app.event_log.transaction import Transaction
from sessions_app.runs import lifecycle

P = ParamSpec("P")
T = TypeVar("T")


def change_session(session: str, work: Callable[Concatenate[SessionLog, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `work(log, …)` in a transaction of its own that holds the session's lock. Raises HoldfastError.

    Readers receive the change at their feeds' next tail check, active agents at the next poll of their inboxes.
    """
    with transaction.atomic():
        staged = Transaction(OpenMessages(), [], {session})
        result = work(staged.log(session), *args, **kwargs)
        staged.follow_up(lifecycle.follow)
        staged.finish()
    return result
