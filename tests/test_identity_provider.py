"""An identity provider's tokens: whose they are, what they allow, and every way to forge one."""

import asyncio
import base64
import hmac
import json
import time
from hashlib import sha256
from typing import Any

import jwt
import pytest
from django.test import Client

from sessions_app.auth import lookups, provider_keys, tokens
from sessions_app.auth.identity import identify_by_token, still_valid
from sessions_app.auth.provider_keys import ProviderKeys
from tests.support import tokens as own
from tests.support.api import refusal
from tests.support.identity_provider import (
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    OTHER_RSA,
    OWNER,
    PRIVATE,
    Clock,
    Provider,
    claims,
    clock,
    code,
    document,
    jwk,
    keys,
    known,
    pem,
    provider,
    read_again,
    serving,
    token,
)
from tests.support.stored import a_session

__all__ = ["clock", "keys", "known", "provider"]  # fixtures


def part(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], signature: bytes | None = None, *, key: bytes = b"", **changes: Any) -> str:
    """A token that PyJWT refuses to make; signed with HMAC unless a signature is given."""
    signed = f"{part(header)}.{part(claims(**changes))}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), sha256) if signature is None else signature)}"


@pytest.mark.usefixtures("known")
class TestClaims:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_each_algorithm_is_accepted(self, algorithm: str) -> None:
        owner, grant = tokens.read(token(algorithm))
        assert (owner, grant.sessions) == (OWNER, ("*",))
        assert grant.scopes == {"read", "send", "approve", "cancel"}

    def test_the_sites_own_tokens_count_beside_them(self) -> None:
        owner, grant = tokens.read(own.token())
        assert (owner, grant.key) == (own.SUB, "")

    @pytest.mark.parametrize(
        ("changes", "scopes"),
        [
            ({"scope": "openid holdfast:read"}, {"read"}),
            ({"scope": "holdfast:read holdfast:send profile"}, {"read", "send"}),
            ({"scope": None, "scp": ["openid", "holdfast:cancel"]}, {"cancel"}),
            ({"scope": None}, {"read", "send", "approve", "cancel"}),
            ({"scope": ""}, {"read", "send", "approve", "cancel"}),
            ({"scope": "read publish admin"}, {"read", "send", "approve", "cancel"}),  # others', by the same names
        ],
    )
    def test_scopes_limit_what_an_owner_may(self, changes: dict[str, Any], scopes: set[str]) -> None:
        assert tokens.read(token(**changes))[1].scopes == scopes

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "https://evil.example.com/"}, {"iss": ISSUER.rstrip("/")}, {"iss": None}, {"iss": [ISSUER]},
            {"aud": "https://other.example.com"}, {"aud": ["a", "b"]}, {"aud": None}, {"aud": "holdfast"}, {"aud": []},
            {"sub": None}, {"sub": ""}, {"sub": "a b"}, {"sub": "é"}, {"sub": "a\n"}, {"sub": "x" * 76}, {"sub": 7},
            {"exp": None}, {"iat": None}, {"exp": "soon"},
            {"scope": "holdfast:publish"}, {"scope": "holdfast:read holdfast:"}, {"scope": "holdfast:admin"},
            {"scope": 7}, {"scope": None, "scp": [7]}, {"scope": {"holdfast:read": 1}},
        ],
        ids=str,
    )  # fmt: skip
    def test_other_claims_are_refused(self, changes: dict[str, Any]) -> None:
        assert code(token(**changes)) == "bad_token"

    @pytest.mark.parametrize(("claim", "in_s"), [("exp", 9999), ("exp", 60.5), ("iat", 300), ("nbf", 300)])
    def test_other_times_are_refused(self, claim: str, in_s: float) -> None:
        assert code(token(**{claim: int(time.time()) + in_s})) == "bad_token"

    def test_an_expired_token_is_expired(self) -> None:
        now = int(time.time())
        assert code(token(iat=now - 600, exp=now - 60)) == "token_expired"

    @pytest.mark.parametrize("sub", ["user:1", "guest:1", "ext:alice", "x" * 75])
    def test_no_subject_is_one_of_the_sites_own_identities(self, sub: str) -> None:
        assert tokens.read(token(sub=sub))[0] == f"oidc:{sub}"

    def test_a_token_without_a_usable_id_has_one_of_its_own(self) -> None:
        ids = {tokens.read(token(jti=jti, iat=int(time.time()) - n))[1].jti for n, jti in enumerate([None, "a b", ""])}
        assert len(ids) == 3 and all(len(id_) == 64 for id_ in ids)
        assert tokens.read(token(jti="mine"))[1].jti == "mine"


