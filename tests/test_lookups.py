"""Identities looked up together: one call for a turn of the event loop, and each visitor's own answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as Login
from django.db import OperationalError
from django.test import Client

from sessions_app.auth import identity, lookups, tokens
from sessions_app.auth.identity import Identity, identify, identify_all, identify_by_tokens
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from tests.support.stored import guest, owner_of
from tests.support.tokens import KEYS, token

pytestmark = pytest.mark.django_db(transaction=True)


def cookies_of(client: Client) -> dict[str, str]:
    return {name: morsel.value for name, morsel in client.cookies.items() if morsel.value}


def logged_in(name: str, backend: str | None = None) -> dict[str, str]:
    client = Client()
    client.force_login(get_user_model().objects.create_user(name), backend)
    return cookies_of(client)


def owner(name: str) -> str:
    return f"user:{get_user_model().objects.get(username=name).pk}"


def owners(found: list[Identity | None]) -> list[str | None]:
    return [each.owner if each else None for each in found]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of visitors or bearers in each look-up."""
    sizes: list[int] = []

    def counting(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(given: Any) -> Any:
            sizes.append(len(given))
            return original(given)

        return call

    monkeypatch.setattr(identity, "identify_all", counting(identity.identify_all))
    monkeypatch.setattr(identity, "identify_by_tokens", counting(identity.identify_by_tokens))
    return sizes


# Many at once


def test_many_logins_take_two_queries(django_assert_num_queries: Any) -> None:
    visitors = [logged_in(f"user{n}") for n in range(5)]
    with django_assert_num_queries(2):
        found = identify_all(visitors)
    assert owners(found) == [owner(f"user{n}") for n in range(5)]
    assert found == [identify(cookies) for cookies in visitors]


def test_each_visitor_has_their_own_answer(settings: Any) -> None:
    alice, bob, visitor = logged_in("alice"), logged_in("bob"), guest()
    both = logged_in("carol") | cookies_of(visitor)
    User.objects.filter(username="bob").update(is_active=False)
    unknown = {settings.SESSION_COOKIE_NAME: "a" * 32}
    broken = {settings.SESSION_COOKIE_NAME: "\x00'"}
    visitors = [alice, bob, cookies_of(visitor), both, unknown, broken, {}, alice]
    assert owners(identify_all(visitors)) == [
        owner("alice"), None, owner_of(visitor), owner("carol"), None, None, None, owner("alice"),
    ]  # fmt: skip


@pytest.mark.parametrize("data", ["", "nonsense", "eyJhIjoxfQ:1wXyZ:AAAA"])
def test_a_login_with_broken_data_is_none_and_spoils_no_other(data: str, settings: Any) -> None:
    alice, bob = logged_in("alice"), logged_in("bob")
    Login.objects.filter(session_key=alice[settings.SESSION_COOKIE_NAME]).update(session_data=data)
    assert owners(identify_all([alice, bob])) == [None, owner("bob")]


class OwnBackend(ModelBackend):
    """A backend with a rule of its own."""

    def get_user(self, user_id: Any) -> Any:
        user = super().get_user(user_id)
        return user if user and user.username != "banned" else None


def test_a_backend_of_the_site_decides_about_its_users(settings: Any) -> None:
    path = f"{__name__}.OwnBackend"
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, path]
    visitors = [logged_in("alice", path), logged_in("banned", path), logged_in("bob")]
    assert owners(identify_all(visitors)) == [owner("alice"), None, owner("bob")]
    settings.AUTHENTICATION_BACKENDS = settings.AUTHENTICATION_BACKENDS[:-1]
    assert owners(identify_all(visitors)) == [None, None, owner("bob")]


@pytest.mark.parametrize("engine", ["cached_db", "signed_cookies"])
def test_another_session_engine_is_asked_for_each(engine: str, settings: Any) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    alice, bob = logged_in("alice"), logged_in("bob")
    if engine == "cached_db":
        assert owners(identify_all([alice, bob])) == [owner("alice"), owner("bob")]
    else:  # its keys are no keys of a table
        assert owners(identify_all([alice, bob])) == [None, None]


# In one turn of the loop


async def test_visitors_of_one_turn_share_a_look_up(calls: list[int]) -> None:
    visitors = await threads.run(lambda: [logged_in(f"user{n}") for n in range(5)])
    found = await asyncio.gather(*map(lookups.identify, visitors))
    assert len(set(owners(found))) == 5
    assert calls == [5]
    assert await lookups.identify(visitors[0]) == found[0]


async def test_a_guest_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = await threads.run(guest)
    monkeypatch.setattr(threads.Batch, "answer", None)
    found = await lookups.identify(cookies_of(visitor))
    assert found == Identity(owner_of(visitor))


async def test_more_visitors_than_one_thread_answers_are_divided(
    calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "AT_ONCE", 2)
    visitors = await threads.run(lambda: [logged_in(f"user{n}") for n in range(5)])
    found = await asyncio.gather(*map(lookups.identify, visitors))
    assert len(set(owners(found))) == 5
    assert sorted(calls) == [1, 2, 2]


class TestBearers:
    @pytest.fixture(autouse=True)
    def keys(self, settings: Any) -> None:
        settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS}

    async def test_bearers_of_one_turn_share_a_look_up(self, calls: list[int]) -> None:
        await threads.run(tokens.revoke, "gone")
        given = [token(sub="ext:a"), token(jti="gone"), token(key="x" * 40), token(sub="ext:b")]
        found = await asyncio.gather(*map(lookups.identify_by_token, given), return_exceptions=True)
        shown = [each.code if isinstance(each, HoldfastError) else each.owner for each in found]  # type: ignore[union-attr]
        assert shown == ["ext:a", "token_expired", "bad_token", "ext:b"]
        assert calls == [4]

    def test_many_tokens_take_two_queries(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(2):
            assert len(identify_by_tokens([token() for _ in range(5)])) == 5

    async def test_a_bearer_who_has_gone_keeps_no_other_from_an_answer(self) -> None:
        gone = asyncio.create_task(lookups.identify_by_token(token(sub="ext:a")))
        there = asyncio.create_task(lookups.identify_by_token(token(sub="ext:b")))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await there).owner == "ext:b"
        with pytest.raises(asyncio.CancelledError):
            await gone

    async def test_without_the_database_all_are_told_and_later_ones_are_answered(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(given: Any) -> Any:
            raise OperationalError("the server closed the connection unexpectedly")

        with monkeypatch.context() as away:
            away.setattr(identity, "identify_by_tokens", fails)
            asked = [lookups.identify_by_token(token()) for _ in range(2)]
            found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in found] == [OperationalError] * 2
        assert (await lookups.identify_by_token(token())).owner
