"""The browser's client runs without a browser: in Node, over a socket or over HTTP alone."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.services import require, require_package
from tests.support.harness import Server, StartServer, guest

TESTS = Path(__file__).parents[1]
PROGRAM = TESTS / "js" / "support" / "headless.mjs"
CHAT = TESTS / "js" / "support" / "chat-in-node.mjs"
DEADLINE_S = 60


@pytest.fixture(scope="module")
def server(start_shared_server: StartServer) -> Server:
    return start_shared_server(HOLDFAST_DEMO_TOKENS_PER_S="500")


@pytest.mark.parametrize("transport", ["websocket", "stream"])
def test_the_client_sends_follows_the_answer_and_exits(server: Server, transport: str) -> None:
    require_package("undici")
    headers = guest(server)
    headers["X-CSRFToken"] = headers["Cookie"].partition("csrftoken=")[2].partition(";")[0]
    session = (
        httpx.post(f"{server.url}/api/sessions/", json={}, headers=headers, timeout=DEADLINE_S)
        .raise_for_status()
        .json()["id"]
    )
    said = {"url": server.url, "session": session, "headers": headers, "transport": transport, "text": "Hello"}
    done = subprocess.run(
        [require("node"), PROGRAM, json.dumps(said)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr[-2000:]
    has = json.loads(done.stdout)
    assert (has["used"], has["states"][0], has["serial"]) == (transport, "connecting", 1)
    assert "disconnected" not in has["states"]
    address = f"{server.url}/api/sessions/{session}/messages/?order=oldest"
    stored = httpx.get(address, headers=headers, timeout=DEADLINE_S).raise_for_status().json()["results"]
    assert [len(stored), stored[0]["parts"][0]["text"]] == [2, "Hello"]
    for message in has["messages"]:
        del message["revision"]
    assert has["messages"] == stored


@pytest.mark.parametrize("transport", ["websocket", "stream"])
def test_the_ai_sdks_chat_ends_with_the_stored_messages(server: Server, transport: str) -> None:
    require_package("@ai-sdk/react")
    headers = guest(server)
    headers["X-CSRFToken"] = headers["Cookie"].partition("csrftoken=")[2].partition(";")[0]
    said = {"url": server.url, "headers": headers, "transport": transport, "text": "Hello"}
    done = subprocess.run([require("node"), CHAT, json.dumps(said)], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr[-2000:]
    has = json.loads(done.stdout)
    assert (has["used"], has["status"], has.get("error")) == (transport, "ready", None)
    address = f"{server.url}/api/sessions/{has['session']}/messages/?order=oldest"
    stored = httpx.get(address, headers=headers, timeout=DEADLINE_S).raise_for_status().json()["results"]
    shown = [{name: message[name] for name in ("id", "role", "parts")} for message in stored]
    assert [{name: message[name] for name in ("id", "role", "parts")} for message in has["messages"]] == shown
    assert has["first"][0]["id"] == stored[0]["id"]
    assert has["first"][1]["id"] != stored[1]["id"]
