"""A small ASGI application, to test Holdfast's server alone; ECHO_START and ECHO_DRAIN_S configure its hooks."""

import asyncio
import os
from typing import Any

from sessions_app.servers import daphne_server, lifecycle

woken = asyncio.Event()
drained = asyncio.Event()


def say(text: str) -> None:
    print(f"echo: {text}", flush=True)


async def start() -> None:
    if os.environ.get("ECHO_START") == "fails":
        raise RuntimeError("no start today")
    say("started")


async def drain(deadline: float) -> None:
    say("draining")
    try:
        await asyncio.wait_for(drained.wait(), float(os.environ.get("ECHO_DRAIN_S", "0")))
    except TimeoutError:
        pass
    except asyncio.CancelledError:
        say("drain cancelled")


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifecycle.lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await answer(scope, receive, send)
    else:
        await echo(scope["path"], receive, send)


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """`/wake` wakes the sleeping sockets, `/headers` echoes headers, `/forever` never ends, `/breaks` fails midway.

    No response may be cached.
    """
    path = scope["path"]
    await receive()
    if path == "/wake":
        woken.set()
    body = b"".join(b"%s: %s\n" % header for header in scope["headers"]) if path == "/headers" else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": body, "more_body": path in ("/forever", "/breaks")})
    if path == "/breaks":
        raise RuntimeError("no more today")
    if path == "/forever":
        await asyncio.Event().wait()


async def echo(path: str, receive: Any, send: Any) -> None:
    """Echo each message; "drained" ends the drain; `/ws/asleep` receives nothing before `/wake` was fetched."""
    await receive()
    await send({"type": "websocket.accept"})
    if path == "/ws/asleep":
        await woken.wait()
    while (message := await receive())["type"] == "websocket.receive":
        if message["text"] == "drained":
            drained.set()
        await send({"type": "websocket.send", "text": message["text"]})
    say(f"disconnected {message['code']}")


daphne_server.install()
lifecycle.on_start(start)
lifecycle.on_drain(drain)
