"""`make fuzz`: fuzz both servers at once, for five minutes, with a printed seed; exit 1 if anything is found.

python -m tests.fuzz [--seconds 300] [--seed SEED] [--servers uvicorn,daphne]
"""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
from pathlib import Path

import django

from tests.support.harness import Server, environment_of, manage, starting

PRODUCTION = {"HOLDFAST_DEBUG": "false", "HOLDFAST_HOSTS": "127.0.0.1", "HOLDFAST_SSL_REDIRECT": "false"}


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    options = argparse.ArgumentParser(prog="tests.fuzz")
    options.add_argument("--seconds", type=float, default=300)
    options.add_argument("--seed", default=secrets.token_hex(4))
    options.add_argument("--servers", default="uvicorn,daphne")
    chosen = options.parse_args()
    print(f"seed {chosen.seed}: {chosen.seconds:.0f} s of {chosen.servers}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        return asyncio.run(fuzz_all(Path(place), chosen.servers.split(","), chosen.seed, chosen.seconds))


async def fuzz_all(place: Path, commands: list[str], seed: str, seconds: float) -> int:
    return max(await asyncio.gather(*(fuzz(place / command, command, seed, seconds) for command in commands)))


async def fuzz(place: Path, command: str, seed: str, seconds: float) -> int:
    """Fuzz one server; print its findings, and return an exit code."""
    from tests.fuzz.run import SETTINGS, Fuzz  # after Django's set-up

    place.mkdir()
    migrated = place / "migrated.sqlite3"
    environment = environment_of(f"sqlite:///{migrated}", {})
    await asyncio.to_thread(manage, "migrate", "--verbosity", "0", environment=environment)
    production = PRODUCTION | {"HOLDFAST_STATIC_ROOT": str(place / "static"), "TMPDIR": str(place)}
    await asyncio.to_thread(manage, "collectstatic", "--no-input", "-v0", environment=environment | production)
    with starting(place, migrated) as start:
        server: Server = await asyncio.to_thread(lambda: start(command, **production, **SETTINGS))
        run = Fuzz(server, seed, seconds=seconds)
        await asyncio.to_thread(run.prepare)
        findings = await run.run()
        server.log_path.unlink()  # `starting` prints logs
    counts = ", ".join(f"{what}: {count}" for what, count in sorted(findings.statuses.items()))
    print(f"{command}: {len(findings.problems)} problems. {counts}")
    for problem in findings.problems:
        print(f"--- {command}: {problem}")
    return 1 if findings.problems else 0


if __name__ == "__main__":
    sys.exit(main())
