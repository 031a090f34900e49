"""Chat views: the three addresses of an AI SDK client (PROTOCOL.md §15). Errors are the API's, which it shows.

Losing or aborting a request never stops an agent: useChat aborts when its page is left, too.
"""

from __future__ import annotations

from functools import partial

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sessions_app import conf, process
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.ai_sdk import ResponseReader
from sessions_app.core.errors import HoldfastError
from sessions_app.core.external_ids import EXTERNAL_ID
from sessions_app.database import threads
from sessions_app.fairness.payer import Payer
from sessions_app.http.guards import guard, json_body
from sessions_app.http.own_sessions import own_or_new_session, own_session
from sessions_app.http.throttling import address_of, request_payer
from sessions_app.models import new_id
from sessions_app.process import Process
from sessions_app.telemetry import log_context
from sessions_app.transports.ai_sdk import answers, requests, stream
from sessions_app.transports.ai_sdk.requests import ChatRequest, Signal
from sessions_app.transports.sse import EventStream


async def session_for_chat(identity: Identity, chat: str) -> str:
    """Return the session that a client names as its chat. Raises as `own_session`."""
    session = await threads.run(own_session, identity, chat)
    log_context.work_on(session=session.pk)
    return str(session.pk)


async def session_to_send_to(identity: Identity, chat: ChatRequest, payer: Payer) -> str:
    """Return a chat's session, a new one for its first message. Raises bad_session_id, and what refuses a new one."""
    if not chat.begins:
        return await session_for_chat(identity, chat.chat)
    if not EXTERNAL_ID.match(chat.chat):
        raise HoldfastError("bad_session_id", "a chat's has 1 to 128 characters of A-Z a-z 0-9 _ . : -")
    identity.require("read")
    values = {"agent": chat.agent} if chat.agent else {}
    session, _ = await threads.run(partial(own_or_new_session, identity, chat.chat, payer, **values))
    log_context.work_on(session=session.pk)
    return str(session.pk)


@guard("POST", kind="write")
async def submit(request: HttpRequest, identity: Identity) -> EventStream:
    """`POST /api/chat/`: send a message or decisions, or ask for another answer; stream the answer."""
    chat = requests.read(json_body(request, most=conf.settings.chat_body_bytes))
    server = await process.current()
    payer = request_payer(request, identity)
    server.connections.check_room(payer)
    session = await session_to_send_to(identity, chat, payer)
    sender = Sender(server, identity, session, address_of(request))
    reader = await sender.send(chat)
    if not reader.uid:
        return EventStream(stream.nothing(), stream.HEADERS)
    return _stream(server, identity, session, reader, request)


@guard("GET")
async def resume(request: HttpRequest, identity: Identity, chat: str) -> HttpResponseBase:
    """`GET /api/chat/<id>/stream/`: the whole answer under way, then what follows; 204 if there is none.

    A chat that isn't begun has none: useChat asks as soon as it is on the page.
    """
    server = await process.current()
    server.connections.check_room(request_payer(request, identity))
    try:
        session = await session_for_chat(identity, chat)
    except HoldfastError as problem:
        if problem.code != "not_found":
            raise
        return HttpResponse(status=204)
    uid = await threads.run(answers.active, session)
    if uid is None:
        return HttpResponse(status=204)
    return _stream(server, identity, session, ResponseReader(uid), request)


@guard("POST")
async def stop(request: HttpRequest, identity: Identity, chat: str) -> HttpResponse:
    """`POST /api/chat/<id>/stop/`: stop the agents at work in a chat."""
    server = await process.current()
    session = await session_for_chat(identity, chat)
    try:
        await Sender(server, identity, session, address_of(request)).signal(Signal(f"stop_{new_id()}", "cancel", {}))
    except HoldfastError as problem:
        if problem.code != "nothing_to_stop":  # then it has ended just now
            raise
    return HttpResponse(status=204)


def _stream(
    server: Process, identity: Identity, session: str, reader: ResponseReader, request: HttpRequest
) -> EventStream:
    return EventStream(stream.body(server, identity, session, reader, request=request), stream.HEADERS)


class Sender:
    """Sends what a request asks for as signals."""

    def __init__(self, server: Process, identity: Identity, session: str, address: str) -> None:
        self._server = server
        self._identity = identity
        self._session = session
        self._address = address

    async def send(self, chat: ChatRequest) -> ResponseReader:
        """Send it, and return a reader of the answer that it leads to, as far as its client lacks it."""
        if chat.trigger == requests.REGENERATE:
            return await self._regenerate(chat)
        assert chat.message is not None
        if chat.message["role"] == "assistant":
            return await self._decide(chat)
        return await self._answer_to(requests.message_signal(chat))

    async def signal(self, signal: Signal) -> None:
        """Send a signal. Raises what refuses it."""
        frame = frames.read({"type": "signal", "session": self._session, **signal._asdict()})
        _, problem = await self._server.signal_intake.accept(self._identity, frame, address=self._address)
        if problem is not None:
            raise problem

    async def _answer_to(self, signal: Signal) -> ResponseReader:
        await self.signal(signal)
        return ResponseReader(await threads.run(answers.to_signal, self._session, signal.id))

    async def _regenerate(self, chat: ChatRequest) -> ResponseReader:
        last = chat.message.get("id") if chat.message is not None else None
        prompt = last if isinstance(last, str) else None
        if chat.question and prompt and not await threads.run(answers.stored, self._session, prompt):
            return await self._answer_to(requests.message_signal(chat.question))  # it was lost on its way
        found = await threads.run(answers.to_regenerate, self._session, chat.message_id, prompt)
        if found.under_way:
            return ResponseReader(found.under_way)
        return await self._answer_to(requests.regeneration(found.answer, found.attempt))

    async def _decide(self, chat: ChatRequest) -> ResponseReader:
        assert chat.message is not None
        parts = requests.held_parts(chat.message)
        answer = await threads.run(answers.held, self._session, chat.message.get("id"))
        for signal in requests.decisions(parts, answer):
            await self.signal(signal)
        return ResponseReader(answer.id, parts)
