"""Arrivals: connections and attaches a second, of readers with a signed token each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tests.bench.holdfast import Client, Holdfast
from tests.bench.site import AT_ONCE, Reader, Site, gather
from tests.bench.streaming import Figures, Usage

WARM = 100  # readers before: the first ones pay for what the process loads once
SETTLE_S = 1.0

T = TypeVar("T")
U = TypeVar("U")


async def connecting(site: Site[Any], people: int) -> Figures:
    """Measure how fast people come, and what each costs; AT_ONCE of them at a time.

    For Holdfast: with tokens that it sees for the first time, then with those that it has seen, and the attaches to a
    session each that follow. Peers follow their session within the connection.
    """
    numbers = range(WARM, WARM + people)
    if not isinstance(site, Holdfast):
        await _close([await site.following(number) for number in range(WARM)])
        come, figures = await _timed(site, numbers, site.following, "connect")
        await _close(come)
        return figures
    await asyncio.get_running_loop().run_in_executor(None, site.own_by_token)
    tokens = [site.token(number) for number in range(WARM + people)]

    async def enter(number: int) -> Client:
        return await site.enter(number, tokens[number])

    await _warm(enter)
    opened, figures = await _timed(site, numbers, enter, "connect")
    _, attached = await _timed(site, opened, Client.attach, "attach")
    await _close(opened)
    opened, again = await _timed(site, numbers, enter, "again")
    await _close(opened)
    return figures | attached | again


async def _warm(enter: Callable[[int], Awaitable[Client]]) -> None:
    readers = [await enter(number) for number in range(WARM)]
    for reader in readers:
        await reader.attach()
    await _close(readers)


async def _timed(
    site: Site[Any], people: Sequence[T], come: Callable[[T], Awaitable[U]], name: str
) -> tuple[list[U], Figures]:
    """Have people come, AT_ONCE at a time; return what they get, how many came a second, and each one's CPU in ms."""
    usage, waiting, done = Usage(site), iter(people), []

    async def one_after_the_other() -> None:
        for person in waiting:
            done.append(await come(person))

    await gather([one_after_the_other() for _ in range(AT_ONCE)])
    used, count = usage.end(), len(people)
    return done, {
        f"{name}_rate": count / (usage.ended - usage.begun),
        f"{name}_cpu": used["cpu"] / count * 1000,
        f"{name}_load": used["load"] * 100,
    }


async def _close(readers: Sequence[Reader]) -> None:
    """Close connections, and let the server get over it."""
    for reader in readers:
        reader.close()
    await asyncio.sleep(SETTLE_S)
