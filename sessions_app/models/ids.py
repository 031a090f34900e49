"""Ids that can't be guessed, and epochs."""

import base64
import hashlib
import secrets

ID_BYTES = 16  # 128 random bits: an id can't be guessed, though knowing one opens nothing
EPOCH_BYTES = 6  # only has to differ from the same session's earlier epochs and from other sessions'


def new_id() -> str:
    """Return 22 characters of `A-Za-z0-9_-`; the first is no dash, since commands take ids as arguments."""
    while (id_ := secrets.token_urlsafe(ID_BYTES)).startswith("-"):
        pass
    return id_


def derived_id(*parts: str | int) -> str:
    """Return an id like `new_id`'s, always the same for the same parts."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return base64.urlsafe_b64encode(digest[:ID_BYTES]).decode().rstrip("=").replace("-", "_")


def new_uid() -> str:
    """Return the message id of a response."""
    return f"m_{new_id()}"


def new_epoch() -> str:
    """Return 12 hexadecimal characters, so that a cursor splits at its only dash."""
    return secrets.token_hex(EPOCH_BYTES)
