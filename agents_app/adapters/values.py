"""Values and ids of agent frameworks, as a response's chunks can hold them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic_core import to_jsonable_python

from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import MOST_TOKENS
from sessions_app.core.text import mend, mend_json

AROUND = 1024  # bytes of a chunk beside the value that it carries and the id of its call
OUTPUT = "output"  # name of the data part with an agent's structured output
UNSHOWABLE = "Its arguments are too long, or hold what JSON can't: they can't be shown in full."
CUT = "\n… cut here. It has {} bytes, and the agent has all of them."


def unused(id: str, used: set[str]) -> str:
    """Return an id that is not used yet, the given one if possible, and add it to the used ones."""
    free, number = id, 1
    while free in used:
        number += 1
        free = f"{id}_{number}"
    used.add(free)
    return free


def storable_id(id: str) -> str:
    """Return the id of a provider's call; for one that no response can hold, an id of its digest."""
    id = mend(id)
    return id if vocabulary.is_name(id) else f"call_{hashlib.sha256(id.encode()).hexdigest()}"


def storable(value: object, most: int) -> Any:
    """Return a value as a chunk can hold it: as JSON of at most so many bytes, or as its text, cut."""
    plain = mend_json(to_jsonable_python(value, bytes_mode="base64"))
    try:
        if vocabulary.json_bytes(plain) <= most:
            return plain
    except HoldfastError:
        pass  # a number or a nesting that JSON readers refuse
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    return encoded[:most].decode(errors="ignore") + CUT.format(len(encoded))


def token_counts(input_tokens: int | None, output_tokens: int | None) -> dict[str, int]:
    """Return what a provider says its model has read and written, by name, within the bounds of a count."""
    counts = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return {name: min(max(int(count or 0), 0), MOST_TOKENS) for name, count in counts.items()}
