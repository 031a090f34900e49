"""Hostile values, and mutations of valid ones. Every choice comes from the `Random` that is passed in."""

import json
from random import Random
from typing import Any

NUL = "\0"
TEXTS = [
    "", " ", NUL, f"a{NUL}b", "\ud800", "é" * 100, "😀", "\u202e", "../" * 8,
    "..\\..\\", "%00", "%ff", "%", "%zz", "'", '"',
    "'; DROP TABLE x;--", "<script>alert(1)</script>", "{{7*7}}", "${x}", "null", "true", "-1", "0", "1e999", "NaN",
    "9" * 400, "x" * 5000, "\r\n", "a\r\nSet-Cookie: x=y", "\t", "\x7f", "\x85", "٣", "０", "²", "1_000", "+1",
    "user:1", "guest:1", "m_x", "*", "-", "A" * 22, "A" * 21 + "!", "2026-01-01", "0000-00-00", "id__in",
    "password__startswith",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 1e308, 0.5, -0.0]


def value(random: Random, depth: int = 0) -> Any:
    """Return any JSON value."""
    kind = random.randrange(6 if depth < 4 else 4)
    if kind == 0:
        return random.choice([None, True, False])
    if kind == 1:
        return random.choice(NUMBERS)
    if kind in (2, 3):
        return random.choice(TEXTS)
    if kind == 4:
        return [value(random, depth + 1) for _ in range(random.randrange(4))]
    return {random.choice(TEXTS): value(random, depth + 1) for _ in range(random.randrange(4))}


def nested(random: Random) -> Any:
    """Return a value nested so deep that a recursive function fails."""
    inner: Any = value(random)
    for _ in range(random.choice([10, 120, 260])):
        inner = {"a": inner} if random.random() < 0.5 else [inner]
    return inner


def mutated(random: Random, whole: Any) -> Any:
    """Return a copy of a JSON value with one node replaced, removed, doubled or added."""
    if isinstance(whole, dict) and whole and random.random() < 0.9:
        name = random.choice(list(whole))
        act = random.randrange(8)
        if act == 0:
            return {key: inner for key, inner in whole.items() if key != name}
        if act == 1:
            return {**whole, random.choice(TEXTS): value(random)}
        return {**whole, name: mutated(random, whole[name])}
    if isinstance(whole, list) and whole and random.random() < 0.9:
        at = random.randrange(len(whole))
        act = random.randrange(6)
        if act == 0:
            return whole[:at] + whole[at + 1 :]
        if act == 1:
            return whole + [whole[at]] * random.choice([1, 20, 1100])
        return [*whole[:at], mutated(random, whole[at]), *whole[at + 1 :]]
    return nested(random) if random.random() < 0.1 else value(random)


def several(random: Random, whole: Any) -> Any:
    """Return a value with no to three mutations."""
    for _ in range(random.choice([0, 0, 1, 1, 1, 2, 3])):
        whole = mutated(random, whole)
    return whole


def text(random: Random, whole: Any) -> str:
    """Return a value as JSON, or as nearly that."""
    encoded = json.dumps(whole, ensure_ascii=random.random() < 0.5)
    act = random.randrange(14)
    if act == 0:
        return encoded[: random.randrange(len(encoded) + 1)]
    if act == 1:
        return encoded + random.choice(["}", " ", NUL, encoded, ",", "\ufeff"])
    if act == 2:
        return random.choice(["[", '{"a":', '{"a":[']) * random.choice([100, 1024, 5000]) + encoded
    if act == 3:
        return "\ufeff" + encoded
    if act == 4:
        return random.choice(TEXTS)
    return encoded


def data(random: Random, whole: Any) -> bytes:
    """Return a value's JSON as bytes, sometimes in another encoding or with broken bytes."""
    written = text(random, whole)
    act = random.randrange(16)
    if act == 0:
        return written.encode(random.choice(["utf-16", "utf-32", "utf-7"]), "replace")
    encoded = written.encode("utf-8", "surrogatepass")
    if act == 1 and encoded:
        at = random.randrange(len(encoded))
        return encoded[:at] + random.randbytes(random.randrange(1, 4)) + encoded[at:]
    return encoded
