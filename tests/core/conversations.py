"""Random conversations for property and differential tests: turns whose answers are regenerated and continued."""

from random import Random
from typing import Any

from sessions_app.core.branches import path, subtree
from sessions_app.core.fold import MessageState, fold
from sessions_app.core.snapshot import held, patch
from tests.core.sequences import response

Event = dict[str, Any]
Messages = dict[str, MessageState]


def conversation(seed: int, turns: int = 5) -> list[Event]:
    """The events of a session, from serial 1. Its answers have about eight chunks."""
    random = Random(seed)
    log: list[Event] = []
    shown: list[tuple[str, str | None]] = []  # the chain of messages on show, each with its parent
    for number in range(turns):
        answers = [uid for uid, _ in shown if uid.startswith("m_")]
        choice = random.choice(["ask", "ask", "regenerate", "continue"]) if answers else "ask"
        if choice == "regenerate":
            uid = random.choice(answers)
            parent = dict(shown)[uid]
            place: Event = {"parent": parent, "replaces": subtree(uid, shown)}
            shown = [each for each in shown if each[0] not in place["replaces"]]
        elif choice == "continue" and shown[-1][0] == answers[-1]:
            place = {"parent": answers[-1], "continues": answers[-1]}
        else:
            place = {"parent": _say(log, shown, number)}
        _answer(log, f"m_{number}", place, seed * 100 + number)
        shown.append((f"m_{number}", place["parent"]))
    return log


def _say(log: list[Event], shown: list[tuple[str, str | None]], number: int) -> str:
    uid, parent = f"u_{number}", shown[-1][0] if shown else None
    chunk = {"type": "message", "role": "user", "parts": [{"type": "text", "text": f"Question {number} 🙂"}]}
    log.append({"serial": len(log) + 1, "message": uid, "at": 1000 + number, "parent": parent, "chunk": chunk})
    shown.append((uid, parent))
    return uid


def _answer(log: list[Event], uid: str, place: Event, seed: int) -> None:
    start, *rest = response(seed, length=8)
    first = {
        "serial": len(log) + 1,
        "message": uid,
        "at": 2000 + len(log),
        **place,
        "chunk": start | {"messageId": uid},
    }
    ended = rest if rest and rest[-1]["type"] in ("finish", "abort", "error") else [*rest, {"type": "abort"}]
    log.append(first)
    log += [{"serial": len(log) + 1 + index, "message": uid, "chunk": chunk} for index, chunk in enumerate(ended)]


def folded(log: list[Event], *, keep_replaced: bool) -> Messages:
    """The messages that the events make, for a client that keeps replaced ones or not."""
    messages: Messages = {}
    for event in log:
        fold(messages, event, keep_replaced=keep_replaced)  # type: ignore[arg-type]
    return messages


def lengths(messages: Messages) -> dict[str, list[int]]:
    """The `held` of an attach."""
    return {id: held(message) for id, message in messages.items() if message.status == "streaming"}


def attached(log: list[Event], *, cut: int, upto: int, keep_replaced: bool) -> Event:
    """The answer to a client that has everything up to serial `cut`, when the session's tail is `upto`."""
    had = lengths(folded(log[:cut], keep_replaced=keep_replaced))
    changed = [m for m in folded(log[:upto], keep_replaced=True).values() if m.last_serial > cut]
    told = [message for message in changed if keep_replaced or message.replaced_by is None]
    return {
        "type": "attached", "session": "session", "cursor": f"e-{upto}", "resumed": True, "reason": None,
        "older": False, "title": "", "signals": [],
        "messages": [patch(message, after=cut, held=had.get(message.id)) for message in told],
        "replaced": [] if keep_replaced else [message.id for message in changed if message.replaced_by],
    }  # fmt: skip


def is_chain(messages: Messages) -> bool:
    """Return whether the messages on show are one chain of parents."""
    shown = [message for message in messages.values() if message.replaced_by is None]
    return not shown or path(shown, shown[-1].id) == shown
