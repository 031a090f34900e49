"""Random interleavings of signals and an agent's steps: each ends properly, and new readers see the same.

Single steps of an agent's and single signals of people's, one after the other or two at once.
"""

import json
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_app import models
from sessions_app.core import branches, busy, fold, signals
from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError
from sessions_app.core.snapshot import apply_attached, apply_patch, held
from sessions_app.delivery import catchup
from tests.support import session_invariants
from tests.support.person import Followed, Frame
from tests.support.session_simulation import OWNER, SessionSimulation
from tests.support.stored import a_session
from tests.support.writer import Writer, writer

__all__ = ["writer"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

POLICIES = ["queue", "queue", "steer", "interrupt", "reject"]
PERSONS = [
    "message", "message", "steer", "steer", "steer", "cancel", "cancel_newest", "approve", "approve_other", "deny",
    "result", "continue", "continue", "regenerate", "regenerate_any", "again",
]  # fmt: skip
AGENTS = [
    "claim", "begin", "word", "word", "step", "ask", "decide", "execute", "output", "expire", "deliver", "finish",
    "fail", "stop", "hand_back", "die", "cut_off", "zombie",
]  # fmt: skip


# What readers know


def take_new(writer: Writer) -> list[Frame]:
    """Return the events of new frames."""
    events = [event for frame in writer.frames for event in json.loads(frame.text)["events"]]
    writer.frames.clear()
    return events


def apply(followed: Followed, events: list[Frame]) -> None:
    """Apply new events to a reader who was present all along."""
    for event in deepcopy(events):
        fold.fold(followed.messages, event, keep_replaced=followed.keeps_replaced)
        if "signal" in event:
            followed.signals[event["signal"]["id"]] = event["signal"]
        followed.cursor = Cursor(followed.cursor.epoch, event["serial"])


def resume(session: models.Session, followed: Followed) -> Followed:
    """The same reader after it was away."""
    lengths = {message.id: held(message) for message in followed.messages.values() if not fold.ended(message)}
    keeps = followed.keeps_replaced
    frame = catchup.read(session.pk, OWNER, cursor=followed.cursor, held=lengths, with_replaced=keeps)
    assert frame["resumed"], frame["reason"]
    followed.signals |= {record["id"]: record for record in frame["signals"]}
    apply_attached(followed.messages, frame, after=followed.cursor.serial)
    return followed


def known(followed: Followed) -> Any:
    messages = [fold.to_wire(message) for message in followed.messages.values()]
    return messages, dict(sorted(followed.signals.items()))


def check_newcomer(session: models.Session, followed: Followed) -> None:
    """Check that a reader without a cursor sees what present ones see: of the settled signals, the newest."""
    frame = catchup.read(session.pk, OWNER, cursor=None, rewind=200, with_replaced=followed.keeps_replaced)
    assert Cursor.parse(frame["cursor"]) == followed.cursor
    shown = {record["id"]: record for record in frame["signals"]}
    assert shown.items() <= followed.signals.items()
    unsettled = {id for id, record in followed.signals.items() if record["status"] in signals.OPEN}
    assert unsettled <= shown.keys()
    assert len(shown) == len(followed.signals) or len(shown) >= 32
    messages = [apply_patch(None, patch) for patch in frame["messages"]]
    assert [fold.to_wire(message) for message in messages] == known(followed)[0]


def check_chain(everything: Followed, session: models.Session) -> None:
    """Check that the messages on show are one chain of parents, and that of alternatives the newest is one of them."""
    shown = {id: message for id, message in everything.messages.items() if message.replaced_by is None}
    firsts = [message for message in shown.values() if message.parent not in shown]
    assert len(firsts) <= 1 and len({message.parent for message in shown.values()}) == len(shown)
    by_parent: dict[str | None, list[fold.MessageState]] = {}
    for message in everything.messages.values():
        by_parent.setdefault(message.parent, []).append(message)
    for alternatives in by_parent.values():
        assert all(message.replaced_by for message in alternatives[:-1])
    session.refresh_from_db()
    assert not shown or session.leaf == branches.path(list(shown.values()), session.leaf or "")[-1].id
    assert len(branches.path(list(shown.values()), session.leaf or "")) == len(shown)


# One after the other, or two at once.
steps = st.lists(
    st.one_of(
        st.just(("go_on",)),
        st.just(("go_on",)),
        st.just(("go_on",)),
        st.tuples(st.sampled_from([*PERSONS, *AGENTS])),
        st.tuples(st.sampled_from(PERSONS), st.sampled_from(["go_on", *PERSONS])),
    ),
    min_size=20,
    max_size=60,
)


@settings(suppress_health_check=list(HealthCheck))
@given(steps=steps, policy=st.sampled_from(POLICIES), seed=st.integers(0, 99))
def test_random_interleavings(writer: Writer, steps: list[tuple[str, ...]], policy: Any, seed: int) -> None:
    busy.set_policy("test", policy)
    writer.frames.clear()
    session = a_session(OWNER, agent="test")
    simulation = SessionSimulation(writer, session, Random(seed))
    there = Followed(Cursor(session.epoch, 0))
    everything = Followed(Cursor(session.epoch, 0), keeps_replaced=True)
    have: list[Frame] = []
    cuts = [(deepcopy(there), deepcopy(everything))]
    for names in [*steps, ("end_everything",)]:
        simulation.do(*names)
        new = take_new(writer)
        have += new
        apply(there, new)
        apply(everything, new)
        check_newcomer(session, there)
        cuts.append((deepcopy(there), deepcopy(everything)))
    session.refresh_from_db()
    assert [event["serial"] for event in have] == list(range(1, session.tail + 1))
    check_newcomer(session, everything)
    for number, (away, keeper) in enumerate(cuts):
        before = str(away.cursor)
        assert known(resume(session, away)) == known(there), before
        if number % 4 == seed % 4:
            assert known(resume(session, keeper)) == known(everything), before
    check_chain(everything, session)
    rows = session_invariants.rows_of_models(session.pk)
    session_invariants.check_all_has_ended(rows)
    session_invariants.check_stops({event["serial"]: event for event in have}, rows)
    session_invariants.check_approvals(everything.messages, rows, simulation.effects)
    session_invariants.check_steers(everything.messages, rows)
    session_invariants.check_words(everything.messages)
    for id, (_, receipt) in simulation.receipts.items():
        if not isinstance(receipt, HoldfastError):
            assert rows.signals[id]["status"] not in signals.OPEN
            assert (rows.signals[id]["status"] == "rejected") or receipt.problem is None
