"""Chats of AI SDK clients over HTTP: approvals, and results of tools that clients run."""

import asyncio
import copy
from typing import Any

import pytest

from agents_app.turn import Turn
from sessions_app import models
from sessions_app.database import threads
from tests.support.chat import ONE, TWO, Chunk, Stream, body, chat, messages, post, send, stored, user
from tests.support.chat_socket import ChatSocket
from tests.support.harness import until
from tests.support.requests import Browser, refusal_of, running

__all__ = ["chat", "running"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


async def asks(turn: Turn) -> None:
    await turn.text("May I? ")
    call = await turn.tool("send_mail", {"to": "ann@example.com"})
    decision = await call.approval("It leaves the house.")
    if decision.approved:
        await call.execute(lambda arguments: asyncio.sleep(0, {"sent": arguments["to"]}))
    await turn.text("Done." if decision.approved else f"No: {decision.reason}")


def shown(part: Chunk) -> Chunk:
    """A part without who has decided: the client that did sets its own state, and isn't told."""
    return {name: value for name, value in part.items() if name != "callProviderMetadata"}


def decided(message: Chunk, approved: bool, **more: Any) -> Chunk:
    """The message after its reader has decided, as useChat has it."""
    changed = copy.deepcopy(message)
    for part in changed["parts"]:
        if part.get("state") == "approval-requested":
            part["state"] = "approval-responded"
            part["approval"] |= {"approved": approved, **more}
    return changed


@pytest.mark.parametrize(("approved", "text"), [(True, "Done."), (False, "No: never")])
async def test_an_answer_that_waits_for_approval_ends_and_goes_on_after_the_decision(
    chat: Any, approved: bool, text: str
) -> None:
    session = await chat(asks)
    asked = await send(body(session, user(ONE)))
    assert asked.types[-1] == "tool-approval-request" and "finish" not in asked.types
    reason = {} if approved else {"reason": "never"}
    message = decided(asked.held, approved, **reason)
    for _ in range(2):  # the second is a repeated request
        on = await send(body(session, user(ONE), message, messageId=message["id"]), holds=message)
        assert on.chunks[0] == {"type": "start", "messageId": message["id"]}
        assert on.types.count("text-start") == 1 and "reset-step" not in on.types
        assert on.types[-1] == "finish" and on.text == f"May I? {text}" and on.message is not None
        final = await stored(session, message["id"])
        assert [*map(shown, on.held["parts"])] == [*map(shown, final.parts)] and final.status == "complete"
    assert await threads.run(models.Signal.objects.filter(session=session).count) == 2


async def test_a_reload_shows_what_waits_for_approval(chat: Any) -> None:
    session = await chat(asks)
    asked = await send(body(session, user(ONE)))
    again = Stream(await Browser().get(f"/api/chat/{session}/stream/"))
    await again.all()
    assert again.held == asked.held


async def test_a_decision_may_come_after_another_message(chat: Any) -> None:
    """useChat then names the answer that it is about."""
    session = await chat(asks)
    asked = await send(body(session, user(ONE)))
    message = decided(asked.held, False, reason="no")
    on = await send(body(session, user(ONE), message, user(TWO), messageId=message["id"]), holds=message)
    assert on.types[-1] == "finish" and await messages(session) == [("user", ONE), ("assistant", message["id"])]


async def test_another_decision_is_refused(chat: Any) -> None:
    session = await chat(asks)
    asked = await send(body(session, user(ONE)))
    yes, no = decided(asked.held, True), decided(asked.held, False)
    await send(body(session, user(ONE), yes, messageId=yes["id"]), holds=yes)
    assert refusal_of(await post(body(session, user(ONE), no, messageId=no["id"]))) == (409, "already_decided")


async def test_an_approval_of_other_arguments_is_refused(chat: Any) -> None:
    session = await chat(asks)
    asked = await send(body(session, user(ONE)))
    message = decided(asked.held, True, descriptor={"input_hash": "sha256:0"})
    assert refusal_of(await post(body(session, user(ONE), message))) == (409, "input_mismatch")
    message = decided(asked.held, True, descriptor=None)
    assert refusal_of(await post(body(session, user(ONE), message))) == (400, "bad_signal")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_result_of_a_client_tool_continues_the_answer(chat: Any, fails: bool) -> None:
    async def locates(turn: Turn) -> None:
        call = await turn.tool("location", {})
        try:
            await turn.text(f"You are in {await call.result()}")
        except Exception as problem:
            await turn.text(f"Unknown: {problem}")

    session = await chat(locates)
    asked = await send(body(session, user(ONE)))
    assert asked.types.count("tool-input-available") == 1  # useChat runs the tool for each
    message = copy.deepcopy(asked.held)
    [part] = [part for part in message["parts"] if "toolCallId" in part]
    part |= {"state": "output-error", "errorText": "off"} if fails else {"state": "output-available", "output": "Bonn"}
    on = await send(body(session, user(ONE), message, messageId=message["id"]), holds=message)
    assert on.text == ("Unknown: off" if fails else "You are in Bonn") and on.types[-1] == "finish"
    marks = [chunk["toolMetadata"] for chunk in (*asked.chunks, *on.chunks) if "toolMetadata" in chunk]
    assert {"holdfast": {"client": True}} in marks  # with the input if the agent already waited, else with the outcome


async def test_a_partly_read_answer_goes_on_without_repeating_text(chat: Any) -> None:
    """The reader was cut off within a text before it decided: it drops its step and gets that again."""
    session = await chat(asks)
    asked = await send(body(session, user(ONE)))
    message = decided(asked.held, True)
    for part in message["parts"]:
        if part["type"] == "text":
            part |= {"text": "Ma", "state": "streaming"}
    on = Stream(await post(body(session, user(ONE), message, messageId=message["id"])), message)
    await on.all()
    assert "reset-step" in on.types and on.text == "May I? Done."


LARGE = 9007199254740993  # 2^53 + 1, which JavaScript takes for 2^53


@pytest.mark.parametrize("wire", ["http", "websocket"])
async def test_what_a_client_cant_show_exactly_is_approved_on_the_sessions_page_only(chat: Any, wire: str) -> None:
    paid: list[Any] = []

    async def pays(turn: Turn) -> None:
        call = await turn.tool("pay", {"amount": LARGE})
        if (await call.approval()).approved:
            await call.execute(lambda arguments: asyncio.sleep(0, paid.append(arguments["amount"])))

    session = await chat(pays)
    asked = await send(body(session, user(ONE)))
    message = decided(asked.held, True)
    refused = await refusal(wire, body(session, user(ONE), message, messageId=message["id"]))
    page = f"/s/{session}/"
    assert refused["code"] == "inexact_arguments" and refused["page"] == page and page in refused["message"]
    assert await threads.run(models.Signal.objects.filter(session=session).count) == 1 and paid == []
    response = await Browser().post(f"/api/sessions/{session}/signals/", approval_of(message))  # as the page does
    assert response.status_code == 200
    await until(lambda: paid == [LARGE])


async def refusal(wire: str, request: Chunk) -> Any:
    if wire == "http":
        response = await post(request)
        assert response.status_code == 409
        return response.json()
    async with ChatSocket() as socket:
        return await socket.send(request).refusal()


def approval_of(message: Chunk) -> Chunk:
    [approval] = [part["approval"] for part in message["parts"] if "approval" in part]
    payload = {"approval": approval["id"], "input_hash": approval["descriptor"]["input_hash"]}
    return {"id": "signal-0001", "kind": "approve", "payload": payload}


@pytest.mark.parametrize("amount", [LARGE, 7])
async def test_a_denial_needs_no_exact_arguments(chat: Any, amount: int) -> None:
    async def pays(turn: Turn) -> None:
        call = await turn.tool("pay", {"amount": amount})
        decision = await call.approval()
        await turn.text("Paid." if decision.approved else "Not paid.")

    session = await chat(pays)
    asked = await send(body(session, user(ONE)))
    message = decided(asked.held, False)
    on = await send(body(session, user(ONE), message, messageId=message["id"]), holds=message)
    assert on.text == "Not paid."


async def test_forged_arguments_make_an_approval_no_more_exact(chat: Any) -> None:
    async def pays(turn: Turn) -> None:
        await (await turn.tool("pay", {"amount": LARGE})).approval()

    session = await chat(pays)
    asked = await send(body(session, user(ONE)))
    message = decided(asked.held, True)
    for part in message["parts"]:
        if "approval" in part:
            part["input"] = {"amount": 7}
            part["approval"]["descriptor"] |= {"input_text": "{}"}
    assert (await refusal("http", body(session, user(ONE), message, messageId=message["id"])))["page"]
