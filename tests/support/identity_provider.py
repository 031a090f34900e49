"""An identity provider in this process: keys of each algorithm, tokens, its JWKS document, and fixtures."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from sessions_app.auth import provider_keys, tokens
from sessions_app.auth.provider_keys import ProviderKeys
from sessions_app.core.errors import HoldfastError
from tests.support.tokens import KEYS

ISSUER, AUDIENCE, SUB = "https://id.example.com/", "https://chat.example.com", "auth0|507f1f77"
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
OWNER = f"oidc:{SUB}"
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
OTHER_RSA = rsa.generate_private_key(65537, 2048)


def jwk(algorithm: str, private: Any = None, **changes: Any) -> dict[str, Any]:
    """Return the public key of an algorithm as a JWKS document has it; a member that is None is left out."""
    public = (private or PRIVATE[algorithm]).public_key()
    to_jwk: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm].to_jwk
    members = json.loads(to_jwk(public)) | {"kid": algorithm, "use": "sig", "alg": algorithm} | changes
    return {name: value for name, value in members.items() if value is not None and name != "key_ops"} | {
        name: changes[name] for name in ("key_ops",) if name in changes
    }


def pem(algorithm: str) -> bytes:
    """Return a public key as anyone can have it."""
    found: bytes = PRIVATE[algorithm].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def document(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys or [jwk(algorithm) for algorithm in PRIVATE]}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a token; one that is None is left out."""
    now = int(time.time())
    right: dict[str, Any] = {
        "iss": ISSUER, "aud": [AUDIENCE, f"{ISSUER}userinfo"], "sub": SUB, "iat": now, "exp": now + 600,
        "jti": uuid.uuid4().hex, "scope": "openid profile",
    }  # fmt: skip
    return {name: value for name, value in (right | changes).items() if value is not None}


def token(algorithm: str = "RS256", *, key: Any = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
    headers: Any = {"kid": algorithm} | (header or {})
    payload = json.dumps(claims(**changes)).encode()  # of any type: `jwt.encode` refuses some
    return jwt.PyJWS().encode(payload, key or PRIVATE[algorithm], algorithm=algorithm, headers=headers)


class Provider:
    """What the server answers, and the requests that came. `answer` may be replaced by any handling of a request."""

    def __init__(self) -> None:
        self.body = document()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self.answer_at_once

    def answer_at_once(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(self.status)
        for name, value in (self.headers | {"Content-Length": str(len(self.body))}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.body)


@contextmanager
def serving(provider: Provider, wrap: Callable[[Any], Any] = lambda socket: socket) -> Iterator[int]:
    """Serve a provider's document on a port of 127.0.0.1; `wrap` makes a TLS socket of the server's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            try:
                provider.answer(self)
            except OSError:
                pass  # the client has gone

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = wrap(server.socket)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Clock:
    """Seconds, as the tests set them."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def keys(provider: Provider, clock: Clock, settings: Any, monkeypatch: pytest.MonkeyPatch) -> ProviderKeys:
    """The site's provider, whose document is read without a server."""

    def request() -> bytes:
        provider.requests.append(("", {}))
        if provider.status != 200:
            raise OSError("no route to host")
        return provider.body

    settings.HOLDFAST = settings.HOLDFAST | {
        "TOKEN_KEYS": KEYS, "JWKS_URL": "https://id.example.com/keys", "JWKS_ISSUER": ISSUER,
        "JWKS_AUDIENCE": AUDIENCE, "TOKEN_MAX_S": 3600,
    }  # fmt: skip
    store = ProviderKeys(request, clock)
    monkeypatch.setattr(provider_keys, "_keys_at", lambda url, allows_private: store)
    return store


@pytest.fixture
def known(keys: ProviderKeys) -> ProviderKeys:
    """The same, and its document has been read."""
    read_again(keys)
    return keys


def read_again(keys: ProviderKeys) -> None:
    request = keys.refresh()
    assert request is not None
    request.result(10)


def code(text: str) -> str:
    with pytest.raises(HoldfastError) as refused:
        tokens.read(text)
    return refused.value.code
