"""A short fuzz of every door, with a fixed seed. `make fuzz` runs five minutes with a new one."""

import pytest

from tests.fuzz.run import SETTINGS, Fuzz
from tests.support.harness import StartServer

SEED = "holdfast"
REQUESTS = 80


@pytest.mark.parametrize("command", ["daphne", "uvicorn"])
async def test_a_short_fuzz_finds_nothing(start_server: StartServer, command: str) -> None:
    run = Fuzz(start_server(command, **SETTINGS), SEED, requests=REQUESTS)
    run.prepare()
    findings = await run.run()
    assert not findings.problems, "\n".join(findings.problems)
    assert {"http 400", "ws 101"} <= findings.statuses.keys()
