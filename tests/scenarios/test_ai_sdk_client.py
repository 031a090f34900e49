"""The vendor's AI SDK client, unmodified, against a real server: what it holds is what is stored."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services import require, require_package
from tests.support.harness import StartServer, guest

TESTS = Path(__file__).parents[1]
PROGRAM = TESTS / "js" / "support" / "ai-sdk-chat.mjs"
DEADLINE_S = 100


CUT = {"http": [], "websocket": ["TypeError: WebSocket chat network connection closed (code 1000)."]}


@pytest.mark.parametrize("wire", CUT)
@pytest.mark.parametrize("command", ["runserver", "uvicorn"])
def test_an_unmodified_chat_ends_with_what_is_stored(start_server: StartServer, command: str, wire: str) -> None:
    require_package("ai")
    server = start_server(command, HOLDFAST_DEMO_TOKENS_PER_S="1000")
    headers = guest(server)
    headers["X-CSRFToken"] = headers["Cookie"].partition("csrftoken=")[2].partition(";")[0]
    chat = "aB3dE6gH9jK2mN5p"  # as useChat makes its ids
    said = {"wire": wire, "url": server.url, "chat": chat, "headers": headers, "prompt": "Research the tides"}
    done = subprocess.run(
        [require("node"), PROGRAM, json.dumps(said)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr[-2000:]
    has = json.loads(done.stdout)
    assert (has["waiting"], has["idle"], has["stop"], has["errors"]) == ("ready", "ready", 204, CUT[wire])
    with httpx.Client(base_url=f"{server.url}/api", headers=headers, timeout=DEADLINE_S) as client:
        [session] = client.get(f"/sessions/?external_id={chat}").raise_for_status().json()["results"]
        history = client.get(f"/sessions/{session['id']}/messages/?order=oldest&replaced=true")
    stored = history.raise_for_status().json()["results"]
    question, first, again, hello, stopped = stored
    assert [has["begun"]["id"], has["regenerated"]] == [first["id"], again["id"]]
    assert [*map(shown, has["approved"])] == [*map(shown, [question, first])]
    assert [*map(shown, has["messages"])] == [*map(shown, [question, again, hello, stopped])]
    assert [message["status"] for message in stored[1:]] == ["complete", "complete", "complete", "cancelled"]


def shown(message: dict[str, Any]) -> dict[str, Any]:
    """What both have of a message. Who has decided, the client that did isn't told: it sets its own state."""
    parts = [
        {name: value for name, value in part.items() if value is not None and name != "callProviderMetadata"}
        for part in message["parts"]
    ]
    return {"id": message["id"], "role": message["role"], "parts": parts, "metadata": message.get("metadata")}
