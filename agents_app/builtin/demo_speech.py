"""The demo agent's speech: tokens at the pace of a model, and crashes on request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator

from agents_app.turn import Turn
from sessions_app import conf
from sessions_app.core.fold import MessageState

TOKEN = re.compile(r"\s*\S+")  # a word with the space before it: about what a model's token is
CRASH = re.compile(r"\bcrash\b", re.IGNORECASE)
QUOTED = 80  # characters of a person's text that are repeated


def is_to_crash(turn: Turn) -> bool:
    """Return whether the prompt asks for a crash. An answer that has crashed can be continued."""
    return turn.mode != "continue" and CRASH.search(turn.prompt) is not None


async def speak(say: Callable[[str], Awaitable[None]], text: str, *, crash: bool = False) -> None:
    """Write a text token by token; with `crash`, raise in the middle of it."""
    spoken = list(tokens(text))
    for number, token in enumerate(spoken):
        if crash and number == len(spoken) // 2:
            raise RuntimeError("The demo agent was asked to crash.")
        await say(token)
        await pause(1)


async def pause(tokens: int) -> None:
    """Wait as long as so many tokens take."""
    await asyncio.sleep(tokens / conf.settings.demo_tokens_per_s)


def tokens(text: str) -> Iterator[str]:
    """Divide a text into pieces of about a token; joined, they are the text again."""
    end = 0
    for match in TOKEN.finditer(text):
        yield match.group()
        end = match.end()
    if end < len(text):
        yield text[end:]


def earlier(turn: Turn) -> MessageState | None:
    """Return the answer to continue, if the turn continues one."""
    last = turn.history[-1] if turn.mode == "continue" and turn.history else None
    return last if last is not None and last.role == "assistant" else None


def texts(message: MessageState) -> list[str]:
    """Return a message's text parts."""
    return [part["text"] for part in message.parts if part["type"] == "text"]


def in_short(text: str) -> str:
    """Return a text on one line, shortened."""
    return " ".join(text.split())[:QUOTED]
