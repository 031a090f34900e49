"""Agents elsewhere: a worker in a process of its own, without Django, in Python or in Node (elsewhere.mjs).

`python -m tests.bench.elsewhere URL` is the one in Python.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import uvloop

import tests.bench.agent  # noqa: F401  (registers the agent)
from agents_app.remote import Worker
from tests import services
from tests.bench import machine, rows
from tests.bench.holdfast import Holdfast
from tests.bench.streaming import Figures
from tests.support.harness import ROOT
from tests.support.tokens import token

SETTINGS = {
    "HOLDFAST_REMOTE_AGENTS": "bench",
    "HOLDFAST_RUN_AGENTS": "false",
    "HOLDFAST_SSL_REDIRECT": "false",  # for workers over HTTP
}
STOPS_S = 10.0

Open = Callable[[], AbstractContextManager[Holdfast]]


def first_tokens(open_site: Open, asked: int, *, language: str = "python") -> Figures:
    """Measure the time to the first token, where the agent is asked over the network; both are on the server's core."""
    with open_site() as site, working(command(language, f"http://127.0.0.1:{site.port}")):
        return uvloop.run(rows.first_tokens(site, asked))


def command(language: str, url: str) -> list[str]:
    """Return the command of a worker in `python` or `node`."""
    if language == "python":
        return [sys.executable, "-m", "tests.bench.elsewhere", url]
    return [services.require("node"), str(ROOT / "tests" / "bench" / "elsewhere.mjs"), url, work_token()]


def work_token() -> str:
    return token(sub="agent:bench", scope="work", agents=["bench"])


@contextmanager
def working(command: list[str]) -> Iterator[None]:
    with machine.on_server_core():
        worker = subprocess.Popen(command, cwd=ROOT)
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
    Worker(sys.argv[1], token=work_token(), name="bench-worker").serve()
