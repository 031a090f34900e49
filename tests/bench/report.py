"""The budgets, and the table that compares the servers with them and with each other."""

import statistics
from collections import defaultdict
from typing import NamedTuple

from tests.bench.rows import Figures

PEERS = ("socketio", "nchan")
TITLES = {
    "uvicorn": "Holdfast, uvicorn",
    "daphne": "Holdfast, Daphne",
    "remote": "Holdfast, remote publisher",
    "scaled": "Holdfast, scaled",
    "socketio": "Socket.IO",
    "nchan": "Nchan",
}
ALONE, TOGETHER = "one reader returns to a 10,000-token answer", "100 readers return at once, 1,000 tokens each"
BUSY, FAST = "500 sessions × 20 tokens/s", "200 sessions × 100 tokens/s"
BUSY_ROLLED, FAST_ROLLED = f"{BUSY}, 40 ms roll-up", f"{FAST}, 40 ms roll-up"
BUSY_PLAIN = f"{BUSY}, no roll-up"
FIRST, FIRST_APART = "from send to first token, agents in the server", "from send to first token, agents in a worker"
FAIR = "a second person, while one guest does the worst that limits allow"
FAIR_TEN = "the same, while ten guests do at one address"
IDLE = "5,000 sessions idle, one reader each"
STALLED = "a reader stops reading while its session gets 10 MB"
GROWTH = "one reader returns to 1,000 tokens of a database that grows"
STORED = "a 10,000-token answer at rest"


class Figure(NamedTuple):
    """A line of the table: a figure of a row, in words, and what it must not exceed for Holdfast as its page says."""

    row: str
    name: str
    what: str
    most: float | None = None


CPU, P50, P99 = "server CPU s per million tokens", "added latency p50, ms", "added latency p99, ms"
FIGURES = [
    Figure(BUSY_ROLLED, "cpu", CPU, 40),
    Figure(BUSY_ROLLED, "PostgreSQL", "of PostgreSQL besides"),
    Figure(BUSY_ROLLED, "Redis", "of Redis besides"),
    Figure(BUSY_ROLLED, "p50", P50, 45),
    Figure(BUSY_ROLLED, "p99", P99, 90),
    Figure(BUSY_PLAIN, "cpu", CPU),
    Figure(BUSY_PLAIN, "PostgreSQL", "of PostgreSQL besides"),
    Figure(BUSY_PLAIN, "Redis", "of Redis besides"),
    Figure(BUSY_PLAIN, "p50", P50, 10),
    Figure(BUSY_PLAIN, "p99", P99, 50),
    Figure(FAST_ROLLED, "cpu", CPU, 20),
    Figure(FAST_ROLLED, "PostgreSQL", "of PostgreSQL besides"),
    Figure(FAST_ROLLED, "Redis", "of Redis besides"),
    Figure(FAST_ROLLED, "p50", P50),
    Figure(FAST_ROLLED, "p99", P99),
    Figure(ALONE, "ms", "ms", 5),
    Figure(ALONE, "kB", "kB", 70),
    Figure(TOGETHER, "p50", "p50, ms", 40),
    Figure(TOGETHER, "max", "max, ms", 80),
    Figure(TOGETHER, "attach_p50", "on open connections: p50, ms", 40),
    Figure(TOGETHER, "attach_max", "on open connections: max, ms", 80),
    Figure(FIRST, "p50", "p50, ms", 30),
    Figure(FIRST, "p99", "p99, ms", 100),
    Figure(FIRST_APART, "p50", "p50, ms", 60),
    Figure(FIRST_APART, "p99", "p99, ms", 200),
    *(
        figure
        for row, most in ((FAIR, 3), (FAIR_TEN, None))
        for figure in (
            Figure(row, "rest_quiet_50", "REST p50 when it is quiet, ms"),
            Figure(row, "rest_busy_50", "REST p50 meanwhile, ms"),
            Figure(row, "rest_quiet_99", "REST p99 when it is quiet, ms"),
            Figure(row, "rest_busy_99", "REST p99 meanwhile, ms"),
            Figure(row, "rest_ratio", "that is, ×", most),
            Figure(row, "first_quiet_50", "send to first token, p50 when it is quiet, ms"),
            Figure(row, "first_busy_50", "send to first token, p50 meanwhile, ms"),
            Figure(row, "first_quiet_99", "send to first token, p99 when it is quiet, ms"),
            Figure(row, "first_busy_99", "send to first token, p99 meanwhile, ms"),
            Figure(row, "first_ratio", "that is, ×", most),
        )
    ),
    Figure(IDLE, "KiB", "KiB for each", 22),
    Figure(IDLE, "MiB", "the process, MiB"),
    Figure(IDLE, "cpu", "CPU s a minute"),
    Figure(STALLED, "KiB", "KiB that the server grows for each"),
    Figure(GROWTH, "ms_0", "with 1 thousand messages stored, ms"),
    Figure(GROWTH, "ms_1", "with 100 thousand, ms"),
    Figure(GROWTH, "ms_2", "with 1 million, ms"),
    Figure(GROWTH, "growth", "1 million against 1 thousand, ×", 1.2),
    Figure(STORED, "kB", "kB"),
    Figure(STORED, "log", "with a row for each token, kB"),
    Figure(STORED, "ratio", "that is, × ours"),
]


class Results:
    """The figures of all runs, by row and server, and the runs that were wrong."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], list[Figures]] = defaultdict(list)
        self.wrong: dict[tuple[str, str], str] = {}

    def add(self, row: str, server: str, figures: Figures) -> None:
        self._runs[row, server].append(figures)

    def servers(self) -> list[str]:
        measured = {server for _, server in (*self._runs, *self.wrong)}
        return [server for server in TITLES if server in measured]

    def values(self, row: str, server: str, name: str) -> list[float]:
        return [figures[name] for figures in self._runs[row, server] if name in figures]

    def speeds(self) -> str:
        """Return the machine's speed in each run; on a shared machine it is lower and the figures are worse."""
        speeds = [figures["speed"] for runs in self._runs.values() for figures in runs]
        return f"{min(speeds):.2g} to {max(speeds):.2g}" if speeds else "–"


def table(results: Results) -> str:
    """A Markdown table: medians (least–most of all runs), and × the first server's; what exceeds its budget is bold."""
    servers = results.servers()
    lines = [["work", "figure", "budget", *(TITLES[server] for server in servers)], ["---"] * (3 + len(servers))]
    row = ""
    for figure in FIGURES:
        cells = [_cell(results, figure, server, servers[0]) for server in servers]
        if any(cell != "–" for cell in cells):
            budget = "" if figure.most is None else f"≤ {figure.most:g}"
            lines.append(["" if figure.row == row else figure.row, figure.what, budget, *cells])
            row = figure.row
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(results: Results, figure: Figure, server: str, first: str) -> str:
    if (figure.row, server) in results.wrong:
        return "wrong"
    values = results.values(figure.row, server, figure.name)
    if not values:
        return "–"
    median = statistics.median(values)
    text = _number(median)
    if figure.most is not None and median > figure.most and server not in PEERS:
        text = f"**{text}**"
    if len(values) > 1:
        text += f" ({_number(min(values))}–{_number(max(values))})"
    base = results.values(figure.row, first, figure.name)
    if server != first and base and statistics.median(base) > 0:
        text += f", {_number(median / statistics.median(base))} ×"
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 10 else f"{value:.3g}"
