"""HTTP views for sending signals, batches and heartbeats (PROTOCOL.md §2). Responses are the WebSocket's frames.

Plain async Django views, since the REST framework's views occupy a thread while they wait.
"""

from __future__ import annotations

import orjson
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from sessions_app import process
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.http.guards import guard, json_body, json_response, refused
from sessions_app.http.throttling import address_of
from sessions_app.publishing.producers import serial_once_stored


@guard("POST")
async def signal(request: HttpRequest, identity: Identity, session: str) -> HttpResponse:
    """`POST /api/sessions/<id>/signals/`: send a signal; responds with its receipt."""
    frame = frames.read({**json_body(request), "type": "signal", "session": session})
    server = await process.current()
    receipt, problem = await server.signal_intake.accept(identity, frame, address=address_of(request))
    return json_response(receipt.encode(), problem.kind.status if problem else 200)


@guard("POST", kind="publish")
async def begin_run(request: HttpRequest, identity: Identity, session: str) -> HttpResponse:
    """`POST /api/sessions/<id>/runs/`: begin a turn for a back end."""
    asked = json_body(request)
    signal = {"type": "signal", "session": session, "kind": "message"}
    frame = frames.read({**signal, "id": asked.pop("id", None), "payload": asked})
    begun = await (await process.current()).signal_intake.begin(identity, frame)
    return json_response(orjson.dumps(begun._asdict()))


# Publishing


@guard("POST", kind="publish")
async def publish(request: HttpRequest, identity: Identity, session: str) -> HttpResponse:
    """`POST /api/sessions/<id>/publish/`: publish a batch of a remote producer."""
    frame = frames.read({**json_body(request, halves=True), "type": "publish", "session": session})
    server = await process.current()
    submit = server.claimed_batches.submit if frame.run else server.producers.submit
    serial = await serial_once_stored(submit, identity, frame)
    return json_response(frames.published(frame, serial).encode())


@guard("POST", kind="publish")
async def beat(request: HttpRequest, identity: Identity) -> HttpResponse:
    """`POST /api/beat/`: heartbeat of a remote producer."""
    await (await process.current()).producers.beat(identity, frames.read({**json_body(request), "type": "beat"}))
    return HttpResponse(status=204)


# Failed WebSocket handshakes


@csrf_exempt
async def upgrade_required(request: HttpRequest) -> HttpResponse:
    """Refuse a handshake whose `Upgrade` header got lost on the way."""
    return refused(HoldfastError("upgrade_required"), {"Upgrade": "websocket"})
