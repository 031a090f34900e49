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
    end = _end(run)
    page = queries.history(run.session_id, limit=limit)
    if end not in {message.id for message in page.messages}:
        stored = Message.objects.filter(session=run.session_id, uid=end).values_list("first_serial", flat=True).first()
        if stored is not None:  # much was said since
            page = queries.history(run.session_id, limit=limit, before=stored + 1)
    return branches.joined(branches.path(page.messages, end))


def _end(run: Run) -> str:
    """Return the message that the run's response follows as the agent is told it."""
    if run.mode == Run.Mode.CONTINUE:
        return run.earlier
    if run.mode == Run.Mode.REGENERATE:
        return branch_queries.parent(run.session_id, run.earlier) or run.prompt
    return run.prompt
