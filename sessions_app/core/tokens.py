"""Token claims, checked (PROTOCOL.md §13). `auth.tokens` checks a token's signature and age."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sessions_app.core.errors import HoldfastError

SCOPES = ("read", "send", "approve", "cancel", "publish", "work")
BACKEND_SCOPES = frozenset({"publish", "work"})  # reach sessions of any owner
OWNERS_SCOPES = frozenset(SCOPES) - BACKEND_SCOPES  # what the owner of a session may do without a token
ALL = "*"  # the pattern that every session fits, and every agent
MOST_SESSIONS = 64  # patterns in one token
MOST_AGENTS = 64  # names in one token
AGENT_LENGTH = 64  # of the columns that name an agent
SUBJECT_LENGTH = 80
# Guests are known by their cookie alone. No space and no control character: owners stand in logs.
SUBJECT = re.compile(r"(?!guest:)[a-z][a-z0-9_-]*:[!-~]+\Z")
PATTERN = re.compile(r"(?:[A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{0,21}\*)\Z")
TOKEN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")

_SCOPE_OF_KIND = {
    "message": "send", "steer": "send", "retry": "send", "tool-result": "send",
    "approve": "approve", "deny": "approve",
    "cancel": "cancel",
}  # fmt: skip


def scope_of(kind: str) -> str:
    """Return the scope that a signal of this kind needs."""
    return _SCOPE_OF_KIND.get(kind, "send")  # an unknown kind is refused where signals are read


class Grant(NamedTuple):
    """The rights that a token grants. Times are seconds since 1970, as its claims have them."""

    jti: str
    issued_at: int
    expires_at: int
    scopes: frozenset[str]
    sessions: tuple[str, ...]
    issued_by: str = ""  # the identity that had it issued; empty if the signer doesn't say
    key: str = ""  # fingerprint of the identity provider's key that signed it; empty for the site's own keys
    agents: tuple[str, ...] = ()  # names that it may work as, with the scope `work`

    def covers(self, session: str) -> bool:
        """Return whether a session's id fits one of the patterns. `ALL` itself fits only `ALL`."""
        return any(_fits(session, pattern) for pattern in self.sessions)

    def names(self, agent: str) -> bool:
        """Return whether it may work as this agent."""
        return agent in self.agents or ALL in self.agents

    @property
    def is_backend(self) -> bool:
        """Return whether it acts for many people from one address."""
        return not BACKEND_SCOPES.isdisjoint(self.scopes)


def _fits(session: str, pattern: str) -> bool:
    return session.startswith(pattern[:-1]) if pattern.endswith("*") else session == pattern


def read_claims(claims: Mapping[str, Any], *, most_s: int) -> tuple[str, Grant]:
    """Return the subject and the grant of a token with these claims. Raises bad_token.

    `most_s`: the longest life of a token.
    """
    subject, scope, sessions = claims["sub"], claims["scope"], claims["sessions"]
    issued_at, expires_at, jti = claims["iat"], claims["exp"], claims["jti"]
    issuer, agents = claims.get("by"), claims.get("agents")
    for problem in (
        subject_problem(subject), scope_problem(scope), sessions_problem(sessions), id_problem(jti),
        issuer_problem(issuer), times_problem(issued_at, expires_at, most_s), agents_problem(agents, scope),
    ):  # fmt: skip
        if problem:
            raise HoldfastError("bad_token", problem)
    scopes = frozenset(scope.split(" "))
    return subject, Grant(jti, issued_at, expires_at, scopes, tuple(sessions), issuer or "", agents=tuple(agents or ()))


# Problems of single claims; empty if there is none


def subject_problem(subject: object) -> str:
    if isinstance(subject, str) and len(subject) <= SUBJECT_LENGTH and SUBJECT.match(subject):
        return ""
    return f"`sub` is who the token acts as, such as ext:alice: at most {SUBJECT_LENGTH} characters, and no guest."


def scope_problem(scope: object) -> str:
    if isinstance(scope, str) and set(scope.split(" ")) <= set(SCOPES):
        return ""
    return f"`scope` is some of {', '.join(SCOPES)}, separated by spaces."


def sessions_problem(sessions: object) -> str:
    if isinstance(sessions, list) and 0 < len(sessions) <= MOST_SESSIONS and all(map(_is_pattern, sessions)):
        return ""
    return f"`sessions` is a list of 1 to {MOST_SESSIONS} sessions' ids, or prefixes of ids followed by *."


def id_problem(jti: object) -> str:
    if isinstance(jti, str) and TOKEN_ID.match(jti):
        return ""
    return "`jti` is 1 to 64 characters of A-Z a-z 0-9 _ . : -."


def issuer_problem(issuer: object) -> str:
    if issuer is None or not subject_problem(issuer):
        return ""
    return "`by`, if there is one, is the identity that had the token issued, in the form of `sub`."


def agents_problem(agents: object, scope: object) -> str:
    """`agents` belongs to the scope `work`, and to no other."""
    if agents is None:
        works = isinstance(scope, str) and "work" in scope.split(" ")
        return "The scope `work` needs `agents`, the names of agents to work as." if works else ""
    if isinstance(agents, list) and 0 < len(agents) <= MOST_AGENTS and all(map(is_agent_name, agents)):
        return ""
    return f"`agents` is a list of 1 to {MOST_AGENTS} names of agents, or of * alone."


def is_agent_name(name: object) -> bool:
    """Return whether an agent may have this name."""
    return isinstance(name, str) and 0 < len(name) <= AGENT_LENGTH and name.isprintable()


def _is_pattern(pattern: object) -> bool:
    return isinstance(pattern, str) and bool(PATTERN.match(pattern))


def times_problem(issued_at: object, expires_at: object, most_s: int) -> str:
    if not isinstance(issued_at, int) or not isinstance(expires_at, int):
        return "`iat` and `exp` are whole seconds since 1970."
    if not 0 < expires_at - issued_at <= most_s:
        return f"`exp` is at most {most_s} s after `iat`."
    return ""
