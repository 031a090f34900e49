"""PROTOCOL.md agrees with the code, where a table can be compared."""

import re
from pathlib import Path

import pytest

from sessions_app.core.errors import ERRORS
from sessions_app.core.frames import CLIENT_FRAMES

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "PROTOCOL.md").read_text()


def section(number: int) -> str:
    return DOCUMENT.split(f"\n## {number}. ")[1].split("\n## ")[0]


def test_the_documents_errors_equal_the_error_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (\d+) \| (yes|no) \| (\w+) \|$", section(9), re.MULTILINE)
    assert rows == [
        (code, str(kind.close_code or "–"), str(kind.status), "yes" if kind.retryable else "no", kind.fault.value)
        for code, kind in ERRORS.items()
    ]


def test_the_documents_client_frames_equal_the_parsers() -> None:
    assert set(re.findall(r'^\| `\{"type": "([\w-]+)"', section(4), re.MULTILINE)) == set(CLIENT_FRAMES)


def test_every_invariant_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", section(12))
    assert len(named) >= 10
    for path, name in named:
        assert name in (ROOT / path).read_text(), f"{path} has no {name}"


@pytest.mark.parametrize("number", range(1, 17))
def test_the_document_has_every_section(number: int) -> None:
    assert section(number).strip()
