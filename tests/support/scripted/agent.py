"""The scripted agent: a prompt such as `w20 s a w5` has it write, take steps and ask before it acts.

`w20`: 20 numbered words. `s`: a step; the steers that it brings are repeated in brackets. `a`: a call that people have
to approve; executing it appends its id and the process to the file EFFECTS, so that whoever reads that sees each time
that it ran. Each message's metadata names the process that writes it, again at each step.
tests/support/node/scripted.mjs is the same agent in Node.
"""

import asyncio
import os
import secrets
from typing import Any

from agents_app.registry import agent
from agents_app.tool_call import ToolFailed
from agents_app.turn import Turn
from tests.support.scripted import EFFECTS

WORD_S = 0.02  # between two words
ACT_S = 0.05  # that an approved call takes after its effect
ASK_S = 2.0  # that people have to decide
PROCESS = f"python-{os.getpid()}"


@agent("scripted")
async def scripted(turn: Turn) -> None:
    number = 0
    await turn.metadata({"process": PROCESS})
    for order in turn.prompt.split():
        if order == "a":
            await act(turn)
        elif order == "s":
            for steer in await turn.step():
                await turn.text(f"[{steer}]")
            await turn.metadata({"process": PROCESS})
        elif order[0] == "w":
            for _ in range(int(order[1:])):
                await turn.text(f"{number} ")
                number += 1
                await asyncio.sleep(WORD_S)


async def act(turn: Turn) -> None:
    call = await turn.tool("append", {"effect": secrets.token_urlsafe(12)})
    decision = await call.approval("It is written for good.", expires_s=ASK_S)
    if decision.approved:
        try:
            await call.execute(append)
        except ToolFailed:
            pass  # the call says so


async def append(arguments: dict[str, Any]) -> str:
    file = os.open(os.environ[EFFECTS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{arguments['effect']} {PROCESS}\n".encode())
    finally:
        os.close(file)
    await asyncio.sleep(ACT_S)
    return "appended"
