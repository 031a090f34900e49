"""The benchmark's rows, and the servers measured in each."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import uvloop

from tests.bench import budgets, connecting, elsewhere, fairness, fanout, foreign, rows, saturation, storage, streaming
from tests.bench.fanout import Fan
from tests.bench.overload import Overload
from tests.bench.saturation import Search
from tests.bench.starting import KEYS
from tests.bench.streaming import Figures, Load

# "before" is a former release, beside this one under uvicorn.
EMBEDDED, SCALED, PEERS = ("uvicorn", "before", "daphne"), ("scaled",), ("socketio", "nchan", "centrifugo")
UVICORN = ("uvicorn", "before")
HOLDFAST = (*EMBEDDED, "remote", *SCALED)
NAMES = (*HOLDFAST, *PEERS)
ALONE = (*EMBEDDED, *PEERS)  # one process each
WITHOUT_REMOTE = (*EMBEDDED, *SCALED, *PEERS)
SESSIONS = 10_000  # two overloads
MOST_ANSWERS = SESSIONS // (2 * saturation.TIMES) - 100  # of saturation: an overload needs room for its probes
FAN_READERS = 10_000
IDLE_READERS = 5000
ROOM = 500  # files that a process has open besides its sockets
# The defaults; and REST over http.
LIMITED = {
    "HOLDFAST_PEOPLE_PER_ADDRESS": "10",
    "HOLDFAST_ANSWER_BYTES_PER_MINUTE": "6291456",
    "HOLDFAST_SSL_REDIRECT": "false",
}
# All readers of an answer are one person here; what a server can take is what is measured.
CROWD = {
    "HOLDFAST_ROLLUP_MS": "40",
    "HOLDFAST_CONNECTIONS_PER_OWNER": "100000",
    "HOLDFAST_FRAMES_PER_SECOND": "100000",
    "HOLDFAST_LINKS_PER_MINUTE": "1000000",
}

Open = Callable[[], AbstractContextManager[Any]]  # starts a server


class Row(NamedTuple):
    """A row of the table. `names`: of its figures. `once`: not repeated, as it is long or repeats its work itself.

    `files`: that it has open at once, in the server or the load generator.
    """

    names: tuple[str, ...]
    do: Callable[[Open], Figures]
    servers: tuple[str, ...]
    environment: dict[str, str] = {}
    once: bool = False
    files: int = 1000 + ROOM

    def fits(self, text: str) -> bool:
        return any(text in name for name in self.names)


def on_one(work: Callable[[Any], Awaitable[Figures]]) -> Callable[[Open], Figures]:
    """Return what starts one server and does work with it."""

    async def done(site: Any) -> Figures:
        return await work(site)

    def do(open_site: Open) -> Figures:
        with open_site() as site:
            return uvloop.run(done(site))

    return do


def plan(quick: bool) -> list[Row]:
    """Return all rows. A quick run has less of everything, and its figures are no measurement."""
    return [*_writing(quick), *_saturation(quick), *_reading(quick), *_returning(quick), *_resting(quick)]


def _writing(quick: bool) -> list[Row]:
    seconds = 2.0 if quick else 4.0
    rolled, plain = {"HOLDFAST_ROLLUP_MS": "40"}, {"HOLDFAST_ROLLUP_MS": "0"}
    busy = on_one(lambda site: streaming.streaming(site, Load(500, 20, seconds)))
    fast = on_one(lambda site: streaming.streaming(site, Load(200, 100, seconds)))
    return [
        Row((budgets.BUSY_ROLLED,), busy, HOLDFAST, rolled),
        Row(
            (budgets.FOREIGN,),
            lambda open_site: foreign.foreign_wires(open_site, Load(200, 20, seconds)),
            ("uvicorn", "daphne"),
            rolled | {"HOLDFAST_SSL_REDIRECT": "false"},
        ),
        # Peers don't roll up: one measurement stands beside both.
        Row((budgets.BUSY_ROLLED, budgets.BUSY_PLAIN), busy, PEERS),
        Row((budgets.BUSY_PLAIN,), busy, (*EMBEDDED, *SCALED), plain, True),
        Row((budgets.FAST_ROLLED,), fast, (*HOLDFAST, *PEERS), rolled),
    ]


def _saturation(quick: bool) -> list[Row]:
    seconds, overloaded = (1.5, Overload(5, 10)) if quick else (3.0, Overload(20, 40))
    search = Search(200, MOST_ANSWERS, 0.3) if quick else Search(400, MOST_ANSWERS, 0.05)

    def saturate(open_site: Open) -> Figures:
        return saturation.saturation(open_site, seconds, search, overloaded)

    names, rolled = (budgets.SATURATION, budgets.OVERLOAD), {"HOLDFAST_ROLLUP_MS": "40"}
    files = SESSIONS + ROOM  # of one overload: Nchan's writer has a socket for each answer, too
    return [
        Row(names, saturate, (*UVICORN, *PEERS), rolled, files=files),
        Row(names, saturate, SCALED, rolled, True, files),
    ]


def _reading(quick: bool) -> list[Row]:
    few, many, tokens = (200, 1000, 100) if quick else (1000, FAN_READERS, 200)
    people = 200 if quick else 1000
    return [
        Row((budgets.FAN_1000,), on_one(lambda site: fanout.fan_out(site, Fan(few, 50, tokens))), ALONE, CROWD),
        Row(
            (budgets.FAN_10000,),
            on_one(lambda site: fanout.fan_out(site, Fan(many, 50, tokens))),
            ALONE,
            CROWD,
            True,
            many + ROOM,
        ),
        Row((budgets.CONNECTING,), on_one(lambda site: connecting.connecting(site, people)), ALONE, KEYS),
    ]


def _returning(quick: bool) -> list[Row]:
    rolled, asked = {"HOLDFAST_ROLLUP_MS": "40"}, 20 if quick else 80
    requests, answers = (50, 8) if quick else (100, 15)
    alone = on_one(lambda site: rows.returning_alone(site, 10_000))
    together = on_one(lambda site: rows.returning_together(site, 100, 1000))
    first = on_one(lambda site: rows.first_tokens(site, asked))
    guest = on_one(lambda site: fairness.second_person(site, 1, requests, answers))
    guests = on_one(lambda site: fairness.second_person(site, 10, requests, answers))
    return [
        Row((budgets.ALONE,), alone, WITHOUT_REMOTE, rolled, True),
        Row((budgets.TOGETHER,), together, ALONE, rolled, True),
        Row((budgets.FIRST,), first, EMBEDDED, once=True),
        Row((budgets.FIRST_APART,), first, SCALED, once=True),
        Row(
            (budgets.FIRST_ELSEWHERE,),
            lambda open_site: elsewhere.first_tokens(open_site, asked),
            ("uvicorn", "daphne"),
            KEYS | elsewhere.SETTINGS,
            True,
        ),
        Row((budgets.FAIR,), guest, EMBEDDED, LIMITED),
        Row((budgets.FAIR_TEN,), guests, EMBEDDED, LIMITED, True),
    ]


def _resting(quick: bool) -> list[Row]:
    sessions, seconds = (500, 15.0) if quick else (IDLE_READERS, 60.0)  # a minute has a ping of each connection
    tokens, messages = (1000, storage.QUICK) if quick else (10_000, storage.MESSAGES)
    idle = on_one(lambda site: rows.idle(site, sessions, seconds))
    stalled = on_one(lambda site: rows.stalled(site, 5, 4))
    growth = on_one(lambda site: storage.growth(site, messages))
    stored = on_one(lambda site: storage.stored(site, tokens))
    return [
        Row((budgets.IDLE,), idle, ALONE, once=True, files=sessions + ROOM),
        Row((budgets.STALLED,), stalled, ALONE, once=True),
        Row((budgets.GROWTH,), growth, (*UVICORN, *SCALED), once=True),
        Row((budgets.STORED,), stored, (*UVICORN, *SCALED), once=True),
    ]
