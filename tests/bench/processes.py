"""`python -m tests.bench.processes`: what `manage.py serve --processes N` writes and delivers at saturation.

Unlike in the rows of the benchmark, nothing is pinned to a core: the processes, the databases and the load share them
all, as on one machine that does everything.
"""

import argparse
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvloop

from tests import services
from tests.bench import machine, starting, streaming
from tests.bench.holdfast import Holdfast
from tests.bench.saturation import RATE
from tests.bench.site import Wrong
from tests.bench.starting import Cluster, Files
from tests.bench.streaming import Figures, Load
from tests.support.harness import Server

COUNTS = (1, 2, 4)
DATABASES = ("SQLite", "PostgreSQL")
ROLLED = {"HOLDFAST_ROLLUP_MS": "40"}
HEAD = ["database", "processes", "tokens/s written", "CPU s per million tokens", "p50, ms", "p99, ms"]


@contextmanager
def served(count: int, store: Files | Cluster) -> Iterator[Holdfast]:
    """Start `serve` with so many processes, agents inside, and Redis between them."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name, services.redis() as redis:
        place = Path(name)
        environment = starting.ENVIRONMENT | ROLLED | {"HOLDFAST_REDIS": redis, "HOLDFAST_PROCESSES": str(count)}
        server = Server(
            place,
            database=store.copy(place),
            command="serve",
            arguments=f"--processes {count}",
            environment=environment,
        )
        server.health = "/readyz"
        try:
            server.start()
            yield Holdfast(server, store.sessions, 1, machine.family(server.pid))
        finally:
            server.end()


def measure(count: int, store: Files | Cluster, load: Load) -> Figures:
    async def work(site: Holdfast) -> Figures:
        return await streaming.measured(site, load, site.check_state)

    with served(count, store) as site:
        return uvloop.run(work(site))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.processes", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, action="append", help="may be repeated; both if not given")
    parser.add_argument("--answers", type=int, default=1500, help=f"at once, {RATE:g} tokens/s each; default 1500")
    parser.add_argument("--seconds", type=float, default=4.0, help="that are measured; default 4")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    machine.allow_files(4 * chosen.answers + 1000)
    load, wrong = Load(chosen.answers, RATE, chosen.seconds), 0
    print(f"{machine.describe()}; {load.asked:,.0f} tokens/s are asked for")
    print(row(HEAD), row(["---"] * len(HEAD)), sep="\n")
    with ExitStack() as stack:
        for name in chosen.database or DATABASES:
            store = prepared(name, stack, chosen.answers)
            for count in COUNTS:
                try:
                    figures = measure(count, store, load)
                    shown = [f"{figures[each]:,.0f}" for each in ("rate", "cpu", "p50", "p99")]
                except (Wrong, ConnectionError, TimeoutError) as problem:
                    wrong += 1
                    shown = [f"wrong: {problem!r}", "", "", ""]
                print(row([name, str(count), *shown]), flush=True)
    return 1 if wrong else 0


def prepared(database: str, stack: ExitStack, sessions: int) -> Files | Cluster:
    if database == "PostgreSQL":
        return Cluster(stack.enter_context(services.postgres(durable=True)), sessions)
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-bench-")))
    return Files(place, "now", sessions)


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
