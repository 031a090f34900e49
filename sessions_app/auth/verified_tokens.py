"""Verified tokens: subjects and grants by the hash of the token, so that no signature is checked twice.

A token that was valid stays so until it expires, unless the site's settings change: then everything is forgotten.
Revocation is not cached, it is read from the database as ever.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import sha256

from sessions_app import conf
from sessions_app.conf import HoldfastSettings
from sessions_app.core.tokens import Grant

MOST = 10_000  # tokens kept, of at most 2 KB each; the one that was unused for longest goes first

Verified = tuple[str, Grant]


class VerifiedTokens:
    """A bounded table of verified tokens, for any thread. It holds no token that could be stolen from it."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._settings: HoldfastSettings | None = None  # that the tokens were verified with: keys, and the longest life
        self._kept: OrderedDict[bytes, Verified] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, token: str) -> Verified | None:
        """Return the subject and the grant of a token that was verified; it may have expired since."""
        digest = _digest(token)
        with self._lock:
            self._forget_if_changed()
            found = self._kept.get(digest)
            if found is not None:
                self._kept.move_to_end(digest)
            return found

    def keep(self, token: str, verified: Verified) -> None:
        digest = _digest(token)
        with self._lock:
            self._forget_if_changed()
            self._kept[digest] = verified
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def _forget_if_changed(self) -> None:
        if self._settings is not conf.settings:
            self._settings = conf.settings
            self._kept.clear()


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
