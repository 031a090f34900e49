"""JSON text: a parser that rounds no integer, and the text of values.

orjson turns an integer beyond 64 bits into the nearest float, silently, and takes a number beyond a float's range for a
syntax error. `read` keeps both as they are, so that the check of their door (`vocabulary.json_bytes`) refuses them by
name; `parse` is for doors without such a check.
"""

from __future__ import annotations

import json
import re
from math import isinf
from typing import NamedTuple

import orjson

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1

# An integer beyond 64 bits has at least 19 digits. Mapping all digits to one and searching for a run of them takes a
# fiftieth of a regular expression's time.
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG = b"0" * 19
_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_MOST_DIGITS = 24  # more change nothing about the refusal, and int() takes quadratic time


class Parsed(NamedTuple):
    """A value.

    `excess`: it holds an integer beyond 64 bits, or a float beyond the range, which is infinite here. `halves`: a text
    in it may hold half of a surrogate pair, as `"\\ud83d"`.
    """

    value: object
    excess: bool
    halves: bool = False


def parse(text: str | bytes) -> object:
    """Parse JSON. Raises ValueError, also for numbers beyond 64 bits."""
    value, excess, _ = read(text)
    if excess:
        raise ValueError("a number needs more than 64 bits")
    return value


def read(text: str | bytes, *, halves: bool = False) -> Parsed:
    """Parse JSON with all numbers as they are, and `halves` of surrogate pairs: see `Parsed`. Raises ValueError."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        parsed = _reread(raw)
        cut = halves and _ESCAPED_HALF.search(raw) is not None
        if parsed is None or not (parsed.excess or cut):
            raise ValueError(str(error)) from None
        return parsed._replace(halves=cut)
    if _LONG not in raw.translate(_DIGITS):
        return Parsed(value, excess=False)
    parsed = _reread(raw)
    if parsed is None:
        raise ValueError("it is nested too deeply")
    return parsed


def _reread(raw: bytes) -> Parsed | None:
    """Parse with Python's own parser; None if that is impossible."""
    numbers = _Numbers()
    try:
        return Parsed(numbers.parse(raw), numbers.excess)
    except (ValueError, RecursionError):
        return None


def of(value: object) -> str:
    """Return the compact JSON text of a value, its keys in their order."""
    return orjson.dumps(value).decode()


class _Numbers:
    """Numbers of one text, by Python's parser. `excess`: one was beyond the range."""

    def __init__(self) -> None:
        self.excess = False

    def parse(self, raw: bytes) -> object:
        value: object = json.loads(
            raw, parse_int=self._int, parse_float=self._float, parse_constant=self._refuse_constant
        )
        return value

    def _int(self, digits: str) -> int:
        number = int(digits[:_MOST_DIGITS])
        self.excess = self.excess or not MIN_INTEGER <= number <= MAX_INTEGER
        return number

    def _float(self, digits: str) -> float:
        number = float(digits)
        self.excess = self.excess or isinf(number)
        return number

    def _refuse_constant(self, name: str) -> float:
        raise ValueError(f"{name} is not JSON")
