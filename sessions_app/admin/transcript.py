"""Messages as plain text for operators: every part readable, none of it rendered as markup."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from sessions_app.core import fold
from sessions_app.core.wire_types import Part

MAX_CHARACTERS = 20_000  # of one part; a longer page is unreadable


class Passage(NamedTuple):
    """One part of a message. `label` is empty for plain text."""

    label: str
    text: str


class Entry(NamedTuple):
    """One message."""

    message: fold.MessageState
    begun_by: str  # the back end that began a turn with it; else empty
    created_at: datetime
    passages: list[Passage]


def entry(message: fold.MessageState) -> Entry:
    passages = [passage for part in message.parts if (passage := _passage(part)).text or passage.label]
    created_at = datetime.fromtimestamp(message.created_at / 1000, UTC)
    return Entry(message, _begun_by(message), created_at, [Passage(label, _cut(text)) for label, text in passages])


def _begun_by(message: fold.MessageState) -> str:
    said = (message.metadata or {}).get("holdfast")
    return str(said.get("begun_by", "")) if message.role == "user" and isinstance(said, dict) else ""


def _passage(part: Part) -> Passage:
    kind = part["type"]
    if kind.startswith("tool-") or kind == "dynamic-tool":
        return _tool(part)
    if kind.startswith("data-"):
        return Passage(f"Data: {kind.removeprefix('data-')}", _json(part.get("data")))
    return _READERS.get(kind, _unknown)(part)


def _tool(part: Part) -> Passage:
    name = part.get("toolName") or part["type"].removeprefix("tool-")
    lines = [
        f"{title}: {value if isinstance(value, str) else _json(value)}"
        for title, value in (
            ("input", part.get("input", part.get("rawInput"))),
            ("output", part.get("output")),
            ("error", part.get("errorText")),
            ("approval", part.get("approval")),
        )
        if value is not None
    ]
    return Passage(f"Tool: {name} ({part.get('state', '')})", "\n".join(lines))


def _file(part: Part) -> Passage:
    url = part.get("url", "")
    location = f"{len(url)} characters of data" if url.startswith("data:") else url
    return Passage("File", f"{part.get('mediaType', '')} {location}".strip())


def _source(part: Part) -> Passage:
    facts = (part.get("title"), part.get("filename"), part.get("url"))
    return Passage("Source", " · ".join(text for text in facts if text))


def _unknown(part: Part) -> Passage:
    return Passage(part["type"], _json({name: value for name, value in part.items() if name != "type"}))


_READERS: dict[str, Callable[[Part], Passage]] = {
    "text": lambda part: Passage("", part.get("text", "")),
    "reasoning": lambda part: Passage("Reasoning", part.get("text", "")),
    "step-start": lambda part: Passage("", ""),
    "file": _file,
    "reasoning-file": _file,
    "source-url": _source,
    "source-document": _source,
}


def readable(json: str) -> str:
    """Return stored JSON as indented text."""
    return _cut(_json(orjson.loads(json)))


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]}\n… and {len(text) - MAX_CHARACTERS} more characters"
