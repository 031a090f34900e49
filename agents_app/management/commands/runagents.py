"""`manage.py runagents`: a worker process that runs agents and serves no clients."""

from __future__ import annotations

import asyncio
import logging
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.core.management.base import BaseCommand, CommandError

from agents_app.local.runner import Runner
from sessions_app import conf
from sessions_app.core.errors import HoldfastError
from sessions_app.process import Process, checkpoint
from sessions_app.servers.embedded_uvicorn import listen, serving
from sessions_app.servers.garbage_collection import tune_garbage_collection
from sessions_app.servers.stop_signals import told_to_stop
from sessions_app.transports import probes

logger = logging.getLogger(__name__)

LONGEST_DRAIN_S = 86_400

Address = tuple[str, int]


class Command(BaseCommand):
    help = (
        "Run agents in this process, until SIGTERM or Ctrl-C: then it begins no other, lets those at work finish for "
        "--drain seconds, and interrupts the rest. A second signal stops it at once. Any number of such processes may "
        "share the work; with HOLDFAST_RUN_AGENTS=false they do all of it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--concurrency",
            type=int,
            metavar="N",
            default=conf.settings.runs_per_process,
            help="agents at work at once (default HOLDFAST_RUNS_PER_PROCESS, %(default)s)",
        )
        parser.add_argument(
            "--drain",
            type=float,
            metavar="SECONDS",
            default=conf.settings.worker_drain_s,
            help="for agents to finish when it stops (default HOLDFAST_WORKER_DRAIN_S, %(default)s)",
        )
        parser.add_argument(
            "--metrics",
            type=address,
            metavar="[HOST:]PORT",
            help="where to answer /healthz, /readyz and /metrics; without a host on this machine alone (127.0.0.1)",
        )

    def handle(self, *, concurrency: int, drain: float, metrics: Address | None, **options: object) -> None:
        if concurrency < 1:
            raise CommandError(f"--concurrency {concurrency}: use 1 or more.")
        if not 0 <= drain <= LONGEST_DRAIN_S:
            raise CommandError(f"--drain {drain:g}: use 0 to {LONGEST_DRAIN_S} seconds.")
        try:
            asyncio.run(run_agents(concurrency, drain, metrics))
        except HoldfastError as problem:
            raise CommandError(problem.message) from None


def address(text: str) -> Address:
    """Read `[HOST:]PORT`."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise ArgumentTypeError(f"{text}: use a port, or host:port")
    return host.strip("[]") or "127.0.0.1", int(port)


async def run_agents(most: int, drain_s: float, metrics: Address | None) -> None:
    """Run agents until a signal. `metrics`: where to answer probes."""
    told = told_to_stop()
    process = Process()
    async with answering_probes(process, metrics):
        await process.start([lambda here: Runner(here, most=most, drain_s=drain_s).run])
        tune_garbage_collection()
        logger.info("ready to run %d agents at once, as worker %s", most, process.lease.worker)
        await told.wait()
        await process.stop()
        await checkpoint()
    logger.info("worker %s has stopped", process.lease.worker)


@asynccontextmanager
async def answering_probes(process: Process, where: Address | None) -> AsyncIterator[None]:
    """Answer probes, also while the process starts and stops."""
    if where is None:
        yield
        return
    try:
        listener = listen(*where)
    except OSError as error:
        raise CommandError(f"--metrics {where[0]}:{where[1]}: {error.strerror or error}") from None
    async with serving(probes.application(lambda: process), listener):
        yield
