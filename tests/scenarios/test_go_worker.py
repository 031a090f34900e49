"""The example of a worker in Go, built and run as it stands."""

import os
import subprocess
import time
from pathlib import Path

from tests import services
from tests.scenarios.test_remote import in_thread
from tests.scenarios.test_workers import SETTINGS, asking, work_token
from tests.support.harness import ROOT, StartServer
from tests.support.person import text_of

EXAMPLE = ROOT / "docs" / "examples" / "go"


async def test_the_example_answers_is_stopped_and_survives_a_restart(start_server: StartServer, tmp_path: Path) -> None:
    go = services.require("go")
    program = tmp_path / "worker"
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    subprocess.run([go, "vet", "./..."], cwd=EXAMPLE, env=environment, check=True)
    subprocess.run([go, "build", "-o", program, "."], cwd=EXAMPLE, env=environment, check=True)
    site = start_server(**SETTINGS)
    names = {"HOLDFAST_URL": site.url, "HOLDFAST_TOKEN": work_token(), "AGENT": "far"}
    worker = subprocess.Popen([program], env=names | {"WORKER_NAME": f"go-{time.time_ns()}"})
    words = " ".join(f"{number}é" for number in range(60))
    try:
        async with asking(site) as (reader, session):
            await reader.say(session, words)
            await reader.wait_until(lambda: "5é" in reader.sessions[session].text)
            await in_thread(site.kill9)
            await in_thread(site.start)
            answer = await reader.wait_for_end(session)
            assert (answer.status, text_of(answer)) == ("complete", words)
        async with asking(site) as (reader, session):
            await reader.say(session, words)
            await reader.wait_until(lambda: "5é" in reader.sessions[session].text)
            await reader.signal(session, "cancel", {})
            assert (await reader.wait_for_end(session)).status == "cancelled"
        assert worker.poll() is None
    finally:
        worker.kill()
        worker.wait()
