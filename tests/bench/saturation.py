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
CLOSE_P99_MS, CLOSE_WRITTEN = 500.0, 0.85  # a miss that may be the machine's, so it is tried again
FIRST = 400  # answers of the first step
ROUND = 10  # answers; all steps are multiples
PRECISION = 0.05  # of the result, at which the search ends
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
    def is_close(self) -> bool:
        return self.p99 <= CLOSE_P99_MS and self.written >= CLOSE_WRITTEN

    @property
    def is_of_the_load(self) -> bool:
        """Return whether the load generator's core was full, and the server's wasn't."""
        return self.figures.get("load", 0.0) >= FULL > self.figures.get("share", 1.0)


def search(attempt: Callable[[int], Step], first: int, most: int) -> tuple[Step, Step | None]:
    """Return the most answers that are served, and the fewest that aren't: None if `most` are. Raises Wrong."""
    served = beyond = None
    answers: int | None = first
    while answers:
        step = attempt(answers)
        if step.is_served:
            served = step
        else:
            beyond = step
        answers = _next(served and served.answers, beyond and beyond.answers, most)
    if served is None:
        raise Wrong(f"fewer than {ROUND} answers are served")
    return served, beyond


def _next(served: int | None, beyond: int | None, most: int) -> int | None:
    """Return the next number to try: twice or half as many until both ends are known, then the middle."""
    if beyond is None:
        assert served
        return min(2 * served, most) if served < most else None
    if served is None:
        return beyond // 2 // ROUND * ROUND
    middle = round((served + beyond) / 2 / ROUND) * ROUND
    return middle if beyond - served > PRECISION * served and served < middle < beyond else None


def saturation(open_site: Open, seconds: float, most: int, overloaded: Overload) -> Figures:
    """Find the capacity, in steps of a number of measured seconds; then overload a server."""

    def attempt(answers: int) -> Step:
        step = _attempt(open_site, Load(answers, RATE, seconds))
        return step if step.is_served or not step.is_close else _attempt(open_site, Load(answers, RATE, seconds))

    served, beyond = search(attempt, min(FIRST, most), most)
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
    beyond_load = {"beyond_load": beyond.figures["load"] * 100} if beyond.figures else {}
    return (
        figures
        | beyond_load
        | {
            "beyond": float(beyond.answers),
            "beyond_asked": beyond.answers * RATE,
            "beyond_written": beyond.figures.get("rate", 0.0),
        }
    )
