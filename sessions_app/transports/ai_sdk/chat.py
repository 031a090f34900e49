"""Chats of AI SDK clients, on any wire: what a request asks of a session, and its answer frame by frame.

Losing or aborting a request never stops an agent: useChat aborts when its page is left, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sessions_app.auth.addresses import page_of
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.ai_sdk import ResponseReader
from sessions_app.core.errors import HoldfastError
from sessions_app.core.external_ids import EXTERNAL_ID
from sessions_app.core.wire_types import Chunk, FollowedFrame, JsonObject
from sessions_app.database import threads
from sessions_app.delivery.connection import Connection
from sessions_app.fairness.payer import payer_of
from sessions_app.http.errors import Refusal
from sessions_app.http.own_sessions import own_or_new_session, own_session
from sessions_app.models import new_id
from sessions_app.process import Process
from sessions_app.telemetry import log_context
from sessions_app.transports.ai_sdk import answers, requests
from sessions_app.transports.ai_sdk.requests import ChatRequest, Signal
from sessions_app.transports.attach_requests import attach_frame

# Ends of a connection after which its client is to come back: for useChat a lost network, an error it wouldn't be.
COMES_BACK = ("slow_reader", "going_away")

Encode = Callable[[list[Chunk]], list[str]]  # chunks to texts of one wire


class Answer(NamedTuple):
    """A response to follow: its session, and the reader of it, whose `uid` is empty where no agent answers."""

    session: str
    reader: ResponseReader

    async def attach(self, connection: Connection) -> None:
        """Follow the session with a client's connection, which gets its frames from now on. Raises what refuses it."""
        await connection.attach(attach_frame({"session": self.session, "rewind": 0}))


async def submit(server: Process, identity: Identity, body: JsonObject, *, address: str) -> Answer:
    """Send what a body asks for, and return the answer that it leads to, as far as its client lacks it."""
    chat = requests.read(body)
    session = await session_to_send_to(identity, chat, address)
    return Answer(session, await Sender(server, identity, session, address).send(chat))


async def under_way(identity: Identity, chat: str) -> Answer | None:
    """Return the answer under way in a chat, whole. None if there is none: a chat may not have begun yet."""
    try:
        session = await session_for_chat(identity, chat)
    except HoldfastError as problem:
        if problem.code != "not_found":
            raise
        return None
    uid = await threads.run(answers.active, session)
    return None if uid is None else Answer(session, ResponseReader(uid))


async def stop(server: Process, identity: Identity, chat: str, *, address: str) -> None:
    """Stop the agents at work in a chat."""
    session = await session_for_chat(identity, chat)
    try:
        await Sender(server, identity, session, address).signal(Signal(f"stop_{new_id()}", "cancel", {}))
    except HoldfastError as problem:
        if problem.code != "nothing_to_stop":  # then it has ended just now
            raise


async def session_for_chat(identity: Identity, chat: str) -> str:
    """Return the session that a client names as its chat. Raises as `own_session`."""
    session = await threads.run(own_session, identity, chat)
    log_context.work_on(**log_context.ids() | {"session": str(session.pk)})
    return str(session.pk)


async def session_to_send_to(identity: Identity, chat: ChatRequest, address: str) -> str:
    """Return a chat's session, a new one for its first message. Raises bad_session_id, and what refuses a new one."""
    if not chat.begins:
        return await session_for_chat(identity, chat.chat)
    if not EXTERNAL_ID.match(chat.chat):
        raise HoldfastError("bad_session_id", "a chat's has 1 to 128 characters of A-Z a-z 0-9 _ . : -")
    identity.require("read")
    values = {"agent": chat.agent} if chat.agent else {}
    payer = payer_of(identity, address)
    session, _ = await threads.run(partial(own_or_new_session, identity, chat.chat, payer, **values))
    log_context.work_on(**log_context.ids() | {"session": str(session.pk)})
    return str(session.pk)


async def tell(frame: FollowedFrame, answer: Answer, connection: Connection, encode: Encode) -> list[str]:
    """Return what a frame of its session says of an answer. Raises HoldfastError for one that ends the stream."""
    if frame["type"] == "events":
        return encode(answer.reader.follow(frame["events"]))
    if frame["type"] == "attached":
        # Read after the connection follows the session: what was stored in between comes twice, and counts once.
        async with connection.turn(is_patient=True) as bill:
            message = await bill.read(partial(answers.stored, answer.session, answer.reader.uid))
            texts = encode(answer.reader.catch_up(message, frame["signals"]))
            bill.charge(sum(map(frames.size, texts)))
        return texts
    if frame["type"] == "heartbeat":
        answer.reader.beat()
    elif frame["type"] != "going-away":
        problem = frame["error"] if frame["type"] == "detached" else frame
        raise HoldfastError.stored(problem["code"], problem["message"])
    return []


def error_chunk(problem: Refusal) -> Chunk:
    """Return the chunk that ends a stream for another reason than its response's end."""
    return {"type": "error", "errorText": str(problem.as_dict()["message"])}


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
        for signal in requests.decisions(parts, answer, page_of(self._session)):
            await self.signal(signal)
        return ResponseReader(answer.id, parts)
