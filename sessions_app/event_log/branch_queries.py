"""Queries of branches: where a message of a session stands, and what others have taken the place of.

Called within the transaction that needs it, which holds the lock of the session's row.
"""

from __future__ import annotations

from sessions_app.core import branches
from sessions_app.core.branches import Place, Standing
from sessions_app.models import Message


def leaf(session: str) -> str | None:
    """Return the newest message of a conversation, of a session that was last written before sessions had a leaf."""
    newest = Message.objects.on_show().filter(session=session).order_by("-first_serial")
    return newest.values_list("uid", flat=True).first()


def standing(session: str, place: Place, *, is_empty: bool) -> Standing:
    """Return where a message stands that begins at a place. `is_empty`: it ends at once, without any part."""
    if place.continues:
        return Standing(place.parent, continues=place.parent)
    if place.instead_of and not is_empty:
        replaced = Message.objects.on_show().filter(session=session, uid=place.instead_of).only("parent").first()
        if replaced is not None:
            return Standing(replaced.parent, replaces=subtree(session, place.instead_of))
    return Standing(place.parent)


def subtree(session: str, root: str) -> list[str]:
    """Return the ids of a message and of all that follow it on show, the message first."""
    rows = Message.objects.on_show().filter(session=session).order_by("first_serial").values_list("uid", "parent")
    return branches.subtree(root, rows)


def first_of_chain(session: str, answer: Message) -> Message:
    """Return the first answer of a chain of continuations, as far as retention has left it."""
    while answer.continues is not None:
        earlier = Message.objects.filter(session=session, uid=answer.continues).defer("parts", "marks").first()
        if earlier is None:
            break
        answer = earlier
    return answer


def parent(session: str, uid: str) -> str | None:
    """Return what a message follows; None if it is the first, or gone."""
    return Message.objects.filter(session=session, uid=uid).values_list("parent", flat=True).first()
