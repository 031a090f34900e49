"""Token claims: what they allow, and how invalid ones are refused."""

from typing import Any

import pytest

from sessions_app.core.errors import HoldfastError
from sessions_app.core.tokens import OWNERS_SCOPES, Grant, read_claims, scope_of

S = "AbCdEfGhIjKlMnOpQrS_-0"
CLAIMS = {"sub": "ext:alice", "scope": "read send", "sessions": [S], "iat": 100, "exp": 400, "jti": "t-1"}


def refusal(**changes: Any) -> str:
    with pytest.raises(HoldfastError) as refused:
        read_claims(CLAIMS | changes, most_s=300)
    assert refused.value.code == "bad_token"
    return refused.value.message


def test_claims_are_parsed() -> None:
    assert read_claims(CLAIMS, most_s=300) == (
        "ext:alice",
        Grant("t-1", 100, 400, frozenset({"read", "send"}), (S,)),
    )


@pytest.mark.parametrize("sub", ["user:5", "ext:alice@example.com", "agent:billing", "a-b_2:x", "ext:" + "x" * 76])
def test_valid_subjects(sub: str) -> None:
    assert read_claims(CLAIMS | {"sub": sub}, most_s=300)[0] == sub


@pytest.mark.parametrize(
    "sub",
    ["", "alice", "ext:", ":alice", "guest:1", "Guest:1", "ext:a b", "ext:a\n", "ext:é", "ext:\x00", "ext:" + "x" * 77,
     7, None, ["ext:alice"]],
)  # fmt: skip
def test_invalid_subjects_are_refused(sub: Any) -> None:
    assert "`sub`" in refusal(sub=sub)


@pytest.mark.parametrize(
    "scope", ["", " ", "admin", "read,send", "read  send", "READ", "read admin", 7, None, ["read"]]
)
def test_invalid_scopes_are_refused(scope: Any) -> None:
    assert "`scope`" in refusal(scope=scope)


@pytest.mark.parametrize(
    "sessions", [[], [S] * 65, S, ["short"], [S + "x"], [S + "*"], ["a*b*"], ["**"], ["ä*"], [7], [None], None, {S: 1}]
)
def test_invalid_session_lists_are_refused(sessions: Any) -> None:
    assert "`sessions`" in refusal(sessions=sessions)


def test_a_worker_token_names_its_agents() -> None:
    _, grant = read_claims(CLAIMS | {"scope": "work", "agents": ["billing", "help desk"]}, most_s=300)
    assert grant.names("billing") and grant.names("help desk") and not grant.names("bill")
    assert read_claims(CLAIMS | {"scope": "work", "agents": ["*"]}, most_s=300)[1].names("any")


@pytest.mark.parametrize("agents", [None, [], ["x"] * 65, "billing", [""], ["x" * 65], ["a\n"], [7], [None]])
def test_invalid_agents_are_refused(agents: Any) -> None:
    assert "`agents`" in refusal(scope="read work", agents=agents)


@pytest.mark.parametrize("jti", ["", "x" * 65, "a b", "a/b", 7, None])
def test_invalid_ids_are_refused(jti: Any) -> None:
    assert "`jti`" in refusal(jti=jti)


@pytest.mark.parametrize(
    ("iat", "exp"), [(100, 401), (100, 100), (100, 99), (100.5, 200), ("100", "200"), (None, 200), (100, 2**63)]
)
def test_invalid_lifetimes_are_refused(iat: Any, exp: Any) -> None:
    assert "`iat`" in refusal(iat=iat, exp=exp)


@pytest.mark.parametrize(
    ("patterns", "covered"),
    [([S], True), (["*"], True), (["AbC*"], True), (["x*", S], True), (["abc*"], False), ([S[:-1] + "1"], False),
     (["AbCdEfGhIjKlMnOpQrS_-*"], True)],
)  # fmt: skip
def test_covered_sessions(patterns: list[str], covered: bool) -> None:
    _, grant = read_claims(CLAIMS | {"sessions": patterns}, most_s=300)
    assert grant.covers(S) == covered
    assert grant.covers("*") == ("*" in patterns)


def test_each_kind_of_signal_has_its_scope() -> None:
    kinds = ["message", "steer", "retry", "tool-result", "approve", "deny", "cancel", "nonsense"]
    assert [scope_of(kind) for kind in kinds] == ["send"] * 4 + ["approve"] * 2 + ["cancel", "send"]


def test_an_owner_has_every_scope_but_publishing() -> None:
    assert OWNERS_SCOPES == {"read", "send", "approve", "cancel"}
