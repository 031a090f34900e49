"""The budgets, and the table that compares them with what was measured."""

import statistics
from collections import defaultdict
from typing import NamedTuple

from tests.bench.rows import Figures

ALONE, TOGETHER = "one reader returns to a 10,000-token answer", "100 readers return at once, 1,000 tokens each"
BUSY, FAST = "500 sessions × 20 tokens/s", "200 sessions × 100 tokens/s"
BUSY_ROLLED, FAST_ROLLED = f"{BUSY}, 40 ms roll-up", f"{FAST}, 40 ms roll-up"
BUSY_PLAIN = f"{BUSY}, no roll-up"
FIRST, FIRST_APART = "from send to first token, agents in the server", "from send to first token, agents in a worker"
IDLE = "an idle attached connection"


class Budget(NamedTuple):
    """What a figure of a row must not exceed."""

    row: str
    figure: str
    what: str
    most: float


BUDGETS = [
    Budget(BUSY_ROLLED, "cpu", "server CPU s per million tokens", 40),
    Budget(BUSY_ROLLED, "p50", "added latency p50, ms", 45),
    Budget(BUSY_ROLLED, "p99", "added latency p99, ms", 90),
    Budget(BUSY_PLAIN, "p50", "added latency p50, ms", 10),
    Budget(BUSY_PLAIN, "p99", "added latency p99, ms", 50),
    Budget(FAST_ROLLED, "cpu", "server CPU s per million tokens", 20),
    Budget(ALONE, "ms", "ms", 5),
    Budget(ALONE, "kB", "kB", 70),
    Budget(TOGETHER, "p50", "p50, ms", 40),
    Budget(TOGETHER, "max", "max, ms", 80),
    Budget(TOGETHER, "attach_p50", "on open connections: p50, ms", 40),
    Budget(TOGETHER, "attach_max", "on open connections: max, ms", 80),
    Budget(FIRST, "p50", "p50, ms", 30),
    Budget(FIRST, "p99", "p99, ms", 100),
    Budget(FIRST_APART, "p50", "p50, ms", 60),
    Budget(FIRST_APART, "p99", "p99, ms", 200),
    Budget(IDLE, "KiB", "KiB", 22),
]


class Results:
    """All runs' figures, by row and server."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], list[Figures]] = defaultdict(list)

    def add(self, row: str, server: str, figures: Figures) -> None:
        self._runs[row, server].append(figures)

    def servers(self) -> list[str]:
        return list(dict.fromkeys(server for _, server in self._runs))

    def median(self, row: str, server: str, figure: str) -> float | None:
        runs = [figures[figure] for figures in self._runs[row, server] if figure in figures]
        return statistics.median(runs) if runs else None

    def runs(self) -> int:
        return max((len(runs) for runs in self._runs.values()), default=0)

    def speeds(self) -> str:
        """How fast the machine was; one that was shared with others is slower, and its figures are worse."""
        speeds = [figures["speed"] for runs in self._runs.values() for figures in runs]
        return f"{min(speeds):.2g} to {max(speeds):.2g}"


def table(results: Results) -> str:
    """A Markdown table: each budget, and each server's median with its share of the budget."""
    servers = results.servers()
    lines = [["work", "figure", "budget", *servers], ["---"] * (3 + len(servers))]
    for budget in BUDGETS:
        values = [results.median(budget.row, server, budget.figure) for server in servers]
        if any(value is not None for value in values):
            lines.append([budget.row, budget.what, f"≤ {budget.most:g}", *(_cell(v, budget.most) for v in values)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: float | None, most: float) -> str:
    return "–" if value is None else f"{value:.3g} ({value / most:.2f} ×)"
