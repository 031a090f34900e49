"""Saturation: how many answers one core serves, and what becomes of a server that is asked for twice as many.

Each step of the search has a server of its own: nothing of a step that was too much is left for the next.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import uvloop

from tests.bench import overload
from tests.bench.overload import Overload
from tests.bench.site import Late, Site, Wrong
from tests.bench.streaming import Figures, Load, measured

RATE = 20.0  # tokens a second of each answer
MOST_P99_MS = 250.0
LEAST_WRITTEN = 0.95  # of the tokens that were asked for: a writer that is held back isn't served
# Misses that may be the machine's, so they are tried again: near ones, and those with room on both cores.
CLOSE_P99_MS, CLOSE_WRITTEN, ROOM = 500.0, 0.85, 0.8
ROUND = 10  # answers; all steps are multiples
FULL = 0.95  # share of a core that has no more to give
TIMES = 2  # as many answers as are served: overload

Open = Callable[[], AbstractContextManager[Site[Any]]]


class Step(NamedTuple):
    """A number of answers, and what came of them; no figures where readers were closed or refused."""

    answers: int
    figures: Figures

    @property
    def written(self) -> float:
        """Return the share of the tokens asked for that were written in time."""
        return self.figures.get("rate", 0.0) / (self.answers * RATE)

    @property
    def p99(self) -> float:
        return self.figures.get("p99", float("inf"))

    @property
    def is_served(self) -> bool:
        return self.p99 <= MOST_P99_MS and self.written >= LEAST_WRITTEN

    @property
    def is_doubtful(self) -> bool:
        """Return whether it isn't served, but might be on a quiet machine."""
        is_close = self.p99 <= CLOSE_P99_MS and self.written >= CLOSE_WRITTEN
        has_room = max(self.figures.get("share", 1.0), self.figures.get("load", 1.0)) < ROOM
        return not self.is_served and (is_close or has_room)

    @property
    def is_of_the_load(self) -> bool:
        """Return whether the load generator's core was full, and the server's wasn't."""
        return self.figures.get("load", 0.0) >= FULL > self.figures.get("share", 1.0)


class Search(NamedTuple):
    """Answers of the first step, and the most; `precision`: of the result, at which the search ends."""

    first: int
    most: int
    precision: float


def search(attempt: Callable[[int], Step], how: Search) -> tuple[Step, Step | None]:
    """Return the most answers that are served, and the fewest that aren't: None if `most` are. Raises Wrong."""
    served = beyond = None
    answers: int | None = how.first
    while answers:
        step = attempt(answers)
        if step.is_served:
            served = step
        else:
            beyond = step
        answers = _next(served and served.answers, beyond and beyond.answers, how)
    if served is None:
        raise Wrong(f"fewer than {ROUND} answers are served")
    return served, beyond


def _next(served: int | None, beyond: int | None, how: Search) -> int | None:
    """Return the next number to try: twice or half as many until both ends are known, then the middle."""
    if beyond is None:
        assert served
        return min(2 * served, how.most) if served < how.most else None
    if served is None:
        return beyond // 2 // ROUND * ROUND
    middle = round((served + beyond) / 2 / ROUND) * ROUND
    return middle if beyond - served > how.precision * served and served < middle < beyond else None


def saturation(open_site: Open, seconds: float, how: Search, overloaded: Overload) -> Figures:
    """Find the capacity, in steps of a number of measured seconds; then overload a server."""

    def attempt(answers: int) -> Step:
        step = _attempt(open_site, Load(answers, RATE, seconds))
        return _attempt(open_site, Load(answers, RATE, seconds)) if step.is_doubtful else step

    served, beyond = search(attempt, how)
    with open_site() as site:
        figures = uvloop.run(overload.overload(site, TIMES * served.answers, RATE, overloaded))
    return _figures(served, beyond) | {f"overload_{name}": figure for name, figure in figures.items()}


def _attempt(open_site: Open, load: Load) -> Step:
    """Raises Wrong where a token is lost, repeated or out of order."""
    with open_site() as site:
        try:
            figures = uvloop.run(measured(site, load, site.check_state))
        except (Late, ConnectionError, TimeoutError):
            figures = {}
    step = Step(load.sessions, figures)
    print(f"  {step.answers} answers: {step.written:.0%} of the tokens written, p99 {step.p99:.0f} ms", flush=True)
    return step


def _figures(served: Step, beyond: Step | None) -> Figures:
    figures = {
        "answers": float(served.answers),
        "p99": served.p99,
        "written": served.figures["rate"],
        "asked": served.answers * RATE,
        "share": served.figures["share"] * 100,
        "load": served.figures["load"] * 100,
        "is_least": float(beyond is None or beyond.is_of_the_load),
    }
    if beyond is None:
        return figures
    cores = {f"beyond_{name}": beyond.figures[name] * 100 for name in ("share", "load") if name in beyond.figures}
    return (
        figures
        | cores
        | {
            "beyond": float(beyond.answers),
            "beyond_asked": beyond.answers * RATE,
            "beyond_written": beyond.figures.get("rate", 0.0),
        }
    )
