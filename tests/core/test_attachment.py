"""The attachment: every cell of its table, and a model of feed, store and client under random events."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sessions_app.core.attachment import TRANSITIONS, Action, Attachment, Event, Frame, State, Window

C, L, B = State.CATCHING_UP, State.LIVE, State.BEHIND

# state, event → state, action; None: it can't happen
TABLE = [
    (C, Event.FRAME, C, Action.KEEP),
    (C, Event.OVERFLOW, C, Action.KEEP),
    (C, Event.GAP, C, Action.KEEP),
    (C, Event.CAUGHT_UP, L, Action.RELEASE),
    (C, Event.DRAINED, C, Action.NOTHING),
    (C, Event.REATTACH, C, Action.NOTHING),
    (L, Event.FRAME, L, Action.SEND),
    (L, Event.OVERFLOW, B, Action.NOTHING),
    (L, Event.GAP, C, Action.READ),
    (L, Event.CAUGHT_UP, None, None),
    (L, Event.DRAINED, L, Action.NOTHING),
    (L, Event.REATTACH, C, Action.NOTHING),
    (B, Event.FRAME, B, Action.NOTHING),
    (B, Event.OVERFLOW, B, Action.NOTHING),
    (B, Event.GAP, B, Action.NOTHING),
    (B, Event.CAUGHT_UP, None, None),
    (B, Event.DRAINED, C, Action.READ),
    (B, Event.REATTACH, C, Action.NOTHING),
]


def test_the_table_has_every_state_and_event() -> None:
    assert {(state, event) for state, event, *_ in TABLE} == {(state, event) for state in State for event in Event}


@pytest.mark.parametrize(("state", "event", "after", "action"), TABLE)
def test_each_table_cell(state: State, event: Event, after: State | None, action: Action | None) -> None:
    assert TRANSITIONS.get((state, event)) == ((after, action) if after else None)


def frame(first: int, last: int = 0, *, size: int = 10, epoch: str = "e") -> Frame:
    last = last or first
    return Frame("s", epoch, first, last, f"{first}-{last}", size)


def live(limit: int = 100, *, sent: int = 0) -> Attachment:
    """An attachment that has caught up to a serial, which the client has acknowledged."""
    attachment = Attachment("s", Window(limit))
    attachment.caught_up(epoch="e", serial=sent, size=0, now=0)
    attachment.acknowledge("e", sent, now=0)
    return attachment


def texts(frames: list[Frame]) -> list[str]:
    return [frame.text for frame in frames]


def test_frames_arriving_during_a_read_are_sent_after_its_result() -> None:
    attachment = Attachment("s", Window(100))
    assert attachment.frame(frame(4), now=0) == attachment.frame(frame(5), now=0) == []
    released, again = attachment.caught_up(epoch="e", serial=3, size=10, now=0)
    assert (texts(released), again) == (["4-4", "5-5"], False)


def test_frames_contained_in_the_read_result_are_not_sent_again() -> None:
    attachment = Attachment("s", Window(100))
    for serial in (2, 3, 4):
        attachment.frame(frame(serial), now=0)
    released, _ = attachment.caught_up(epoch="e", serial=3, size=10, now=0)
    assert texts(released) == ["4-4"]


def test_a_frame_partly_contained_in_the_read_result_is_sent() -> None:
    attachment = Attachment("s", Window(100))
    attachment.frame(frame(2, 6), now=0)
    released, _ = attachment.caught_up(epoch="e", serial=3, size=10, now=0)
    assert texts(released) == ["2-6"]


def test_a_gap_during_a_read_causes_another_read() -> None:
    attachment = Attachment("s", Window(100))
    attachment.frame(frame(2), now=0)
    assert attachment.gap(now=0) is False
    attachment.frame(frame(9), now=0)
    released, again = attachment.caught_up(epoch="e", serial=1, size=10, now=0)
    assert (texts(released), again, attachment.state) == (["2-2"], True, C)


def test_a_frame_that_does_not_follow_the_read_result_causes_another_read() -> None:
    """A new feed is placed by the first frame that it hears of: it doesn't know that others were lost before."""
    attachment = Attachment("s", Window(100))
    attachment.frame(frame(6), now=0)
    attachment.frame(frame(7), now=0)
    released, again = attachment.caught_up(epoch="e", serial=3, size=10, now=0)
    assert (released, again, attachment.state) == ([], True, C)
    released, again = attachment.caught_up(epoch="e", serial=7, size=10, now=0)
    assert (released, again, attachment.state) == ([], False, L)


