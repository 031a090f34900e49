"""The runs' agent: writes all that an answer may have, as its seed says.

Its prompt is the JSON of an `Order`. An answer has reasoning, text, sources, data, files, and calls in parallel, of
which two ask for approval; then a call that runs in the client. `together`: in the same step.
"""

import asyncio
import json
from random import Random
from typing import NamedTuple

from agents_app.registry import agent
from agents_app.tool_call import ToolFailed
from agents_app.turn import Turn
from tests.compat.words import value, words

PACE_S = 0.004
PICTURE = "data:image/png;base64,iVBORw0KGgo="


class Order(NamedTuple):
    """A prompt. `endless`: it goes on until it is stopped; asked for again, it is an answer of some words."""

    seed: int
    endless: bool = False
    together: bool = False

    @property
    def text(self) -> str:
        return json.dumps(self._asdict())


@agent("compat")
async def compat(turn: Turn) -> None:
    order = Order(**json.loads(turn.prompt))
    random = Random(f"{order.seed} {turn.mode}")
    if order.endless:
        await say(turn, random, 40 if turn.mode == "regenerate" else 100_000)
        return
    await think(turn, random)
    await say(turn, random, 25)
    await show(turn, random)
    # A generator for each: which of them writes first is the event loop's choice.
    calls = [search(turn, Random(f"{order.seed} {n}"), n) for n in range(3)]
    calls += [refund(turn, Random(f"{order.seed} refund {n}"), n) for n in range(2)]
    if order.together:
        calls.append(locate(turn, Random(f"{order.seed} locate")))
    await asyncio.gather(*calls)
    await turn.step()
    await think(turn, random)
    await say(turn, random, 25)
    if not order.together:
        await locate(turn, Random(f"{order.seed} locate"))
        await turn.step()
    await say(turn, random, 25)
    await turn.write({"type": "message-metadata", "messageMetadata": {"spent": {"tokens": random.randint(1, 999)}}})


async def say(turn: Turn, random: Random, count: int) -> None:
    for _ in range(count):
        await turn.text(words(random, 2) + " ")
        await asyncio.sleep(PACE_S)


async def think(turn: Turn, random: Random) -> None:
    for _ in range(8):
        await turn.reasoning(words(random, 2) + " ")
        await asyncio.sleep(PACE_S)


async def show(turn: Turn, random: Random) -> None:
    """Write the parts that come whole."""
    await turn.write({"type": "message-metadata", "messageMetadata": {"topic": words(random, 2), "spent": {"ms": 5}}})
    await turn.write({"type": "source-url", "sourceId": "s-1", "url": "https://tides.example/?a=1&b=ä", "title": "潮"})
    await turn.write({"type": "source-url", "sourceId": "s-2", "url": "https://tides.example/2"})
    document = {"type": "source-document", "sourceId": "s-3", "mediaType": "application/pdf", "title": "Tidens gang"}
    await turn.write({**document, "filename": "gang.pdf", "providerMetadata": {"shelf": {"page": 3}}})
    await turn.write({"type": "file", "url": PICTURE, "mediaType": "image/png"})
    await turn.write({"type": "reasoning-file", "url": PICTURE, "mediaType": "image/png"})
    await turn.write(
        {"type": "custom", "kind": "compat.note", "providerMetadata": {"compat": {"note": words(random, 3)}}}
    )
    await turn.data("chart", value(random))
    await turn.data("progress", {"done": 0}, id="p-1")
    await turn.data("passing", value(random), transient=True)
    await say(turn, random, 5)
    await turn.data("progress", {"done": 100, "note": value(random)}, id="p-1")


async def search(turn: Turn, random: Random, number: int) -> None:
    """A call that the agent runs: its input comes in pieces; its output once before it is final, or it fails."""
    call = {"toolCallId": f"search-{number}", "toolName": "search"}
    dynamic = {"dynamic": True} if number == 1 else {}
    given = {"query": words(random, 6), "how": value(random)}
    text = json.dumps(given, ensure_ascii=False)
    await turn.write({"type": "tool-input-start", **call, **dynamic, "title": "Søg"})
    for at in range(0, len(text), 9):
        await turn.write(
            {"type": "tool-input-delta", "toolCallId": call["toolCallId"], "inputTextDelta": text[at : at + 9]}
        )
        await asyncio.sleep(PACE_S)
    await turn.write({"type": "tool-input-available", **call, **dynamic, "input": given, "title": "Søg"})
    await asyncio.sleep(PACE_S * random.randint(1, 5))
    outcome = {"toolCallId": call["toolCallId"], **dynamic}
    if number == 2:
        await turn.write({"type": "tool-output-error", **outcome, "errorText": words(random, 4)})
        return
    await turn.write({"type": "tool-output-available", **outcome, "output": {"found": 0}, "preliminary": True})
    await asyncio.sleep(PACE_S)
    await turn.write({"type": "tool-output-available", **outcome, "output": value(random)})


async def refund(turn: Turn, random: Random, number: int) -> None:
    """A call that people are asked about."""

    async def pay(_: object) -> object:
        return {"paid": value(random)}

    call = await turn.tool("refund", {"order": number, "note": words(random, 4)}, title="Refund")
    decision = await call.approval(words(random, 3), editable=True)
    if decision.approved:
        await call.execute(pay)


async def locate(turn: Turn, random: Random) -> None:
    """A call that runs in the client."""
    call = await turn.tool("locate", {"near": words(random, 2)})
    try:
        await turn.data("located", await call.result())
    except ToolFailed as problem:
        await turn.data("located", {"error": str(problem)})