@pytest.mark.usefixtures("known")
class TestForgeries:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_public_key_is_no_secret(self, algorithm: str) -> None:
        """HS256, signed with what everybody knows."""
        for kid in (algorithm, "new"):
            for key in (pem(algorithm), pem(algorithm).strip(), json.dumps(jwk(algorithm)).encode()):
                assert code(by_hand({"alg": "HS256", "kid": kid, "typ": "JWT"}, key=key)) == "bad_token"

    @pytest.mark.parametrize(
        "alg", ["none", "None", "NONE", "", None, 7, ["RS256"], "RS512", "PS256", "HS512", "rs256"]
    )
    def test_other_algorithms_are_refused(self, alg: Any) -> None:
        for signature in (b"", b"x" * 256):
            assert code(by_hand({"alg": alg, "kid": "RS256"}, signature)) == "bad_token"

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_key_verifies_its_own_algorithm_alone(self, algorithm: str) -> None:
        for other in set(ALGORITHMS) - {algorithm}:
            assert code(token(algorithm, header={"kid": other})) == "bad_token"

    def test_rsa_keys_verify_no_other_rsa_algorithm(self) -> None:
        for alg in ("RS384", "RS512", "PS256"):
            text = jwt.encode(claims(), PRIVATE["RS256"], algorithm=alg, headers={"kid": "RS256"})
            assert code(text) == "bad_token"

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_changed_token_is_refused(self, algorithm: str) -> None:
        head, body, signature = token(algorithm).split(".")
        assert code(f"{head}.{part(claims(sub='admin'))}.{signature}") == "bad_token"
        assert code(f"{head}.{body}.{signature[:-4]}") == "bad_token"
        assert code(f"{head}.{body}.") == "bad_token"

    def test_a_token_of_another_key_is_refused(self) -> None:
        assert code(token(key=OTHER_RSA)) == "bad_token"

    def test_keys_within_a_token_are_ignored(self) -> None:
        own_key = jwk("RS256", OTHER_RSA, kid="mine")
        for header in ({"jwk": own_key}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/"}):
            assert code(token(key=OTHER_RSA, header=header)) == "bad_token"
            assert code(token(key=OTHER_RSA, header={"kid": "mine"} | header)) == "bad_token"

    @pytest.mark.parametrize("header", [{"typ": "logout+jwt"}, {"typ": "dpop+jwt"}, {"crit": ["exp"]}, {"b64": False}])
    def test_other_kinds_of_tokens_are_refused(self, header: dict[str, Any]) -> None:
        assert code(by_hand({"alg": "RS256", "kid": "RS256"} | header, b"x" * 256)) == "bad_token"
        if "typ" in header:
            assert code(token(header=header)) == "bad_token"

    @pytest.mark.parametrize("typ", ["at+jwt", "JWT", "application/at+jwt"])
    def test_access_tokens_name_themselves(self, typ: str) -> None:
        assert tokens.read(token(header={"typ": typ}))[0] == OWNER

    def test_the_sites_own_keys_verify_no_tokens_of_the_providers(self) -> None:
        for kid, key in own.KEYS.items():
            text = jwt.encode(claims(), key, algorithm="HS256", headers={"kid": kid})
            assert code(text) == "bad_token"


@pytest.mark.django_db
class TestRequests:
    def test_a_person_uses_the_api(self, known: ProviderKeys, client: Client) -> None:
        a_session("user:1")
        header = own.bearer(token())
        created = client.post("/api/sessions/", {}, content_type="application/json", headers=header)
        assert created.status_code == 201
        assert [item["id"] for item in client.get("/api/sessions/", headers=header).json()["results"]] == [
            created.json()["id"]
        ]
        limited = own.bearer(token(scope="holdfast:read"))
        refused = client.post("/api/sessions/", {}, content_type="application/json", headers=limited)
        assert refusal(refused) == (403, "forbidden_scope")

    def test_the_first_token_waits_for_the_keys(self, keys: ProviderKeys, provider: Provider, client: Client) -> None:
        assert client.get("/api/sessions/", headers=own.bearer(token())).status_code == 200
        assert len(provider.requests) == 1

    def test_an_outage_is_no_fault_of_the_tokens(self, keys: ProviderKeys, provider: Provider, client: Client) -> None:
        provider.status = 500
        response = client.get("/api/sessions/", headers=own.bearer(token()))
        assert refusal(response) == (503, "keys_unavailable") and response.json()["retryable"]

    def test_open_connections_end_with_the_key(self, known: ProviderKeys, provider: Provider, clock: Clock) -> None:
        gone, kept = identify_by_token(token()), identify_by_token(token("ES256"))
        provider.body = document(jwk("ES256"))
        clock.now += 10
        read_again(known)
        assert still_valid([gone, kept]) == {kept}

    def test_a_token_is_revoked_by_its_id(self, known: ProviderKeys) -> None:
        identity = identify_by_token(token(jti="gone"))
        tokens.revoke("gone")
        assert still_valid([identity]) == set()


@pytest.mark.django_db(transaction=True)
async def test_sockets_find_the_key_over_http(settings: Any) -> None:
    """The whole way, with a server: the address, the request, the keys and the token."""
    provider = Provider()
    provider_keys._keys_at.cache_clear()
    with serving(provider) as port:
        settings.DEBUG = True
        settings.HOLDFAST = settings.HOLDFAST | {
            "JWKS_URL": f"http://localhost:{port}/keys", "JWKS_ISSUER": ISSUER, "JWKS_AUDIENCE": AUDIENCE,
            "JWKS_PRIVATE_ADDRESSES": True,
        }  # fmt: skip
        identities = await asyncio.gather(*(lookups.identify_by_token(token(alg)) for alg in ALGORITHMS))
    assert {identity.owner for identity in identities} == {OWNER}
    assert [path for path, _ in provider.requests] == ["/keys"]
