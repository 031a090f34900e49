"""Verified tokens are remembered: a signature is checked once, and a token still ends when it did before."""

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User

from sessions_app.auth import tokens
from sessions_app.auth.identity import identify_by_token, identify_by_tokens
from sessions_app.auth.verified_tokens import VerifiedTokens
from sessions_app.core.errors import HoldfastError
from sessions_app.models import RevokedSubject
from tests.support.tokens import KEY, KEYS, OLD_KEY, SUB, claims, token


@pytest.fixture(autouse=True)
def keys(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS}


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The tokens whose signatures are checked from now on."""
    checked: list[str] = []

    def verify(text: str) -> Any:
        checked.append(text)
        return original(text)

    original = tokens._verified
    monkeypatch.setattr(tokens, "_verified", verify)
    yield checked


def refusal(text: str) -> str:
    with pytest.raises(HoldfastError) as refused:
        tokens.read(text)
    return refused.value.code


def test_a_signature_is_checked_once(verified: list[str]) -> None:
    text = token()
    first = tokens.read(text)
    assert tokens.read(text) == first
    assert verified == [text]


def test_a_refused_token_is_checked_each_time(verified: list[str]) -> None:
    text = token(key="x" * 40)
    assert [refusal(text), refusal(text)] == ["bad_token"] * 2
    assert verified == [text, text]


def test_a_remembered_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    text = token()
    expires_at = tokens.read(text)[1].expires_at
    monkeypatch.setattr(time, "time", lambda: expires_at + tokens.LEEWAY_S - 1)
    assert tokens.read(text)[0] == SUB
    monkeypatch.setattr(time, "time", lambda: expires_at + tokens.LEEWAY_S)
    assert refusal(text) == "token_expired"
    assert refusal(text) == "token_expired"


@pytest.mark.parametrize(
    "changed", [{"TOKEN_KEYS": {"old": OLD_KEY}}, {"TOKEN_KEYS": {"new": OLD_KEY}}, {"TOKEN_KEYS": {}},
                {"TOKEN_MAX_S": 599}],
    ids=["removed", "replaced", "all removed", "a shorter life"],
)  # fmt: skip
def test_a_remembered_token_is_refused_after_its_key_or_longest_life_changed(settings: Any, changed: Any) -> None:
    text = token()
    tokens.read(text)
    settings.HOLDFAST = settings.HOLDFAST | changed
    assert refusal(text) == "bad_token"


def test_the_same_claims_with_another_signature_are_another_token(verified: list[str]) -> None:
    same = claims()
    valid = jwt.encode(same, KEY, algorithm="HS256", headers={"kid": "new"})
    tokens.read(valid)
    for key in ("x" * 40, OLD_KEY):
        assert refusal(jwt.encode(same, key, algorithm="HS256", headers={"kid": "new"})) == "bad_token"
    assert refusal(valid[:-2]) == "bad_token"
    by_old_key = jwt.encode(same, OLD_KEY, algorithm="HS256", headers={"kid": "old"})
    assert tokens.read(by_old_key) == tokens.read(valid)
    assert verified.count(valid) == 1 and verified.count(by_old_key) == 1


def test_two_tokens_of_one_subject_keep_their_own_grants() -> None:
    narrow, wide = token(scope="read", sessions=["A" * 22]), token(scope="read send")
    for _ in range(2):
        assert tokens.read(narrow)[1].scopes == {"read"}
        assert tokens.read(wide)[1].scopes == {"read", "send"}


def test_the_table_is_bounded_and_forgets_the_longest_unused() -> None:
    table = VerifiedTokens(most=2)
    one, two, three = (token() for _ in range(3))
    for text in (one, two):
        table.keep(text, tokens.read(text))
    assert table.get(one) is not None
    table.keep(three, tokens.read(three))
    assert len(table) == 2
    assert [table.get(text) is not None for text in (one, two, three)] == [True, False, True]


@pytest.mark.django_db
class TestRevocation:
    def test_a_remembered_token_is_refused_as_soon_as_it_is_revoked(self) -> None:
        gone, other = token(jti="gone"), token(jti="other")
        for text in (gone, other):
            identify_by_token(text)
        tokens.revoke("gone")
        [refused, kept] = identify_by_tokens([gone, other])
        assert isinstance(refused, HoldfastError) and refused.code == "token_expired"
        assert not isinstance(kept, HoldfastError)

    def test_a_remembered_token_is_refused_with_its_subject(self) -> None:
        text = token(iat=int(time.time()) - 60)
        identify_by_token(text)
        RevokedSubject.objects.create(sub=SUB)
        with pytest.raises(HoldfastError, match="token_expired"):
            identify_by_token(text)

    def test_a_remembered_token_is_refused_with_its_user(self) -> None:
        user = get_user_model().objects.create_user("alice")
        text = token(sub=f"user:{user.pk}")
        identify_by_token(text)
        User.objects.update(is_active=False)
        with pytest.raises(HoldfastError, match="token_expired"):
            identify_by_token(text)
