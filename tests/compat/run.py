"""Runs: conversations over every wire, several at once, on one server."""

import asyncio
from contextlib import ExitStack
from typing import NamedTuple

from tests.compat.clients import Clients
from tests.compat.scenario import Conversation, Figures, Lane
from tests.support.harness import Server
from tests.support.tcp_proxy import TcpProxy

WIRES = (
    "ai-sdk-http",
    "ai-sdk-websocket",
    "ai-sdk-holdfast",
    "assistant-ui-ai-sdk",
    "assistant-ui-holdfast",
)

# One person says in a minute what takes people hours.
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.compat.settings",
    "HOLDFAST_AGENTS": "compat",
    "HOLDFAST_DEFAULT_AGENT": "compat",
    "HOLDFAST_SIGNALS_PER_MINUTE": "100000",
    "HOLDFAST_LINKS_PER_MINUTE": "100000",
    "HOLDFAST_READS_PER_MINUTE": "1000000",
    "HOLDFAST_WRITES_PER_MINUTE": "100000",
    "HOLDFAST_SESSIONS_PER_HOUR": "100000",
    "HOLDFAST_ANSWER_BYTES_PER_MINUTE": "1000000000",
}


class Failure(NamedTuple):
    """A conversation in which a client didn't come to have what is stored."""

    wire: str
    seed: str
    problem: str


class Result(NamedTuple):
    figures: Figures
    failures: list[Failure]


Lengths = dict[str, int]  # of each step's stream, in bytes


async def run(
    server: Server,
    wires: tuple[str, ...],
    seed: str,
    conversations: int,
    *,
    lengths: Lengths | None = None,
    lanes: int = 3,
) -> Result:
    """Play so many conversations over each wire, each with a cut in every stream.

    Without `lengths`, another one before, without cuts, says how long the streams are.
    """
    result = Result(Figures(), [])
    with ExitStack() as stack:
        proxies = [stack.enter_context(TcpProxy(server.port)) for _ in range(lanes)]
        async with Clients() as clients:
            free: asyncio.Queue[Lane] = asyncio.Queue()
            for proxy in proxies:
                free.put_nowait(Lane(server, clients, proxy))
            await asyncio.gather(*(_wire(free, wire, seed, conversations, lengths, result) for wire in wires))
    return result


async def _wire(
    free: asyncio.Queue[Lane], wire: str, seed: str, conversations: int, lengths: Lengths | None, result: Result
) -> None:
    if lengths is None:
        lengths = (await _converse(free, wire, f"{seed} whole", {}, result)).bytes
    seeds = [f"{seed} {number}" for number in range(conversations)]
    await asyncio.gather(*(_converse(free, wire, each, lengths, result) for each in seeds))


async def _converse(free: asyncio.Queue[Lane], wire: str, seed: str, lengths: Lengths, result: Result) -> Figures:
    lane = await free.get()
    conversation = Conversation(lane, wire, seed, lengths)
    try:
        await conversation.run()
    except Exception as problem:  # whatever it is, the others go on
        result.failures.append(Failure(wire, seed, str(problem) or repr(problem)))
    finally:
        free.put_nowait(lane)
    result.figures.add(conversation.figures)
    return conversation.figures
