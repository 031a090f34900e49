"""The attachment of one client to one session: decides which frames to send, keep or drop, and when to catch up.

Two rules stand above the table:

1. What is sent continues what was sent before: every frame's first serial is one more than the last one sent,
   or the frame is an `attached`, which says itself from where it continues.
2. No more than the connection's window is sent and not yet acknowledged. What doesn't fit isn't queued: the
   reader is left behind, and the store holds its state in conflated form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class State(Enum):
    __hash__ = object.__hash__  # Enum's own hashes the name, in Python, and the table is asked for every frame

    CATCHING_UP = "catching-up"  # the store is being read for it; frames that arrive wait
    LIVE = "live"
    BEHIND = "behind"  # gets nothing until it has acknowledged all that it was sent


class Event(Enum):
    __hash__ = object.__hash__

    FRAME = "frame"  # a frame that continues
    OVERFLOW = "overflow"  # a frame that continues, and doesn't fit
    GAP = "gap"  # frames between this and the last one sent were lost
    CAUGHT_UP = "caught-up"  # the store's answer is here
    DRAINED = "drained"  # all that was sent is acknowledged
    REATTACH = "reattach"  # the client attached again


class Action(Enum):
    NOTHING = "nothing"
    SEND = "send"
    KEEP = "keep"  # until the store has answered
    READ = "read"  # the store, from the last serial sent
    RELEASE = "release"  # send the answer, then what was kept


TRANSITIONS: dict[tuple[State, Event], tuple[State, Action]] = {
    (State.CATCHING_UP, Event.FRAME): (State.CATCHING_UP, Action.KEEP),
    (State.CATCHING_UP, Event.OVERFLOW): (State.CATCHING_UP, Action.KEEP),
    # What is kept may now have a hole. The answer that is on its way may be older than it, so: another one.
    (State.CATCHING_UP, Event.GAP): (State.CATCHING_UP, Action.KEEP),
    (State.CATCHING_UP, Event.CAUGHT_UP): (State.LIVE, Action.RELEASE),
    (State.CATCHING_UP, Event.DRAINED): (State.CATCHING_UP, Action.NOTHING),
    (State.CATCHING_UP, Event.REATTACH): (State.CATCHING_UP, Action.NOTHING),
    (State.LIVE, Event.FRAME): (State.LIVE, Action.SEND),
    (State.LIVE, Event.OVERFLOW): (State.BEHIND, Action.NOTHING),
    (State.LIVE, Event.GAP): (State.CATCHING_UP, Action.READ),
    (State.LIVE, Event.DRAINED): (State.LIVE, Action.NOTHING),
    (State.LIVE, Event.REATTACH): (State.CATCHING_UP, Action.NOTHING),
    (State.BEHIND, Event.FRAME): (State.BEHIND, Action.NOTHING),
    (State.BEHIND, Event.OVERFLOW): (State.BEHIND, Action.NOTHING),
    (State.BEHIND, Event.GAP): (State.BEHIND, Action.NOTHING),
    (State.BEHIND, Event.DRAINED): (State.CATCHING_UP, Action.READ),
    (State.BEHIND, Event.REATTACH): (State.CATCHING_UP, Action.NOTHING),
}


class Frame(NamedTuple):
    """The events of one session in one commit, encoded once for every reader on every transport."""

    session: str
    epoch: str
    first: int
    last: int
    text: str
    size: int  # bytes in UTF-8


@dataclass(slots=True)
class Window:
    """The bytes sent to one connection and not acknowledged, over all its sessions."""

    limit: int
    used: int = 0

    def fits(self, size: int) -> bool:
        return self.used + size <= self.limit


@dataclass(slots=True)
class Attachment:
    """One attachment's state. `sent`: the last serial sent. `behind_since`: by the caller's clock, or None."""

    session: str
    window: Window
    epoch: str = ""
    sent: int = 0
    state: State = State.CATCHING_UP
    behind_since: float | None = None
    _in_flight: list[tuple[str, int, int]] = field(default_factory=list)  # (epoch, last serial, bytes) per frame
    _kept: list[Frame] = field(default_factory=list)
    _kept_bytes: int = 0
    _lost: bool = False  # something after the kept frames was not kept

    @property
    def in_flight(self) -> bool:
        """Return whether something was sent that is not acknowledged."""
        return bool(self._in_flight)

    def reattach(self) -> None:
        """Restart for a client that attaches (again): forget what it was sent before."""
        self._enter(Event.REATTACH, now=0.0)
        self._land(len(self._in_flight))
        self._forget_kept()

    def takes(self, frame: Frame) -> bool:
        """Take a frame that continues a live attachment and fits, as most do; it is to be sent now.

        Returns False for any other, and nothing has changed: `misses` and `frame` say what to do with it.
        """
        if self.state is not State.LIVE or frame.first != self.sent + 1 or not self.window.fits(frame.size):
            return False
        self._sent(frame.last, frame.size)
        return True

    def misses(self, frame: Frame) -> bool:
        """Return whether frames between the last one sent and this one are missing: then call `gap`, not `frame`.

        Its feed can't always know. Two readers whose attaches are its first place it by the later of their answers from
        the store, or by the first frame that it hears of; hints that were lost just then are missing to the other.
        """
        return self.state is State.LIVE and frame.first > self.sent + 1

    def frame(self, frame: Frame, *, now: float) -> list[Frame]:
        """Take a frame from the feed; return what to send now: it, or nothing."""
        if self.state is State.LIVE and frame.last <= self.sent:
            return []
        fits = self.window.fits(frame.size)
        action = self._enter(Event.FRAME if fits else Event.OVERFLOW, now=now)
        if action is Action.KEEP:
            self._keep(frame)
        if action is not Action.SEND:
            return []
        self._sent(frame.last, frame.size)
        return [frame]

    def gap(self, *, now: float) -> bool:
        """Note that the feed lost frames; return whether to read the store now."""
        # With a full window the answer would be one more that waits to be read: it comes when that is empty.
        action = self._enter(Event.GAP if self.window.fits(0) else Event.OVERFLOW, now=now)
        if action is Action.KEEP:
            self._lost = True
        return action is Action.READ

    def caught_up(self, *, epoch: str, serial: int, size: int, now: float) -> tuple[list[Frame], bool]:
        """Note that the store's answer up to `serial`, of `size` bytes, is being sent.

        Returns the frames to send after it and whether the store must be read again.
        """
        self._enter(Event.CAUGHT_UP, now=now)
        self.epoch = epoch
        self._sent(serial, size)
        kept, lost = self._kept, self._lost
        self._forget_kept()
        released: list[Frame] = []
        for frame in kept:
            if frame.epoch != epoch:
                continue
            if self.misses(frame):
                lost = True
                break
            released += self.frame(frame, now=now)
        return released, lost and self.gap(now=now)

    def acknowledge(self, epoch: str, serial: int, *, now: float) -> bool:
        """Note that the client has applied everything up to a cursor; return whether to read the store now."""
        # By the newest frame that the cursor covers: serials start over after a reset.
        landed = [sent_epoch == epoch and sent <= serial for sent_epoch, sent, _ in self._in_flight]
        self._land(max((index + 1 for index, has in enumerate(landed) if has), default=0))
        return self.read_if_drained(now=now)

    def read_if_drained(self, *, now: float) -> bool:
        """Return whether a reader that is behind has nothing in flight, so that the store is to be read for it."""
        return not self._in_flight and self._enter(Event.DRAINED, now=now) is Action.READ

    def close(self) -> None:
        """Give back its share of the window."""
        self._land(len(self._in_flight))
        self._forget_kept()

    def _enter(self, event: Event, *, now: float) -> Action:
        try:
            self.state, action = TRANSITIONS[self.state, event]
        except KeyError:
            raise AssertionError(f"can't handle {event.value} while {self.state.value}") from None
        if self.state is not State.BEHIND:
            self.behind_since = None
        elif self.behind_since is None:
            self.behind_since = now
        return action

    def _sent(self, serial: int, size: int) -> None:
        self.sent = serial
        self.window.used += size
        self._in_flight.append((self.epoch, serial, size))

    def _land(self, frames: int) -> None:
        """Remove the oldest frames from those in flight."""
        self.window.used -= sum(size for _, _, size in self._in_flight[:frames])
        del self._in_flight[:frames]

    def _keep(self, frame: Frame) -> None:
        self._kept_bytes += frame.size
        if self._lost or self._kept_bytes > self.window.limit:
            self._lost = True
            return
        self._kept.append(frame)

    def _forget_kept(self) -> None:
        self._kept, self._kept_bytes, self._lost = [], 0, False
