"""The table that compares the servers with their budgets and with each other."""

import statistics
from collections import defaultdict
from collections.abc import Mapping

from tests.bench.budgets import FIGURES, Budget, Figure
from tests.bench.streaming import Figures

TITLES = {
    "uvicorn": "Holdfast, uvicorn",
    "before": "the release before, uvicorn",
    "daphne": "Holdfast, Daphne",
    "remote": "Holdfast, remote publisher",
    "scaled": "Holdfast, scaled",
    "socketio": "Socket.IO",
    "nchan": "Nchan",
    "centrifugo": "Centrifugo",
}
ON_DISK = "everything, on disk (SQLite)"
KEEPS = {
    "uvicorn": ON_DISK,
    "before": ON_DISK,
    "daphne": ON_DISK,
    "remote": ON_DISK,
    "scaled": "everything, on disk (PostgreSQL)",
    "socketio": "two minutes, in memory",
    "nchan": "20,000 tokens an answer for ten minutes, in memory",
    "centrifugo": "20,000 tokens an answer for ten minutes, in memory",
}
NEVER = float("inf")
BUDGETED = ("uvicorn", "daphne", "remote", "scaled")


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
        return [figures[name] for figures in self._runs.get((row, server), ()) if name in figures]

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
        if all(cell == "–" for cell in cells):
            continue
        if figure.row != row:
            row = figure.row
            kept = [KEEPS[server] if cell != "–" else cell for server, cell in zip(servers, cells, strict=True)]
            lines.append([row, "what is kept", "", *kept])
        lines.append(["", figure.what, _budget(figure), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _budget(figure: Figure) -> str:
    """Return a figure's budget in words, with that of each server where they differ."""
    sign, budget = ("≥", figure.least) if figure.least is not None else ("≤", figure.most)
    if not isinstance(budget, Mapping):
        return "" if budget is None else f"{sign} {budget:g}"
    first, *others = budget.values()
    words = [f"{sign} {first:g}"]
    words += [f"{server} {most:g}" for server, most in budget.items() if most != first]
    return "; ".join(words)


def _cell(results: Results, figure: Figure, server: str, first: str) -> str:
    if (figure.row, server) in results.wrong:
        return "wrong"
    if figure.beside:
        return _multiple(results, figure, server)
    values = results.values(figure.row, server, figure.name)
    if not values:
        return "–"
    median = statistics.median(values)
    text = _marked(_number(median), figure, server, median)
    if any(results.values(figure.row, server, figure.bound)):
        text = f"≥ {text}"
    if len(values) > 1:
        text += f" ({_number(min(values))}–{_number(max(values))})"
    base = results.values(figure.row, first, figure.name)
    if server != first and base and 0 < statistics.median(base) < NEVER:
        text += f", {_number(median / statistics.median(base))} ×"
    return text


def _multiple(results: Results, figure: Figure, server: str) -> str:
    """Return the multiple of another server's median in the same run."""
    values = results.values(figure.row, server, figure.name)
    base = results.values(figure.row, figure.beside, figure.name)
    if server == figure.beside or not values or not base:
        return "–"
    multiple = statistics.median(values) / statistics.median(base)
    return f"{_marked(_number(multiple), figure, server, multiple)} ×"


def _marked(text: str, figure: Figure, server: str, value: float) -> str:
    """Return a figure's text, bold where its budget is exceeded."""
    most, least = _of(figure.most, server), _of(figure.least, server)
    is_exceeded = (most is not None and value > most) or (least is not None and value < least)
    return f"**{text}**" if is_exceeded else text


def _of(budget: Budget, server: str) -> float | None:
    if isinstance(budget, Mapping):
        return budget.get(server)
    return budget if server in BUDGETED else None


def _number(value: float) -> str:
    if value == NEVER:
        return "never"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 10 else f"{value:.3g}"
