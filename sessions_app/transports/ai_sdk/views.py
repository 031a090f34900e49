"""Chat views: the three addresses of an AI SDK client (PROTOCOL.md §15). Errors are the API's, which it shows."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sessions_app import conf, process
from sessions_app.auth.identity import Identity
from sessions_app.http.guards import guard, json_body
from sessions_app.http.throttling import address_of, request_payer
from sessions_app.transports.ai_sdk import chat, stream
from sessions_app.transports.sse import EventStream


@guard("POST", kind="write")
async def submit(request: HttpRequest, identity: Identity) -> EventStream:
    """`POST /api/chat/`: send a message or decisions, or ask for another answer; stream the answer."""
    body = json_body(request, most=conf.settings.chat_body_bytes)
    server = await process.current()
    server.connections.check_room(request_payer(request, identity))
    answer = await chat.submit(server, identity, body, address=address_of(request))
    if not answer.reader.uid:
        return EventStream(stream.nothing(), stream.HEADERS)
    return EventStream(stream.body(server, identity, answer, request=request), stream.HEADERS)


@guard("GET")
async def resume(request: HttpRequest, identity: Identity, chat_id: str) -> HttpResponseBase:
    """`GET /api/chat/<id>/stream/`: the whole answer under way, then what follows; 204 if there is none.

    useChat asks as soon as it is on the page.
    """
    server = await process.current()
    server.connections.check_room(request_payer(request, identity))
    answer = await chat.under_way(identity, chat_id)
    if answer is None:
        return HttpResponse(status=204)
    return EventStream(stream.body(server, identity, answer, request=request), stream.HEADERS)


@guard("POST")
async def stop(request: HttpRequest, identity: Identity, chat_id: str) -> HttpResponse:
    """`POST /api/chat/<id>/stop/`: stop the agents at work in a chat."""
    server = await process.current()
    await chat.stop(server, identity, chat_id, address=address_of(request))
    return HttpResponse(status=204)
