"""Hints over real Redis servers that die, hang and lose data: they resume by themselves and delay no one."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
from redis.asyncio import Redis as Client

from project.env import env_redis
from sessions_app.core.attachment import Frame
from sessions_app.delivery import channel_layer
from sessions_app.delivery.channel_layer import Fanout
from tests.services import Redis
from tests.support.deployed_nginx import make_certificate

SESSIONS = [f"session-{number}" for number in range(8)]  # on several shards
WITHIN_S = 30


class HintRecorder:
    """A process's channel layer, and the hints it has received."""

    def __init__(self) -> None:
        self.received: list[Frame] = []
        self.signals = 0
        self.fanout = Fanout(receive=self.received.extend, on_signal=self._signalled)

    def _signalled(self) -> None:
        self.signals += 1


@pytest.fixture
def use(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(*urls: str) -> None:
        monkeypatch.setenv("HOLDFAST_TESTED", ",".join(urls))
        settings.CHANNEL_LAYERS = env_redis("HOLDFAST_TESTED")
        layers = {"FANOUT_LAYERS": list(settings.CHANNEL_LAYERS), "FANOUT_SHARDS": 16, "FANOUT_BACKLOG": 20}
        settings.HOLDFAST = settings.HOLDFAST | layers

    return use


@asynccontextmanager
async def two() -> AsyncIterator[tuple[HintRecorder, HintRecorder]]:
    """Yield the channel layers of two processes; the second joins every session's group."""
    recorders = HintRecorder(), HintRecorder()
    running = [asyncio.create_task(recorder.fanout.run()) for recorder in recorders]
    for session in SESSIONS:
        await recorders[1].fanout.join(session)
    try:
        yield recorders
    finally:
        async with asyncio.timeout(WITHIN_S):
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.01)


def frame(session: str, serial: int = 1) -> Frame:
    return Frame(session, "epoch", serial, serial, "{}", 2)


async def wait_for_hints(one: HintRecorder, other: HintRecorder, sessions: list[str] = SESSIONS) -> None:
    """Publish a hint about each session until the other process has received all of them."""
    other.received.clear()
    async with asyncio.timeout(WITHIN_S):
        while {each.session for each in other.received} != set(sessions):
            one.fanout.publish([frame(session) for session in sessions])
            await asyncio.sleep(0.05)


async def restarted(redis: Redis) -> None:
    redis.stop(signal.SIGKILL)
    await asyncio.to_thread(redis.start)


async def subscribers_killed(redis: Redis) -> None:
    redis.ask("CLIENT KILL TYPE pubsub")


async def everybody_killed(redis: Redis) -> None:
    redis.ask("CLIENT KILL TYPE pubsub")
    redis.ask("CLIENT KILL TYPE normal")


async def flushed(redis: Redis) -> None:
    redis.ask("FLUSHALL")


@pytest.mark.parametrize("fault", [restarted, subscribers_killed, everybody_killed, flushed])
async def test_hints_resume_after_a_fault(use: Any, redis: Redis, fault: Any) -> None:
    use(redis.url)
    async with two() as (one, other):
        await wait_for_hints(one, other)
        await fault(redis)
        await wait_for_hints(one, other)
        one.fanout.announce_signal()
        await until(lambda: other.signals == 1)


async def test_hints_start_once_redis_is_available(use: Any, redis: Redis) -> None:
    redis.end(signal.SIGKILL)
    use(redis.url)
    async with two() as (one, other):
        one.fanout.publish([frame(SESSIONS[0])])
        await until(lambda: one.fanout.lost == 1)
        await asyncio.to_thread(redis.start)
        await wait_for_hints(one, other)


