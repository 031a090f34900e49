"""The history that a run's agent is told: the conversation up to what the run answers."""

from __future__ import annotations

from sessions_app.core import branches
from sessions_app.core.fold import MessageState
from sessions_app.event_log import branch_queries, queries
from sessions_app.models import Message, Run


def of_run(run: Run, *, limit: int) -> list[MessageState]:
    """Return up to `limit` messages, oldest first, without replaced ones; a continued answer is one of them.

    It ends with the prompt, or, for a run that continues an answer, with that answer. One that is to be written again
    is left out, and so is what people have said since.
    """
    return _up_to(run.session_id, _end(run), limit)


def earlier(run: Run, *, before: str, limit: int) -> list[MessageState]:
    """Return up to `limit` messages of a run's history that lead to this one, oldest first; none if it is the first."""
    parent = branch_queries.parent(run.session_id, before)
    return [] if parent is None or _serial(run.session_id, parent) is None else _up_to(run.session_id, parent, limit)


def has_earlier(run: Run, oldest: MessageState) -> bool:
    """Return whether the history has messages before its oldest that was told."""
    return oldest.parent is not None and _serial(run.session_id, oldest.parent) is not None


def _up_to(session: str, end: str, limit: int) -> list[MessageState]:
    page = queries.history(session, limit=limit)
    if end not in {message.id for message in page.messages}:
        stored = _serial(session, end)
        if stored is not None:  # much was said since
            page = queries.history(session, limit=limit, before=stored + 1)
    return branches.joined(branches.path(page.messages, end))


def _serial(session: str, uid: str) -> int | None:
    return Message.objects.filter(session=session, uid=uid).values_list("first_serial", flat=True).first()


def _end(run: Run) -> str:
    """Return the message that the run's response follows as the agent is told it."""
    if run.mode == Run.Mode.CONTINUE:
        return run.earlier
    if run.mode == Run.Mode.REGENERATE:
        return branch_queries.parent(run.session_id, run.earlier) or run.prompt
    return run.prompt
