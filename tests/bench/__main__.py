"""`python -m tests.bench`: measures this checkout and its peers on this machine, and prints one table. `--help` has
the choices."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tests import services
from tests.bench import machine, report, starting, versions
from tests.bench.peers import centrifugo, nchan, socketio
from tests.bench.plan import NAMES, SESSIONS, Row, plan
from tests.bench.report import Results
from tests.bench.site import Wrong
from tests.bench.streaming import Figures

SEED = 1

Start = Callable[[dict[str, str], int], AbstractContextManager[Any]]


def missing(server: str) -> str:
    """Return what a server needs and this machine lacks, or nothing."""
    if server == "scaled":
        return ", ".join(f"{name} is not installed" for name in ("postgres", "redis") if not services.find(name))
    peers = {"socketio": socketio.missing, "nchan": nchan.missing, "centrifugo": centrifugo.missing}
    return peers.get(server, str)()


def starts(servers: list[str], before: str, stack: ExitStack) -> dict[str, Start]:
    """Return what starts each of these servers for a row's environment and a seed."""
    found: dict[str, Start] = {
        "socketio": lambda _, seed: socketio.socketio(seed),
        "nchan": lambda _, seed: nchan.nchan(seed),
        "centrifugo": lambda _, seed: centrifugo.centrifugo(seed),
    }
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-bench-")))
    if "before" in servers:
        checkout = starting.check_out(before, place / "before")
        found["before"] = partial(starting.embedded, "uvicorn", starting.Files(place, "before", SESSIONS, checkout))
    if {"uvicorn", "daphne", "remote"} & set(servers):
        files = starting.Files(place, "now", SESSIONS)
        found |= {command: partial(starting.embedded, command, files) for command in ("uvicorn", "daphne")}
        found["remote"] = partial(starting.remote, files)
    if "scaled" in servers:
        cluster = starting.Cluster(stack.enter_context(services.postgres(durable=True)), SESSIONS)
        found["scaled"] = partial(starting.scaled, cluster)
    return found


def measure(row: Row, start: Start, seed: int) -> Figures:
    return row.do(lambda: start(row.environment, seed)) | {"speed": machine.speed()}


def arguments() -> argparse.Namespace:
    names = dict.fromkeys(name for row in plan(quick=False) for name in row.names)
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog="rows:\n" + "\n".join(f"  {name}" for name in names),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, once: shows whether it works")
    parser.add_argument("--runs", type=int, default=3, help="runs of the rows whose figures vary; default 3")
    parser.add_argument("--server", choices=NAMES, action="append", help="may be repeated; all if not given")
    parser.add_argument("--row", default="", help="only rows whose name holds this; the rows are below")
    parser.add_argument("--before", metavar="COMMIT", default="", help="measure this commit, too: the release before")
    chosen = parser.parse_args()
    if not any(chosen.row in name for name in names):
        parser.error(f"no row's name holds {chosen.row!r}")
    if "before" in (chosen.server or ()) and not chosen.before:
        parser.error("--server before needs --before COMMIT")
    return chosen


def choose(chosen: argparse.Namespace) -> list[str]:
    """Return the servers to measure. Those that can't be are named."""
    servers = []
    for server in chosen.server or NAMES:
        if server == "before" and not chosen.before:
            continue
        if lack := missing(server):
            print(f"{report.TITLES[server]} is skipped: {lack}")
        else:
            servers.append(server)
    return servers


def possible(todo: list[Row]) -> list[Row]:
    """Return the rows for which enough files may be open. The others are named."""
    most = machine.allow_files(max(row.files for row in todo))
    for row in todo:
        if row.files > most:
            print(f"{row.names[0]} is skipped: it needs {row.files} open files, and the hard limit is {most}")
    return [row for row in todo if row.files <= most]


def main() -> int:
    chosen = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    results, header = Results(), machine.describe()
    servers = choose(chosen)
    todo = possible([row for row in plan(chosen.quick) if row.fits(chosen.row)])
    machine.use_load_core()
    with ExitStack() as stack:
        start = starts(servers, chosen.before, stack)
        for run in range(1 if chosen.quick else chosen.runs):
            for row in todo:
                for server in servers:
                    if server in row.servers and not (run and row.once):
                        keep_row(results, row, server, start[server], SEED + run)
    print(f"\n{header}; the same during the runs: {results.speeds()} ms; {versions.of(servers)}")
    if "before" in servers:
        print(f"The release before is {chosen.before}.")
    print("A quick run: it shows that it works, and is no measurement." if chosen.quick else "")
    print(report.table(results))
    for (name, server), why in results.wrong.items():
        print(f"\nWrong: {report.TITLES[server]}: {name}: {why}")
    return 1 if results.wrong else 0


def keep_row(results: Results, row: Row, server: str, start: Start, seed: int) -> None:
    """Measure a row of a server and keep its figures; or that it was wrong, and then it has none."""
    try:
        figures = measure(row, start, seed)
    except (Wrong, ConnectionError, TimeoutError) as wrong:
        results.wrong |= {(name, server): str(wrong) or repr(wrong) for name in row.names}
        print(f"{server}: {row.names[0]}: WRONG: {wrong!r}", flush=True)
        return
    for name in row.names:
        results.add(name, server, figures)
    print(f"{server}: {row.names[0]}: {show(figures)}", flush=True)


def show(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
