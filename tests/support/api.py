"""A guest who uses the REST API, a session of hers, and helpers to read responses."""

from collections.abc import Callable
from typing import Any

import pytest

from sessions_app.models import Session
from tests.support.stored import a_session, guest


@pytest.fixture
def alice() -> Any:
    return guest()


@pytest.fixture
def session(alice: Any) -> Session:
    return a_session(alice.owner)


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def walk(client: Any, link: str | None, direction: str, numbers: Callable[[Any], list[int]]) -> list[list[int]]:
    """The numbers of what is on each page, from this one on."""
    pages = []
    while link:
        page = client.get(link).json()
        pages.append(numbers(page))
        link = page[direction]
    return pages
