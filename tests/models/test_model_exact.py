"""Exact arguments of models: their own text is shown, approved and run."""

from typing import Any

import pytest
from pydantic_ai import Agent

from agents_app.adapters.values import UNSHOWABLE
from tests.models.scripted import call, request_parts, scripted, tool
from tests.models.test_model_people import asked, decide

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = 9007199254740993
DEEP = "[" * 90 + "]" * 90


class Payer:
    """An agent that pays once approved. `paid`: the payments."""

    def __init__(self, arguments: str, **approval: Any) -> None:
        model, self.given = scripted([call("pay", arguments)], ["Done."])
        self.paid: list[tuple[str, Any]] = []
        self.agent = Agent(model)
        self.agent.tool_plain(requires_approval=True, metadata={"approval": approval})(self.pay)

    async def pay(self, to: str, amount: Any) -> str:
        self.paid.append((to, amount))
        return "paid"


@pytest.mark.parametrize(
    ("amount", "ran"),
    [
        (str(LARGE), LARGE), ("18446744073709551616", 2**64), ("1.10", 1.1), ("1e400", float("inf")), ("-0", 0),
        ('"\\u00e9"', "é"), (f"{LARGE}, \"amount\": {LARGE + 2}", LARGE + 2), (f" [ {LARGE} ]", [LARGE]),
    ],
)  # fmt: skip
async def test_a_models_own_text_is_approved_and_runs(talk: Any, amount: str, ran: Any) -> None:
    text = f'{{"to": "bob", "amount": {amount}}}'
    payer = Payer(text)
    conversation = await talk(payer.agent)
    await conversation.begin("Pay Bob")
    await conversation.wait_until(lambda: asked(conversation))
    [part] = asked(conversation)
    assert part["approval"]["descriptor"]["input_text"] == text
    await decide(conversation, part)
    assert (await conversation.ended()).status == "complete"
    assert payer.paid == [("bob", ran)]


async def test_deep_arguments_are_shown_as_their_text(talk: Any) -> None:
    text = f'{{"to": "bob", "amount": {DEEP}}}'
    payer = Payer(text)
    conversation = await talk(payer.agent)
    await conversation.begin("Pay Bob")
    await conversation.wait_until(lambda: asked(conversation))
    [part] = asked(conversation)
    assert part["input"] == part["approval"]["descriptor"]["input_text"] == text
    await decide(conversation, part)
    await conversation.ended()
    assert len(payer.paid) == 1


async def test_editing_one_argument_leaves_the_others_exact(talk: Any) -> None:
    text = f'{{"to": "bob", "amount": {LARGE}}}'
    payer = Payer(text, editable=True)
    conversation = await talk(payer.agent)
    await conversation.begin("Pay Bob")
    await conversation.wait_until(lambda: asked(conversation))
    await decide(conversation, asked(conversation)[0], input_text=text.replace("bob", "bobby"))
    answer = await conversation.ended()
    assert payer.paid == [("bobby", LARGE)]
    assert tool(answer, "pay")["input"] == {"to": "bobby", "amount": LARGE}


async def test_arguments_that_are_not_json_are_refused_by_name(talk: Any) -> None:
    payer = Payer('{"to": "bob", "amount": NaN}')
    answer = await (await talk(payer.agent)).ask("Pay Bob")
    assert (payer.paid, tool(answer, "pay")["state"]) == ([], "output-denied")
    assert ("tool-return", UNSHOWABLE) in request_parts(payer.given[1])
