"""A cluster as processes: web servers behind nginx, workers, PostgreSQL and Redis, and the faults of each.

Every process reaches the two stores over links of its own, which a test can silence: a partition of one process alone.
"""

import asyncio
import signal
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from tests.services import Postgres, Redis
from tests.support.harness import Server, StartServer, environment_of, manage
from tests.support.history_checker import Recorder
from tests.support.nginx import Nginx
from tests.support.tcp_proxy import TcpProxy

LEASE_S = 3
WEBS, WORKERS = ("uvicorn", "daphne"), ("runagents", "runagents")
AWAY_S = 1.2 * LEASE_S, 1.8 * LEASE_S  # longer than a lease
TRIES = 5  # to start a process, whose stores may be away just then
# How often each fault is chosen.
FAULTS = {
    "kill": 6, "freeze": 3, "cut off from PostgreSQL": 4, "cut off from Redis": 1,
    "restart PostgreSQL": 1, "crash PostgreSQL": 2, "cut PostgreSQL's connections": 2,
    "kill Redis": 1, "freeze Redis": 1, "flush Redis": 1, "end Redis' subscriptions": 1,
    "reload nginx": 1, "kill nginx": 1,
}  # fmt: skip


Work = Callable[[], Awaitable[None]]


class Member:
    """A process, and its links to the stores."""

    def __init__(self, name: str, postgres: Postgres, redis: Redis) -> None:
        self.name = name
        self.to_postgres = TcpProxy(postgres.port)
        self.to_redis = TcpProxy(redis.port)
        self.server: Server

    def start(self, command: str, start: StartServer, postgres: Postgres, settings: dict[str, str]) -> None:
        self.server = start(
            command,
            database=postgres.url_at(self.to_postgres.port),
            **settings | {"HOLDFAST_REDIS": f"redis://127.0.0.1:{self.to_redis.port}/0"},
        )


class Cluster:
    """`async with Cluster(start_server, random, recorder, settings) as cluster:` all run; `url` is nginx's."""

    def __init__(self, start_server: StartServer, random: Random, recorder: Recorder, settings: dict[str, str]) -> None:
        self._start_server = start_server
        self._random = random
        self._recorder = recorder
        self._settings = settings | {"HOLDFAST_LEASE_MS": str(LEASE_S * 1000), "HOLDFAST_RUN_AGENTS": "false"}
        self._stack = ExitStack()
        self._busy: set[str] = set()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._start)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for member in self.members:
            await asyncio.to_thread(member.server.end)
        await asyncio.to_thread(self._stack.close)

    def _start(self) -> None:
        with ExitStack() as stack:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-postgres-"))
            self.postgres = Postgres(Path(place), durable=True)
            self.redis = Redis()
            stack.callback(self.postgres.end, Postgres.CRASH)
            stack.callback(self.redis.end, signal.SIGKILL)
            self.postgres.start()
            self.redis.start()
            manage("migrate", "--verbosity", "0", environment=environment_of(self.postgres.url, {}))
            self.members = []
            for number, command in enumerate((*WEBS, *WORKERS), 1):
                member = Member(f"{command}-{number}", self.postgres, self.redis)
                stack.enter_context(member.to_postgres)
                stack.enter_context(member.to_redis)
                self.members.append(member)
            with ThreadPoolExecutor() as threads:
                starting = [
                    threads.submit(member.start, command, self._start_server, self.postgres, self._settings)
                    for member, command in zip(self.members, (*WEBS, *WORKERS), strict=True)
                ]
            for started in starting:
                started.result()
            self.webs = [member.server for member in self.members[: len(WEBS)]]
            self.nginx = stack.enter_context(Nginx("alb", *(web.port for web in self.webs)))
            self._stack = stack.pop_all()

    @property
    def url(self) -> str:
        return self.nginx.url

    def check_alive(self) -> None:
        """Check that no process has ended by itself."""
        for member in self.members:
            assert member.server.process and member.server.process.poll() is None, f"{member.name} ended by itself"

    # Faults. Each is over when it returns, and no two befall the same part at once.

    async def fail(self, fault: str) -> None:
        """Do one of FAULTS, unless another befalls its target just now."""
        of_members = {
            "kill": self._kill, "freeze": self._freeze,
            "cut off from PostgreSQL": lambda member: self._silence(member.to_postgres),
            "cut off from Redis": lambda member: self._silence(member.to_redis),
        }  # fmt: skip
        of_others: dict[str, tuple[str, Work]] = {
            "restart PostgreSQL": ("PostgreSQL", lambda: self._restart_postgres(Postgres.FAST)),
            "crash PostgreSQL": ("PostgreSQL", lambda: self._restart_postgres(Postgres.CRASH)),
            "cut PostgreSQL's connections": ("PostgreSQL", partial(asyncio.to_thread, self.postgres.cut)),
            "kill Redis": ("Redis", self._kill_redis),
            "freeze Redis": ("Redis", self._freeze_redis),
            "flush Redis": ("Redis", partial(asyncio.to_thread, self.redis.ask, "FLUSHALL")),
            "end Redis' subscriptions": (
                "Redis",
                partial(asyncio.to_thread, self.redis.ask, "CLIENT KILL TYPE pubsub"),
            ),
            "reload nginx": ("nginx", partial(asyncio.to_thread, self.nginx.reload)),
            "kill nginx": ("nginx", self._kill_nginx),
        }
        if fault in of_members:
            member = self._random.choice(self.members)
            target, work = member.name, partial(of_members[fault], member)
        else:
            target, work = of_others[fault]
        if target not in self._busy:
            await self._do(fault, target, work)

    async def _do(self, fault: str, target: str, work: Work) -> None:
        self._busy.add(target)
        self._recorder.note("fault", fault=fault, target=target)
        try:
            await work()
        finally:
            self._busy.discard(target)

    async def _kill(self, member: Member) -> None:
        member.server.kill9()
        await asyncio.sleep(self._random.uniform(0, 1.5))
        for tried in range(1, TRIES + 1):
            try:
                await asyncio.to_thread(member.server.start)
                return
            except AssertionError:  # it ended, as PostgreSQL was away: a service manager would start it again
                if tried == TRIES:
                    raise
                await asyncio.sleep(0.5)

    async def _freeze(self, member: Member) -> None:
        member.server.freeze()
        await asyncio.sleep(self._random.uniform(*AWAY_S))
        member.server.thaw()

    async def _silence(self, link: TcpProxy) -> None:
        """Hold all traffic back without a refusal; then deliver it late, or reset the connections."""
        link.freeze()
        await asyncio.sleep(self._random.uniform(*AWAY_S))
        if self._random.random() < 0.5:
            await asyncio.to_thread(link.cut)
        link.thaw()

    async def _restart_postgres(self, how: signal.Signals) -> None:
        await asyncio.to_thread(self.postgres.stop, how)
        await asyncio.sleep(self._random.uniform(0, 1.5))
        await asyncio.to_thread(self.postgres.start)

    async def _kill_redis(self) -> None:
        await asyncio.to_thread(self.redis.stop, signal.SIGKILL)
        await asyncio.sleep(self._random.uniform(0, 1.5))
        await asyncio.to_thread(self.redis.start)

    async def _freeze_redis(self) -> None:
        self.redis.freeze()
        await asyncio.sleep(self._random.uniform(*AWAY_S))
        self.redis.thaw()

    async def _kill_nginx(self) -> None:
        await asyncio.to_thread(self.nginx.kill9)
        await asyncio.to_thread(self.nginx.start)
