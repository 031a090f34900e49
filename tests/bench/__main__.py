"""`python -m tests.bench`: measures this checkout on this machine, and prints one table. `--help` has the choices."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import uvloop

from tests import services
from tests.bench import machine, report, rows
from tests.bench.report import Results
from tests.bench.rows import Load, Place, Work
from tests.support.harness import Server, Worker, environment_of, manage

SEED = 1
SESSIONS = rows.IDLE + rows.WARM_CONNECTIONS

# As a site runs it, not as one develops.
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
    "HOLDFAST_DEBUG": "false",
    "HOLDFAST_HOSTS": "127.0.0.1",
}


class Row(NamedTuple):
    """The server's environment, and what is done with it. `apart`: its agents run in a worker."""

    environment: dict[str, str]
    do: Work
    apart: bool = False


def work(seconds: float) -> dict[str, Row]:
    """All rows."""
    rolled, plain = {"HOLDFAST_ROLLUP_MS": "40"}, {"HOLDFAST_ROLLUP_MS": "0"}
    busy, fast = Load(500, 20, seconds), Load(200, 100, seconds)
    asked = round(20 * seconds)
    return {
        report.BUSY_ROLLED: Row(rolled, lambda place: rows.streaming(place, busy)),
        report.BUSY_PLAIN: Row(plain, lambda place: rows.streaming(place, busy)),
        report.FAST_ROLLED: Row(rolled, lambda place: rows.streaming(place, fast)),
        report.ALONE: Row(rolled, lambda place: rows.returning_alone(place, 10_000)),
        report.TOGETHER: Row(rolled, lambda place: rows.returning_together(place, 100, 1000)),
        report.FIRST: Row({}, lambda place: rows.first_tokens(place, asked)),
        report.FIRST_APART: Row({}, lambda place: rows.first_tokens(place, asked), apart=True),
        report.IDLE: Row({}, rows.idle),
    }


class Store:
    """A migrated SQLite file with sessions in it, to copy for each server."""

    def __init__(self, place: Path) -> None:
        self._path = place / "prepared.sqlite3"
        environment = environment_of(f"sqlite:///{self._path}", ENVIRONMENT)
        manage("migrate", "--verbosity", "0", environment=environment)
        created = manage("bench_sessions", str(SESSIONS), environment=environment)
        self.sessions = [(session, cookie) for session, cookie in json.loads(created)]

    def copy(self, place: Path) -> str:
        shutil.copyfile(self._path, place / "holdfast.sqlite3")
        return f"sqlite:///{place}/holdfast.sqlite3"


@contextmanager
def running(store: Store, command: str, row: Row) -> Iterator[Server]:
    """A server of its own on its own core, a database of its own, and a worker and Redis if the row needs them."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name, ExitStack() as stack:
        place = Path(name)
        database, environment = store.copy(place), ENVIRONMENT | row.environment
        with machine.on_server_core():
            if row.apart:
                redis = stack.enter_context(services.redis())
                environment |= {"HOLDFAST_REDIS": redis, "HOLDFAST_RUN_AGENTS": "false"}
            server = Server(place, database=database, command=command, environment=environment)
            stack.callback(server.end)
            server.start()
            if row.apart:
                worker = Worker(place, database=database, command="runagents", environment=environment)
                stack.callback(worker.end)
                worker.start()
        yield server


def measure(store: Store, command: str, row: Row, seed: int) -> rows.Figures:
    with running(store, command, row) as server:
        try:
            return uvloop.run(row.do(Place(server, store.sessions, seed))) | {"speed": machine.speed()}
        except Exception:
            print(f"--- {command}'s log ends with\n{server.log[-2000:]}")
            raise


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short run of each row: for a first look only")
    parser.add_argument("--runs", type=int, default=3, help="runs of each row; the table has their medians")
    parser.add_argument("--server", choices=("uvicorn", "daphne"), action="append", help="both if not given")
    parser.add_argument("--row", default="", help="only rows whose name holds this")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    runs, seconds = (1, 4.0) if chosen.quick else (chosen.runs, 10.0)
    results, header = Results(), machine.describe()
    machine.use_load_core()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        store = Store(Path(name))
        for run in range(runs):
            for name, row in work(seconds).items():
                for server in chosen.server or ("uvicorn", "daphne"):
                    if chosen.row in name:
                        figures = measure(store, server, row, SEED + run)
                        results.add(name, server, figures)
                        print(f"{server}: {name}: {show(figures)}", flush=True)
    print(f"\n{header}\nmedians of {results.runs()} runs; a fixed piece of Python took {results.speeds()} ms")
    print(f"\n{report.table(results)}")


def show(figures: rows.Figures) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


if __name__ == "__main__":
    main()
