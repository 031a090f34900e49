"""Agents elsewhere: a worker in a process of its own, without Django: `python -m tests.bench.elsewhere URL`."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import uvloop

import tests.bench.agent  # noqa: F401  (registers the agent)
from agents_app.remote import Worker
from tests.bench import machine, rows
from tests.bench.holdfast import Holdfast
from tests.bench.streaming import Figures
from tests.support.harness import ROOT
from tests.support.tokens import token

SETTINGS = {"HOLDFAST_REMOTE_AGENTS": "bench", "HOLDFAST_RUN_AGENTS": "false"}
STOPS_S = 10.0

Open = Callable[[], AbstractContextManager[Holdfast]]


def first_tokens(open_site: Open, asked: int) -> Figures:
    """Measure the time to the first token, where the agent is asked over the network; both are on the server's core."""
    with open_site() as site, working(f"http://127.0.0.1:{site.port}"):
        return uvloop.run(rows.first_tokens(site, asked))


@contextmanager
def working(url: str) -> Iterator[None]:
    with machine.on_server_core():
        worker = subprocess.Popen([sys.executable, "-m", "tests.bench.elsewhere", url], cwd=ROOT)
    try:
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(STOPS_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


if __name__ == "__main__":
    Worker(sys.argv[1], token=token(sub="agent:bench", scope="work", agents=["bench"]), name="bench-worker").serve()
