"""The scripted agent. Its prompt is a script: instructions with `; ` between them, each a word and its argument.

`say TEXT`. `step`: and say what was heard. `until GATE`: wait until the server's place has a file of this name.
`ask TOOL [editable] [exact] [SECONDS]`: run a tool that a person has to approve. `fail TEXT`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from django.conf import settings

from agents_app.registry import agent
from agents_app.turn import AgentFailed, Turn

EXACT = '{"to": "bob", "amount": 9007199254740993, "rate": 1.10, "limits": [18446744073709551615, -0, 1e2]}'
ARGUMENTS = {"to": "ann@example.com", "subject": "The figures", "note": "<b>bold</b> \u202egnp.exe"}


@agent("scripted")
async def scripted(turn: Turn) -> None:
    """Perform the prompt; when it is asked again, say only that."""
    if turn.mode != "answer":
        return await turn.text(f"Again: {turn.mode}.")
    for instruction in turn.prompt.split("; "):
        word, _, about = instruction.partition(" ")
        await _WORDS[word](turn, about)


async def _say(turn: Turn, text: str) -> None:
    await turn.text(f"{text}\n\n")


async def _step(turn: Turn, _: str) -> None:
    for heard in await turn.step():
        await _say(turn, f"Heard: {heard}")


async def _until(turn: Turn, gate: str) -> None:
    path = Path(settings.DATABASES["default"]["NAME"]).with_name(gate)
    while not path.exists():
        await asyncio.sleep(0.02)


async def _ask(turn: Turn, about: str) -> None:
    tool, *options = about.split()
    seconds = [int(option) for option in options if option.isdigit()] or [300]
    call = await turn.tool(tool, EXACT if "exact" in options else ARGUMENTS)
    decision = await call.approval("It leaves the house.", expires_s=seconds[0], editable="editable" in options)
    if decision.approved:
        await call.execute(_run)
    await _say(turn, "Done." if decision.approved else "Left alone.")


async def _run(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"sent to": arguments["to"]} | {name: value for name, value in arguments.items() if name == "amount"}


async def _fail(turn: Turn, text: str) -> None:
    raise AgentFailed(text)


_WORDS = {"say": _say, "step": _step, "until": _until, "ask": _ask, "fail": _fail}
