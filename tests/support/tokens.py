"""Tokens for tests: valid ones, and any kind of invalid one."""

import time
import uuid
from typing import Any

import jwt

KEY = "a key for tests alone that is long enough for the other algorithms which are refused"
OLD_KEY = "the key before it which still verifies what it has signed"
KEYS = {"new": KEY, "old": OLD_KEY}
SUB = "ext:alice"


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a token with every scope; one that is None is left out."""
    now = int(time.time())
    right: dict[str, Any] = {
        "aud": "holdfast", "sub": SUB, "scope": "read send approve cancel publish", "sessions": ["*"],
        "iat": now, "exp": now + 600, "jti": uuid.uuid4().hex,
    }  # fmt: skip
    return {name: value for name, value in (right | changes).items() if value is not None}


def token(*, key: str = KEY, kid: Any = "new", alg: str = "HS256", **changes: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm=alg, headers=headers)


def bearer(text: str) -> dict[str, str]:
    """The header that carries it."""
    return {"Authorization": f"Bearer {text}"}
