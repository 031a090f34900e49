"""Exact arguments: what is approved is byte for byte what runs, and no number is rounded at any door."""

import asyncio
import json
from typing import Any

import pytest

from agents_app.turn import Turn
from sessions_app import models
from sessions_app.core.signals import input_hash
from sessions_app.process import Process
from tests.support.agents import Conversation, process
from tests.support.person import Frame

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = 9007199254740993
TEXT = '{"to": "bob",\n "amount": 9007199254740993, "rate": 1.10, "zero": -0, "to": "b\\u006fb", "a": [[1e2]]}'


class Payer:
    """An agent that pays once approved. `paid`: the arguments of the payments."""

    def __init__(self, arguments: Any, **asking: Any) -> None:
        self.arguments = arguments
        self.asking = asking
        self.paid: list[Any] = []

    async def __call__(self, turn: Turn) -> None:
        call = await turn.tool("pay", self.arguments)
        decision = await call.approval("It costs.", **self.asking)
        if isinstance(self.arguments, dict):
            self.arguments["amount"] = 1  # of no effect: another amount was approved
        if decision.approved:
            await call.execute(self.pay)

    async def pay(self, arguments: Any) -> Any:
        self.paid.append(arguments)
        return {"paid": arguments["amount"]}


def part(talk: Conversation) -> Frame:
    return next(part for part in talk.answers[0].parts if part["type"] == "tool-pay")


async def asked(talk: Conversation) -> Frame:
    """Have the agent ask; return the approval with its id and descriptor."""
    await talk.say("Pay")
    await talk.wait_until(lambda: talk.answers and any(p.get("approval") for p in talk.answers[0].parts))
    approval: Frame = part(talk)["approval"]
    return approval


@pytest.mark.parametrize("arguments", [TEXT, {"to": "bob", "amount": LARGE}], ids=["a model's text", "values"])
async def test_an_approval_shows_and_runs_the_exact_arguments(process: Process, arguments: Any) -> None:
    payer = Payer(arguments)
    async with Conversation(process, payer) as talk:
        approval = await asked(talk)
        descriptor = approval["descriptor"]
        text = TEXT if isinstance(arguments, str) else '{"to":"bob","amount":9007199254740993}'
        assert (descriptor["input_text"], descriptor["input_hash"]) == (text, input_hash(text))
        assert (await talk.stored(models.Approval)).input == text
        await talk.send("approve", approval=approval["id"], input_hash=descriptor["input_hash"])
        await talk.answered()
        assert [(paid["to"], paid["amount"]) for paid in payer.paid] == [("bob", LARGE)]
        assert part(talk)["output"] == {"paid": LARGE}


@pytest.mark.parametrize("also", [{}, {"input": {"to": "bobby", "amount": LARGE - 1}}], ids=["text", "text and values"])
async def test_edited_arguments_run_as_they_were_written(process: Process, also: Frame) -> None:
    payer = Payer(TEXT, editable=True)
    edited = TEXT.replace("b\\u006fb", "bobby")
    async with Conversation(process, payer) as talk:
        approval = await asked(talk)
        hash_ = approval["descriptor"]["input_hash"]
        await talk.send("approve", approval=approval["id"], input_hash=hash_, input_text=edited, **also)
        await talk.answered()
        assert [(paid["to"], paid["amount"], paid["rate"]) for paid in payer.paid] == [("bobby", LARGE, 1.1)]
        assert part(talk)["input"]["amount"] == LARGE
        decided = part(talk)["callProviderMetadata"]["holdfast"]
        assert (decided["edited"], decided["input_text"]) == (True, edited)


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "1e400"])
@pytest.mark.parametrize("field", ["input_text", "input"])
async def test_edited_arguments_that_would_be_rounded_are_refused(process: Process, number: str, field: str) -> None:
    payer = Payer(TEXT, editable=True)
    async with Conversation(process, payer) as talk:
        approval = await asked(talk)
        arguments = f'{{"to": "bob", "amount": {number}}}'
        about = f'"approval": "{approval["id"]}", "input_hash": "{approval["descriptor"]["input_hash"]}"'
        payload = f'{{{about}, "{field}": {json.dumps(arguments) if field == "input_text" else arguments}}}'
        head = f'"type": "signal", "session": "{talk.session}", "id": "signal-1", "kind": "approve"'
        await talk.tab.dispatch.receive(f'{{{head}, "payload": {payload}}}', now=asyncio.get_running_loop().time())
        await talk.wait_until(lambda: "signal-1" in talk.tab.receipts)
        assert talk.tab.receipts["signal-1"]["error"]["code"] == "bad_signal"
        await talk.send("deny", approval=approval["id"])
        await talk.answered()
        assert payer.paid == []


@pytest.mark.parametrize("arguments", ["[]", '{"amount": NaN}', "{", '{"amount": 1'])
async def test_arguments_that_are_no_json_object_are_the_agents_fault(process: Process, arguments: str) -> None:
    problems: list[ValueError] = []

    async def agent(turn: Turn) -> None:
        try:
            await turn.tool("pay", arguments)
        except ValueError as problem:
            problems.append(problem)

    async with Conversation(process, agent) as talk:
        await talk.say("Pay")
        assert (await talk.answered()).status == "complete"
        assert problems


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, float("inf"), float("nan")])
async def test_an_agents_number_that_would_be_rounded_is_refused_by_name(process: Process, value: Any) -> None:
    async def agent(turn: Turn) -> None:
        await turn.data("count", {"n": value})

    async with Conversation(process, agent) as talk:
        await talk.say("Count")
        answer = await talk.answered()
        assert answer.status == "failed" and ("64 bits" in answer.reason or "not a JSON number" in answer.reason)
