"""Seeded words with characters of one to four bytes, and values made of them."""

from random import Random
from typing import Any

# Two, three and four bytes of UTF-8; joined, combined and flagged characters; what JSON escapes.
WORDS = (
    "tide", "flood", "ebb", "Ærø", "façade", "naïve", "Straße", "прилив", "παλίρροια", "מים", "الماء", "潮汐",
    "しお", "밀물", "ज्वार", "🌊", "👩🏽‍🚀", "🏴‍☠️", "e\u0301te\u0301", "𝒽𝑜𝓁𝒹", '"quoted"', "back\\slash", "a\tb",
    "line\nbreak", "\u2028", "<b>&amp;</b>", "`code`", "**bold**",
)  # fmt: skip


def words(random: Random, most: int) -> str:
    """Return up to `most` words, at least one."""
    return " ".join(random.choice(WORDS) for _ in range(random.randint(1, most)))


def value(random: Random, depth: int = 2) -> Any:
    """Return a JSON value that every client can hold: its integers are below 2^53."""
    plain = [words(random, 3), random.randint(-(2**53) + 1, 2**53 - 1), random.random(), True, None, "", 0]
    if depth and random.random() < 0.5:
        return [value(random, depth - 1) for _ in range(random.randint(0, 3))]
    if depth and random.random() < 0.5:
        return {words(random, 1): value(random, depth - 1) for _ in range(random.randint(0, 3))}
    return random.choice(plain)
