"""Public keys of an identity provider, read from its JWKS address and kept: at each moment those of the last answer.

A token with an unknown key causes another request, at most every JWKS_REFRESH_S. Requests are made in a thread of
their own, so that a slow provider delays those alone who wait for its keys.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sessions_app import conf
from sessions_app.auth import jwks_request

# The one algorithm that a key verifies, by its type and curve: a token can't choose another one.
ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
MOST_KEYS = 100
RSA_BITS = range(2048, 8193)  # shorter keys can be broken, longer ones take long to verify

logger = logging.getLogger(__name__)
_thread = ThreadPoolExecutor(1, thread_name_prefix="jwks")


class ProviderKey(NamedTuple):
    """A public key. The fingerprint is of its material, so that another key with its `kid` is another key."""

    algorithm: str
    key: Any
    fingerprint: str


Keys = Mapping[str, ProviderKey]


def parse(body: bytes) -> Keys:
    """Return the keys of a JWKS document by their ids, without those that verify no tokens. Raises ValueError."""
    document = json.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("it is no JWKS: an object with a list of `keys`")
    if len(entries) > MOST_KEYS:
        raise ValueError(f"it has more than {MOST_KEYS} keys")
    keys: dict[str, ProviderKey] = {}
    for kid, key in _usable(entries):
        keys.setdefault(kid, key)
    return keys


def _usable(entries: list[dict[str, Any]]) -> Iterator[tuple[str, ProviderKey]]:
    for entry in entries:
        kid, algorithm = entry.get("kid"), _algorithm(entry)
        if not isinstance(kid, str) or algorithm is None:
            continue
        try:
            key = jwt.PyJWK(entry, algorithm).key
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            logger.warning("the identity provider's key %.80r is malformed: %s", kid, type(error).__name__)
            continue
        if isinstance(key, RSAPublicKey) and key.key_size not in RSA_BITS:
            logger.warning("the identity provider's key %.80r has %d bits: it is not used", kid, key.key_size)
            continue
        material = json.dumps([kid, algorithm, *(entry.get(name) for name in ("n", "e", "x", "y"))])
        yield kid, ProviderKey(algorithm, key, hashlib.sha256(material.encode()).hexdigest())


def _algorithm(entry: dict[str, Any]) -> str | None:
    """Return the algorithm that a key verifies; None for one that isn't for signatures, or is private."""
    kty, crv = entry.get("kty"), entry.get("crv")
    algorithm = ALGORITHMS.get((str(kty), None if kty == "RSA" else str(crv)))
    operations = entry.get("key_ops", ["verify"])
    is_for_signatures = entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    return algorithm if is_for_signatures and entry.get("alg", algorithm) == algorithm and "d" not in entry else None


class ProviderKeys:
    """The provider's keys, for any thread. `request` returns the JWKS document; `clock` counts seconds."""

    def __init__(self, request: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._clock = clock
        self._keys: Keys = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._has_failed = False
        self._under_way: Future[None] | None = None
        self._lock = threading.Lock()

    def current(self) -> Keys:
        """Return the keys; none if none could be read for JWKS_STALE_S. Old ones are read again in the background."""
        limits, age_s = conf.settings, self._age_s()
        if age_s > limits.jwks_max_age_s:
            self.refresh()
        return self._keys if age_s <= limits.jwks_max_age_s + limits.jwks_stale_s else {}

    def refresh(self) -> Future[None] | None:
        """Return the request under way, after beginning one if none is; None if the last one began just now."""
        with self._lock:
            if self._under_way is not None and not self._under_way.done():
                return self._under_way
            now = self._clock()
            if self._tried_at is not None and now - self._tried_at < conf.settings.jwks_refresh_s:
                return None
            self._tried_at = now
            self._under_way = _thread.submit(self._read)
            return self._under_way

    def _age_s(self) -> float:
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    def _read(self) -> None:
        began = self._clock()
        try:
            keys = parse(self._request())
        except Exception as error:  # whatever is wrong, the keys of before count for their time
            logger.warning("can't read the identity provider's keys: %s. %s", _described(error), self._consequence())
            self._has_failed = True
            return
        if self._has_failed or keys.keys() != self._keys.keys():
            logger.info("the identity provider has %d keys that verify tokens", len(keys))
        self._keys, self._read_at, self._has_failed = keys, began, False

    def _consequence(self) -> str:
        left_s = conf.settings.jwks_max_age_s + conf.settings.jwks_stale_s - self._age_s()
        if left_s > 0:
            return f"Those that are known count for another {left_s:.0f} s."
        return "Its tokens are refused until they can be read."


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")[:200]


def of_site() -> ProviderKeys | None:
    """Return the keys of the site's identity provider, or None if it has none."""
    limits = conf.settings
    if not (limits.jwks_url and limits.jwks_issuer and limits.jwks_audience):
        return None
    return _keys_at(limits.jwks_url, limits.jwks_private_addresses)


@functools.lru_cache(maxsize=1)
def _keys_at(url: str, allows_private: bool) -> ProviderKeys:
    return ProviderKeys(lambda: jwks_request.read(url, allows_private=allows_private))
