"""The built-in demo agent: needs no key, repeats its answer to a question, and shows every kind of part."""

from __future__ import annotations

import re
from typing import cast

from agents_app.builtin.demo_report import write_report
from agents_app.builtin.demo_speech import earlier, in_short, is_to_crash, pause, speak, texts
from agents_app.turn import Turn

RESEARCH = re.compile(r"\b(research|reports?)\b", re.IGNORECASE)

REASONING = """The question is “{prompt}”. I can't look anything up, since I am a demonstration without a model \
behind me, but I can show what a durable session does while I answer. First I check the state of this session \
with a tool, then I write a long answer, so that there is time to pull the plug."""

ANSWER = """## You asked: {prompt}

I am Holdfast's **demo agent**. Nothing I say comes from a model, but everything around it is real: each word is \
committed to the database before it is shown, and every client of this session reads the same log.

### Try it while I am writing

1. **Reload this page.** The answer so far comes back as one block, and then goes on where it is.
2. **Open this address in a second tab.** Both tabs show the same words, in the same order.
3. **Cut the connection**: switch off the network, or close the lid. What I write meanwhile is waiting for you.
4. **Stop the server**, even with `kill -9`. All that you have seen is still there when it returns; this answer, whose \
agent died with it, says that it was interrupted.

### What happens to a word

| step | where | what could go wrong |
|---|---|---|
| published | agent | nothing: it is handed over and forgotten |
| committed | database | the disk is full: the agent is told, you see nothing that isn't stored |
| delivered | every client | the connection drops: your cursor says what you have |
| folded | one message | thousands of words, one row |

A client that returns sends its cursor, and the server answers with exactly what is missing:

```json
{{"type": "attach", "session": "…", "cursor": "9f2c41d07ab3-{serial}", "held": {{"m_1": [0, 0, 1284]}}}}
```

> The transport may break at any moment. The session doesn't.

### Why that is not the same as reconnecting

Reconnecting a WebSocket restores the *transport*. The words that were written while you were away, the result of \
the tool that I called, and my place in this sentence belong to the *session*, and a new socket knows nothing of \
them. Somebody has to keep them, in order, and to know for each client where it stopped. That is all that Holdfast \
does, and it does it for text, for reasoning, for tool calls and for whatever else an agent may publish.

There is one more thing to notice: there was never a loading state between “history” and “live”. The part that you \
missed and the part that is being written are the same stream to you, as they are to every other reader.

That was a long answer on purpose. Ask me anything else and I will give it again."""


STEERED = "> {steer}\n\nI have read that, but this answer is always the same.\n\n"


async def demo(turn: Turn) -> None:
    """Reason, call a tool and give a long answer in Markdown; or research a report, if the prompt asks for one.

    A prompt that asks for a crash gets one, in the middle.
    """
    if RESEARCH.search(turn.prompt):
        await write_report(turn)
    elif (said := _said(turn)) > 0:
        await speak(turn.text, _answer(turn)[said:])
    else:
        await _answer_whole(turn)


async def _answer_whole(turn: Turn) -> None:
    again = "They want it again. " if turn.mode == "regenerate" else ""
    await speak(turn.reasoning, again + REASONING.format(prompt=_prompt(turn)))
    call = await turn.tool("inspect_session", {"include": ["messages", "words"]})
    await pause(20)
    words = sum(len(part.get("text", "").split()) for message in turn.history for part in message.parts)
    await call.output({"messages": len(turn.history), "words": words, "durable": True})
    steers = "".join(STEERED.format(steer=in_short(steer)) for steer in await turn.step())
    if steers:
        await turn.metadata({"begins_at": -len(steers)})
    await speak(turn.text, steers + _answer(turn), crash=is_to_crash(turn))


def _answer(turn: Turn) -> str:
    asked = len(turn.history) - (earlier(turn) is not None)
    return ANSWER.format(prompt=_prompt(turn), serial=asked)


def _prompt(turn: Turn) -> str:
    return in_short(turn.prompt) or "nothing"


def _said(turn: Turn) -> int:
    """Return how many characters of the answer the earlier message has: its text may begin with answers to steers."""
    before = earlier(turn)
    if before is None:
        return 0
    begins_at = cast(int, (before.metadata or {}).get("begins_at", 0))
    return begins_at + len("".join(texts(before)))
