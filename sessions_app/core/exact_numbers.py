"""Exactness of JSON texts in readers that parse them as JavaScript does: numbers as doubles, the last of equal keys."""

from __future__ import annotations

import json
from decimal import Decimal
from math import isinf

MAX_SAFE_INTEGER = 2**53 - 1  # JavaScript's: beyond it, other integers look the same
_MOST_DIGITS = len(str(MAX_SAFE_INTEGER))


def is_exact_in_javascript(text: str) -> bool:
    """Return whether `JSON.parse` keeps all of a JSON text: each number with its value, and each key."""
    reading = _Reading()
    try:
        json.loads(
            text,
            parse_int=reading.integer,
            parse_float=reading.float,
            parse_constant=reading.refuse,
            object_pairs_hook=reading.object,
        )
    except (ValueError, RecursionError):
        return False
    return reading.is_exact


class _Reading:
    """Notes what of a text would be lost; its values don't matter."""

    def __init__(self) -> None:
        self.is_exact = True

    def integer(self, digits: str) -> int:
        is_short = len(digits.lstrip("-")) <= _MOST_DIGITS
        self._expect(is_short and abs(int(digits)) <= MAX_SAFE_INTEGER)
        return 0

    def float(self, digits: str) -> int:
        number = float(digits)
        # As it would be written again: the shortest digits that make this double.
        self._expect(not isinf(number) and Decimal(digits) == Decimal(repr(number)))
        return 0

    def refuse(self, name: str) -> int:
        raise ValueError(f"{name} is not JSON")

    def object(self, pairs: list[tuple[str, object]]) -> int:
        self._expect(len({key for key, _ in pairs}) == len(pairs))
        return 0

    def _expect(self, is_exact: bool) -> None:
        self.is_exact = self.is_exact and is_exact
