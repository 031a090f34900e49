"""`make compat`: vendors' chat clients, unmodified, through a network that cuts; exit 1 if one loses anything.

python -m tests.compat [--seed SEED] [--cuts 20] [--servers uvicorn,runserver] [--wire NAME]
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.compat.run import ENVIRONMENT, WIRES, Result, run
from tests.compat.scenario import Figures
from tests.support.harness import environment_of, manage, starting


def main() -> int:
    options = argparse.ArgumentParser(prog="tests.compat")
    options.add_argument("--seed", default=secrets.token_hex(4))
    options.add_argument("--cuts", type=int, default=20, help="cut points in each wire's first answers, at each server")
    options.add_argument("--servers", default="uvicorn,runserver")
    options.add_argument("--wire", action="append", choices=WIRES, help="may be repeated; all if not given")
    chosen = options.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    wires = tuple(chosen.wire or WIRES)
    begun, total, failures = time.monotonic(), Figures(), 0
    with tempfile.TemporaryDirectory() as place:
        for command in chosen.servers.split(","):
            result = run_on(Path(place) / command, command, wires, chosen.seed, chosen.cuts)
            for failure in result.failures:
                print(f"--- {command}: {failure.wire}, seed {failure.seed}: {failure.problem}")
            total.add(result.figures)
            failures += len(result.failures)
    print(
        f"{len(wires)} wires, {total.cuts} cut points ({total.missed} too late), {total.steps} steps,"
        f" {total.comparisons} comparisons, {total.loads} histories loaded, {failures} differences,"
        f" seed {chosen.seed}, {time.monotonic() - begun:.0f} s"
    )
    return 1 if failures else 0


def run_on(place: Path, command: str, wires: tuple[str, ...], seed: str, cuts: int) -> Result:
    place.mkdir()
    migrated = place / "migrated.sqlite3"
    manage("migrate", "--verbosity", "0", environment=environment_of(f"sqlite:///{migrated}", {}))
    with starting(place, migrated) as start:
        server = start(command, **ENVIRONMENT)
        result = asyncio.run(run(server, wires, seed, cuts))
        if not result.failures:
            server.log_path.unlink()  # `starting` prints logs
    return result


if __name__ == "__main__":
    sys.exit(main())