def test_a_frame_that_does_not_follow_the_last_sent_one_is_a_gap() -> None:
    """A feed is placed by the later of two readers' answers: it doesn't know what the other one lacks."""
    attachment = live(sent=3)
    assert not attachment.misses(frame(3, 6)) and not attachment.misses(frame(4))
    assert attachment.misses(frame(5))
    assert attachment.gap(now=0)
    assert not attachment.misses(frame(6))  # the store is being read


def test_frames_beyond_the_window_are_read_again_instead_of_buffered() -> None:
    attachment = Attachment("s", Window(100))
    for serial in range(1, 21):
        attachment.frame(frame(serial), now=0)
    released, again = attachment.caught_up(epoch="e", serial=0, size=0, now=0)
    assert len(released) == 10
    assert again or attachment.state is B


def test_frames_of_another_epoch_are_not_buffered() -> None:
    attachment = Attachment("s", Window(100))
    attachment.frame(frame(8, epoch="old"), now=0)
    attachment.frame(frame(1, epoch="new"), now=0)
    released, _ = attachment.caught_up(epoch="new", serial=0, size=0, now=0)
    assert texts(released) == ["1-1"]


def test_a_duplicate_frame_is_sent_once() -> None:
    attachment = live()
    assert texts(attachment.frame(frame(1), now=0)) == ["1-1"]
    assert attachment.frame(frame(1), now=0) == []


def test_a_frame_beyond_the_window_puts_the_client_behind_until_it_acknowledges_everything() -> None:
    attachment = live(limit=25)
    sent = [bool(attachment.frame(frame(serial), now=serial)) for serial in (1, 2, 3, 4)]
    assert sent == [True, True, False, False]
    assert (attachment.state, attachment.behind_since) == (B, 3)
    assert attachment.acknowledge("e", 1, now=5) is False
    assert attachment.frame(frame(5), now=5) == []
    assert attachment.acknowledge("e", 2, now=6) is True
    assert (attachment.state, attachment.behind_since) == (C, None)


def test_a_large_first_frame_causes_a_read_at_once() -> None:
    attachment = live(limit=25)
    assert attachment.frame(frame(1, size=1000), now=0) == []
    assert attachment.read_if_drained(now=0) is True


def test_an_acknowledgement_frees_the_window_up_to_its_cursor() -> None:
    attachment = live()
    for serial in (1, 2, 3):
        attachment.frame(frame(serial), now=0)
    attachment.acknowledge("e", 2, now=0)
    assert attachment.window.used == 10
    attachment.acknowledge("e", 1, now=0)
    assert attachment.window.used == 10


def test_the_sessions_of_a_connection_share_a_window() -> None:
    window = Window(25)
    one, other = Attachment("s", window), Attachment("t", window)
    for attachment in (one, other):
        attachment.caught_up(epoch="e", serial=0, size=0, now=0)
    one.frame(frame(1), now=0)
    one.frame(frame(2), now=0)
    assert other.frame(frame(1), now=0) == []
    one.close()
    assert window.used == 0


def test_gaps_do_not_pile_up_unread_results() -> None:
    attachment = live(limit=100)
    for _ in range(5):
        if attachment.gap(now=0):
            attachment.caught_up(epoch="e", serial=1, size=500, now=0)
    assert attachment.window.used <= 100 + 500


@pytest.mark.parametrize("after", [("new", 2), ("e", 2)], ids=["another epoch", "an older database"])
def test_a_reset_to_lower_serials_frees_the_window(after: tuple[str, int]) -> None:
    attachment = live(sent=50)
    attachment.frame(frame(51), now=0)
    attachment.gap(now=0)
    attachment.caught_up(epoch=after[0], serial=after[1], size=10, now=0)
    attachment.acknowledge(after[0], 2, now=0)
    assert attachment.window.used == 0


# The model


@dataclass
class Reading:
    """The store is being read: `base` is the cursor that the answer builds on, `found` what it says, once read."""

    base: tuple[int, int]  # epoch, serial
    found: tuple[int, int] | None = None


@dataclass
class Model:
    """A model of one session and one client. Frames arrive in order; the client reads at any time."""

    attachment: Attachment
    epoch: int = 1
    tail: int = 0
    reading: Reading | None = None
    wire: list[tuple[str, Any]] = field(default_factory=list)
    cursor: tuple[int, int] = (0, 0)
    answers_sent: int = 0
    answers_acknowledged: int = 0

    def read(self, base: tuple[int, int]) -> None:
        self.reading = Reading(base)

    def send(self, frames: list[Frame]) -> None:
        self.wire += [("events", frame) for frame in frames]

    def look(self) -> None:
        """Read the store if the attachment asks for it, as a `Subscription` does after each step."""
        if self.attachment.state is B and self.attachment.read_if_drained(now=0):
            self.read(self.place)

    @property
    def place(self) -> tuple[int, int]:
        return int(self.attachment.epoch or 0), self.attachment.sent


