"""The benchmark's rows, and the servers measured in each."""

from typing import NamedTuple

from tests.bench import fairness, report, rows, storage
from tests.bench.rows import Load, Work

EMBEDDED, SCALED, PEERS = ("uvicorn", "daphne"), ("scaled",), ("socketio", "nchan")
HOLDFAST = (*EMBEDDED, "remote", *SCALED)
NAMES = (*HOLDFAST, *PEERS)
ALONE = (*EMBEDDED, *PEERS)  # one process each
WITHOUT_REMOTE = (*EMBEDDED, *SCALED, *PEERS)
SESSIONS = 5000
# The defaults; and REST over http.
LIMITED = {
    "HOLDFAST_PEOPLE_PER_ADDRESS": "10",
    "HOLDFAST_ANSWER_BYTES_PER_MINUTE": "6291456",
    "HOLDFAST_SSL_REDIRECT": "false",
}
IDLE_S = 15.0  # one heartbeat of each connection


class Row(NamedTuple):
    """A row of the table. `names`: of its figures. `once`: not repeated, as it is long or repeats its work itself."""

    names: tuple[str, ...]
    do: Work
    servers: tuple[str, ...]
    environment: dict[str, str] = {}
    once: bool = False

    def fits(self, text: str) -> bool:
        return any(text in name for name in self.names)


def plan(quick: bool) -> list[Row]:
    """Return all rows. A quick run has less of everything, and its figures are no measurement."""
    seconds, asked, tokens, idle, messages = (
        (2.0, 20, 1000, 500, storage.QUICK) if quick else (4.0, 80, 10_000, SESSIONS, storage.MESSAGES)
    )
    rolled, plain = {"HOLDFAST_ROLLUP_MS": "40"}, {"HOLDFAST_ROLLUP_MS": "0"}
    requests, answers = (50, 8) if quick else (100, 15)
    busy, fast = Load(500, 20, seconds), Load(200, 100, seconds)
    return [
        Row((report.BUSY_ROLLED,), lambda site: rows.streaming(site, busy), HOLDFAST, rolled),
        # Peers don't roll up: one measurement stands beside both.
        Row((report.BUSY_ROLLED, report.BUSY_PLAIN), lambda site: rows.streaming(site, busy), PEERS),
        Row((report.BUSY_PLAIN,), lambda site: rows.streaming(site, busy), (*EMBEDDED, *SCALED), plain, True),
        Row((report.FAST_ROLLED,), lambda site: rows.streaming(site, fast), (*HOLDFAST, *PEERS), rolled),
        Row((report.ALONE,), lambda site: rows.returning_alone(site, 10_000), WITHOUT_REMOTE, rolled, True),
        Row((report.TOGETHER,), lambda site: rows.returning_together(site, 100, 1000), ALONE, rolled, True),
        Row((report.FIRST,), lambda site: rows.first_tokens(site, asked), EMBEDDED, once=True),
        Row((report.FIRST_APART,), lambda site: rows.first_tokens(site, asked), SCALED, once=True),
        Row((report.FAIR,), lambda site: fairness.second_person(site, 1, requests, answers), EMBEDDED, LIMITED),
        Row(
            (report.FAIR_TEN,),
            lambda site: fairness.second_person(site, 10, requests, answers),
            EMBEDDED,
            LIMITED,
            True,
        ),
        Row((report.IDLE,), lambda site: rows.idle(site, idle, IDLE_S), ALONE, once=True),
        Row((report.STALLED,), lambda site: rows.stalled(site, 5, 4), ALONE, once=True),
        Row((report.GROWTH,), lambda site: storage.growth(site, messages), ("uvicorn", *SCALED), once=True),
        Row((report.STORED,), lambda site: storage.stored(site, tokens), ("uvicorn", *SCALED), once=True),
    ]
