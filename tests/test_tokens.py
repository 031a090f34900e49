"""Tokens: valid and invalid signatures and claims, and the ways a token ends before it expires."""

import base64
import json
import time
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.utils import timezone

from sessions_app.auth import tokens
from sessions_app.auth.identity import Identity, identify_by_token, still_valid, token_in
from sessions_app.core.errors import HoldfastError
from sessions_app.models import RevokedSubject, RevokedToken, Session
from sessions_app.retention import purge as retention
from tests.support.stored import a_session
from tests.support.tokens import KEY, KEYS, OLD_KEY, SUB, claims, token


@pytest.fixture(autouse=True)
def keys(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS}


def refusal(text: str) -> tuple[str, str]:
    with pytest.raises(HoldfastError) as refused:
        tokens.read(text)
    return refused.value.code, refused.value.message


def part(data: Any) -> str:
    return (
        base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()
    )


# Signatures and claims


def test_every_key_verifies_and_the_first_one_signs() -> None:
    for kid, key in KEYS.items():
        assert tokens.read(token(kid=kid, key=key))[0] == SUB
    text, grant = tokens.issue(sub=SUB, scope="read", sessions=["*"], life_s=60)
    assert jwt.get_unverified_header(text)["kid"] == "new"
    assert tokens.read(text) == (SUB, grant)


@pytest.mark.parametrize(
    "text",
    [
        token(key=OLD_KEY), token(key="x" * 40), token(kid="other"), token(kid=None), token(alg="HS384"),
        token(alg="HS512"), token(kid="old", key=KEY), token(alg="none", key=""), token()[:-2], token() + "A",
        f"{part({'alg': 'none', 'kid': 'new'})}.{part(claims())}.",
        f"{part({'alg': 'HS256', 'kid': ['new']})}.{part(claims())}.{part(b'x' * 32)}",
        f"{part({'alg': 'RS256', 'kid': 'new'})}.{part(claims())}.{part(b'x' * 32)}",
        f"{part(b'[' * 2500)}.{part(claims())}.x", f"{part(b'7')}.{part(b'7')}.x",
        "", ".", "..", "a.b.c", "x" * 4096, "é" * 10, "\x00", "Bearer",
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_a_token_with_a_foreign_signature_is_refused(text: str) -> None:
    assert refusal(text)[0] == "bad_token"


@pytest.mark.parametrize("claim", tokens.CLAIMS)
def test_every_claim_is_required(claim: str) -> None:
    code, message = refusal(token(**{claim: None}))
    assert code == "bad_token" and claim in message


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"}, {"aud": ["holdfast", "another"]}, {"aud": 7}, {"sub": 7}, {"jti": 7}, {"iat": "soon"},
        {"exp": "soon"}, {"exp": 1e400}, {"exp": True},
        {"iat": int(time.time()) + 90_000, "exp": int(time.time()) + 90_060},
        {"nbf": int(time.time()) + 90_000}, {"exp": int(time.time()) + 100_000}, {"sub": "guest:1"}, {"scope": "admin"},
        {"sessions": ["*"] * 65},
    ],
    ids=",".join,
)  # fmt: skip
def test_a_token_with_an_invalid_claim_is_refused(changes: dict[str, Any]) -> None:
    assert refusal(token(**changes))[0] == ("token_expired" if changes == {"exp": True} else "bad_token")


def test_an_oversized_token_is_refused_unread() -> None:
    assert "4096 bytes" in refusal(token(padding="x" * 4000))[1]


def test_the_largest_token_is_accepted() -> None:
    sessions = [f"{number:022}" for number in range(64)]
    text, _ = tokens.issue(sub="ext:" + "x" * 76, scope=claims()["scope"], sessions=sessions, life_s=3600)
    assert len(text) <= tokens.TOKEN_BYTES
    assert tokens.read(text)[1].sessions == tuple(sessions)


def test_an_expired_token_has_its_own_error() -> None:
    now = int(time.time())
    assert refusal(token(iat=now - 100, exp=now - 10))[0] == "token_expired"
    assert tokens.read(token(iat=now - 100, exp=now - 2))  # the other machine's clock may be a little behind