ANSWER = 700  # bytes, more than a window
WINDOW = 500


class Delivery(RuleBasedStateMachine):
    """Two sessions on one connection."""

    @initialize()
    def attach(self) -> None:
        self.window = Window(WINDOW)
        self.models = [Model(Attachment(name, self.window)) for name in "st"]
        for model in self.models:
            model.read((0, 0))

    which = st.integers(0, 1)

    @rule(which=which, count=st.integers(1, 3), size=st.sampled_from([10, 100, 600]))
    def commit(self, which: int, count: int, size: int) -> None:
        model = self.models[which]
        first, model.tail = model.tail + 1, model.tail + count
        committed = frame(first, model.tail, size=size, epoch=str(model.epoch))
        if model.attachment.misses(committed):
            self.lose(model)
            return
        model.send(model.attachment.frame(committed, now=0))
        model.look()

    @rule(which=which, count=st.integers(1, 3))
    def commit_unnoticed(self, which: int, count: int) -> None:
        self.models[which].tail += count

    @rule(which=which, count=st.integers(1, 3))
    def commit_and_lose(self, which: int, count: int) -> None:
        model = self.models[which]
        model.tail += count
        self.lose(model)

    @rule(which=which)
    def change_epoch(self, which: int) -> None:
        model = self.models[which]
        model.epoch, model.tail = model.epoch + 1, 0
        self.lose(model)

    def lose(self, model: Model) -> None:
        if model.attachment.gap(now=0):
            model.read(model.place)
        model.look()

    @precondition(lambda self: any(model.reading and not model.reading.found for model in self.models))
    @rule()
    def read_the_store(self) -> None:
        for model in self.models:
            if model.reading and not model.reading.found:
                model.reading.found = (model.epoch, model.tail)

    @rule(which=which, size=st.sampled_from([50, ANSWER]))
    def answer(self, which: int, size: int = ANSWER) -> None:
        model = self.models[which]
        if not model.reading or not model.reading.found:
            return
        reading, model.reading = model.reading, None
        assert reading.found
        epoch, serial = reading.found
        model.wire.append(("attached", (reading.base, reading.found)))
        released, again = model.attachment.caught_up(epoch=str(epoch), serial=serial, size=size, now=0)
        model.send(released)
        if again:
            model.read(model.place)
        model.look()

    @rule(which=which)
    def catch_up(self, which: int) -> None:
        self.read_the_store()
        self.answer(which, size=50)
        self.client_takes(which, len(self.models[which].wire))
        self.client_acknowledges(which)

    @rule(which=which)
    def client_attaches_again(self, which: int) -> None:
        model = self.models[which]
        model.attachment.reattach()
        model.read(model.cursor)

    @rule(which=which, most=st.integers(1, 5))
    def client_takes(self, which: int, most: int) -> None:
        model = self.models[which]
        for _ in range(min(most, len(model.wire))):
            kind, what = model.wire.pop(0)
            if kind == "attached":
                base, found = what
                assert base[0] != found[0] or base[1] <= model.cursor[1] or base > found, "builds on what it hasn't"
                model.cursor = found
            elif int(what.epoch) == model.cursor[0]:
                assert what.first <= model.cursor[1] + 1, "a gap"
                model.cursor = (model.cursor[0], max(model.cursor[1], what.last))
            else:
                raise AssertionError("events of an epoch that it doesn't know")

    @rule(which=which)
    def client_acknowledges(self, which: int) -> None:
        model = self.models[which]
        if model.attachment.acknowledge(str(model.cursor[0]), model.cursor[1], now=0):
            model.read(model.place)
        for each in self.models:
            each.look()

    @invariant()
    def the_window_is_exceeded_by_one_answer_a_session_at_most(self) -> None:
        if hasattr(self, "window"):
            assert self.window.used <= WINDOW + ANSWER * len(self.models)

    def teardown(self) -> None:
        """Check that a client that reads everything ends up to date and owes nothing."""
        if not hasattr(self, "window"):
            return
        for model in self.models:
            self.lose(model)  # a feed compares tails
        for _ in range(10):
            for which, model in enumerate(self.models):
                self.read_the_store()
                self.answer(which)
                self.client_takes(which, len(model.wire))
                self.client_acknowledges(which)
        for model in self.models:
            assert model.cursor == (model.epoch, model.tail)
            assert model.attachment.state is L
        assert self.window.used == 0


Delivery.TestCase.settings = settings(stateful_step_count=40, phases=[Phase.generate])
TestDelivery = Delivery.TestCase