async def test_a_hanging_server_delays_no_one(use: Any, redis: Redis) -> None:
    use(redis.url)
    async with two() as (one, other):
        await wait_for_hints(one, other)
        before = one.fanout.lost
        redis.freeze()
        for serial in range(1000):
            one.fanout.publish([frame(SESSIONS[0], serial)])  # doesn't wait, and isn't kept
        assert one.fanout.lost >= before + 1000 - 20
        await until(lambda: one.fanout.lost == before + 1000)
        await other.fanout.join("a session of another shard")  # nor does a reader that comes now
        redis.thaw()
        await wait_for_hints(one, other, [*SESSIONS, "a session of another shard"])


async def test_a_silently_dead_subscription_is_replaced(
    use: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_layer, "ECHO_S", 0.2)
    use(redis.url)
    async with two() as (one, other):
        await wait_for_hints(one, other)
        [shard] = other.fanout.endpoints[0]._layer._shards
        shard._receive_task.cancel()  # as at an error that channels-redis doesn't expect
        await asyncio.wait({shard._receive_task})
        await wait_for_hints(one, other)


async def test_a_quiet_subscription_is_kept(use: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_layer, "ECHO_S", 0.3)
    use(redis.url)
    async with two() as (one, other):
        await wait_for_hints(one, other)
        mine = other.fanout.endpoints[0]._channel
        sent = published(redis)
        await until(lambda: published(redis) > sent + 2 * (channel_layer.MAX_UNANSWERED + 2))  # two processes' echoes
        assert other.fanout.endpoints[0]._channel == mine


def published(redis: Redis) -> int:
    return int(redis.ask("INFO commandstats").split("cmdstat_publish:calls=")[1].split(",")[0])


@pytest.mark.parametrize(
    "malformed",
    [
        b"\xc1", b"", msgpack.packb(7), msgpack.packb({}), msgpack.packb({"type": "frames", "origin": "x"}),
        msgpack.packb({"type": "frames", "origin": "x", "frames": [["too", "short"]]}),
        msgpack.packb({"type": "frames", "origin": "x", "frames": [[1, 2, "3", "4", 5, "6"]]}),
        msgpack.packb({"type": "signals", "origin": "x"}),
    ],
)  # fmt: skip
async def test_a_malformed_message_is_skipped(use: Any, redis: Redis, malformed: bytes) -> None:
    use(redis.url)
    async with two() as (one, other):
        await wait_for_hints(one, other)
        mine = other.fanout.endpoints[0]._channel
        async with Client.from_url(redis.url) as client:
            for group in [
                channel_layer.SIGNALS,
                *(channel_layer.group_of(channel_layer.shard(session)) for session in SESSIONS),
            ]:
                assert await client.publish(f"asgi__group__{group}", malformed)
        await wait_for_hints(one, other)
        assert other.fanout.endpoints[0]._channel == mine


async def test_a_different_number_of_shards_is_detected(
    use: Any, redis: Redis, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    use(redis.url)
    async with two() as (one, other):
        await wait_for_hints(one, other)
        settings.HOLDFAST = settings.HOLDFAST | {"FANOUT_SHARDS": 7}
        message = one.fanout._message("signals", shards=16)
        one.fanout.endpoints[0].put(channel_layer.SIGNALS, message)
        await until(lambda: other.signals == 1)
        assert "another process has 16 shards, this one 7" in caplog.text


async def test_one_hanging_server_of_two_does_not_delay_the_other(use: Any, redis: Redis) -> None:
    second = Redis()
    second.start()
    try:
        use(redis.url, second.url)
        async with two() as (one, other):
            await wait_for_hints(one, other)
            on_first = [session for session in SESSIONS if channel_layer.shard(session) % 2 == 0]
            assert 0 < len(on_first) < len(SESSIONS)
            second.freeze()
            await wait_for_hints(one, other, on_first)
            second.thaw()
            await wait_for_hints(one, other)
    finally:
        second.end(signal.SIGKILL)


@pytest.fixture
def with_tls(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(make_certificate(tmp_path))
    server.start()
    yield server
    server.end(signal.SIGKILL)


async def test_the_layer_connects_over_tls(use: Any, with_tls: Redis) -> None:
    use(with_tls.url)
    async with two() as (one, other):
        await wait_for_hints(one, other)
