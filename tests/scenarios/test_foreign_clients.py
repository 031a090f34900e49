"""Clients that people already have, unmodified: one conversation over each wire, with a cut in each of its streams.

`make compat` plays twenty over each, at both servers.
"""

from tests.compat.run import ENVIRONMENT, WIRES, run
from tests.compat.scenario import STREAMS
from tests.support.harness import StartServer

SEED = "one"
# Every stream of these conversations is longer, in bytes.
LENGTHS = dict.fromkeys(STREAMS, 1400)


async def test_each_wires_client_ends_every_step_with_what_is_stored(start_server: StartServer) -> None:
    server = start_server("uvicorn", **ENVIRONMENT)
    result = await run(server, WIRES, SEED, 1, lengths=LENGTHS)
    assert result.failures == []
    assert result.figures.cuts >= 3 * len(WIRES)