def test_without_keys_tokens_are_disabled(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": {}}
    assert "tokens are disabled" in refusal(token())[1]


def test_a_guessable_key_verifies_nothing(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": {"new": "short"}}
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        guessed = token(key="short")
    assert refusal(guessed)[0] == "bad_token"


@pytest.mark.parametrize(
    ("header", "found"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Bearer", ""), ("Bearer ", ""), ("Basic abc", None), ("", None)],
)
def test_a_token_is_found_in_its_header(header: str, found: str | None) -> None:
    assert token_in(header) == found


# Who it is


def ends(text: str) -> bool:
    with pytest.raises(HoldfastError) as refused:
        identify_by_token(text)
    return refused.value.code == "token_expired"


@pytest.mark.django_db
class TestIdentity:
    def test_a_tokens_identity_is_its_subject(self) -> None:
        identity = identify_by_token(token(scope="read", sessions=["A" * 22]))
        assert (identity.owner, identity.user_id) == (SUB, None)
        identity.check("read", "A" * 22)
        with pytest.raises(HoldfastError, match="send"):
            identity.check("send", "A" * 22)
        with pytest.raises(HoldfastError, match="not_found"):
            identity.check("read", "B" * 22)

    def test_a_cookie_identity_has_every_scope_but_publishing(self) -> None:
        for scope in ("read", "send", "approve", "cancel"):
            Identity("guest:1").check(scope, "A" * 22)
        with pytest.raises(HoldfastError, match="publish"):
            Identity("guest:1").check("publish", "A" * 22)

    def test_a_user_must_exist_and_be_active(self) -> None:
        user = get_user_model().objects.create_user("alice")
        text = token(sub=f"user:{user.pk}")
        identity = identify_by_token(text)
        assert (identity.owner, identity.user_id) == (f"user:{user.pk}", user.pk)
        User.objects.update(is_active=False)
        assert ends(text) and still_valid([identity, Identity("guest:1")]) == {Identity("guest:1")}
        User.objects.all().delete()
        assert ends(text)

    @pytest.mark.parametrize("pk", ["x", "007", "+7", "7.0", "7" * 30])
    def test_an_invalid_user_is_refused(self, pk: str) -> None:
        with pytest.raises(HoldfastError, match="bad_token"):
            identify_by_token(token(sub=f"user:{pk}"))


# Its end


@pytest.mark.django_db
class TestRevocation:
    def test_a_single_token_is_revoked(self) -> None:
        gone, other = token(jti="gone"), token(jti="other")
        identities = [identify_by_token(text) for text in (gone, other)]
        tokens.revoke("gone")
        tokens.revoke("gone")
        assert ends(gone) and still_valid(identities) == {identities[1]}

    def test_all_tokens_of_a_subject_are_revoked(self) -> None:
        now = int(time.time())
        before, after = token(iat=now - 60), token(iat=now + 2)
        identities = [identify_by_token(text) for text in (before, after, token(sub="ext:bob", iat=now - 60))]
        RevokedSubject.objects.create(sub=SUB, issued_before=timezone.now() - timedelta(hours=1))
        RevokedSubject.objects.create(sub=SUB)
        assert ends(before) and still_valid(identities) == set(identities[1:])

    def test_a_token_expires_with_time_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        identity = identify_by_token(token())
        assert identity.grant
        expires_at = identity.grant.expires_at
        monkeypatch.setattr(time, "time", lambda: expires_at + tokens.LEEWAY_S - 1)
        assert still_valid([identity]) == {identity}
        monkeypatch.setattr(time, "time", lambda: expires_at + tokens.LEEWAY_S)
        assert still_valid([identity]) == set()

    def test_checking_many_tokens_takes_two_queries(self, django_assert_num_queries: Any) -> None:
        identities = [identify_by_token(token()) for _ in range(5)]
        with django_assert_num_queries(2):
            assert still_valid(identities) == set(identities)

    def test_a_revocation_is_kept_as_long_as_a_token_may_live(self, settings: Any) -> None:
        tokens.revoke("t")
        RevokedSubject.objects.create(sub=SUB)
        retention.purge()
        assert RevokedToken.objects.count() == RevokedSubject.objects.count() == 1
        for kind in (RevokedToken, RevokedSubject):
            assert kind.objects.get().expires_at > timezone.now() + timedelta(seconds=3600 + tokens.LEEWAY_S)
            kind.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        retention.purge(batch=1)
        assert RevokedToken.objects.count() == RevokedSubject.objects.count() == 0


@pytest.mark.django_db
def test_sessions_are_found_by_patterns_as_they_are_checked() -> None:
    for id_ in ("abc" + "0" * 19, "ABC" + "0" * 19, "xyz" + "0" * 19):
        a_session(SUB, id=id_)
    for patterns in (["abc*"], ["xyz" + "0" * 19], ["AB*", "xyz*"], ["*"], ["no*"], ["no*", "*"]):
        _, grant = tokens.read(token(sessions=patterns))
        found = set(Session.objects.fitting(grant.sessions).values_list("pk", flat=True))
        assert found == {pk for pk in Session.objects.values_list("pk", flat=True) if grant.covers(pk)}
