"""Sending over HTTP, PROTOCOL.md §2: signals, batches and beats, each answered with what a socket is told.

Django's own async views, since the REST framework's hold a thread for as long as they wait.
"""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from sessions_app import process
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.http.guards import guard, json_body, json_response, publishes, refused


@guard("POST")
async def signal(request: HttpRequest, who: Identity, session: str) -> HttpResponse:
    """`POST /api/sessions/<id>/signals/`: send into a session; the answer is the receipt."""
    frame = frames.read({**json_body(request), "type": "signal", "session": session})
    here = await process.current()
    receipt, problem = await here.signal_intake.accept(who, frame, now=asyncio.get_running_loop().time())
    return json_response(receipt.encode(), problem.kind.status if problem else 200)


# Publishing


@guard("POST", budget=publishes)
async def publish(request: HttpRequest, who: Identity, session: str) -> HttpResponse:
    """`POST /api/sessions/<id>/publish/`: a batch of a producer elsewhere; the answer is what a socket is told."""
    frame = frames.read({**json_body(request), "type": "publish", "session": session})
    serial = await (await process.current()).producers.publish(who, frame)
    return json_response(frames.published(frame, serial).encode())


@guard("POST", budget=publishes)
async def beat(request: HttpRequest, who: Identity) -> HttpResponse:
    """`POST /api/beat/`: a producer elsewhere lives."""
    await (await process.current()).producers.beat(who, frames.read({**json_body(request), "type": "beat"}))
    return HttpResponse(status=204)


# A socket that isn't one


@csrf_exempt
async def upgrade_required(request: HttpRequest) -> HttpResponse:
    """A handshake that lost its `Upgrade` on the way."""
    return refused(HoldfastError("upgrade_required"), {"Upgrade": "websocket"})
