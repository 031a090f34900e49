"""An identity provider's keys: which count, when they are read, and how they end."""

import asyncio
import logging
import threading
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sessions_app.auth import provider_keys, provider_tokens, tokens
from sessions_app.auth.provider_keys import ProviderKeys
from tests.support import tokens as own
from tests.support.identity_provider import (
    ALGORITHMS,
    OTHER_RSA,
    OWNER,
    Clock,
    Provider,
    clock,
    code,
    document,
    jwk,
    keys,
    known,
    provider,
    read_again,
    token,
)

__all__ = ["clock", "keys", "known", "provider"]  # fixtures


class TestKeyDocument:
    @pytest.mark.parametrize(
        "entry",
        [
            {"kty": "oct", "k": "eHh4", "kid": "RS256"}, jwk("RS256", alg="PS256"), jwk("RS256", alg="HS256"),
            jwk("RS256", use="enc"), jwk("RS256", key_ops=["encrypt"]), jwk("RS256", kid=None), jwk("RS256", kid=7),
            jwk("RS256", n="AQAB"), jwk("RS256", n=7), jwk("RS256", d="AQAB"), jwk("RS256", kty="EC"),
            jwk("ES256", crv="P-384", kid="RS256"), jwk("ES256", x="AA", kid="RS256"), {"kid": "RS256"},
            jwk("EdDSA", crv="Ed448", kid="RS256", alg=None), {"kty": ["RSA"], "kid": "RS256"},
        ],
        ids=lambda entry: str(sorted(entry)) + str(entry.get("alg")),
    )  # fmt: skip
    def test_unusable_keys_are_left_out(self, entry: dict[str, Any]) -> None:
        assert provider_keys.parse(document(entry, jwk("ES256"))).keys() == {"ES256"}

    def test_a_key_may_leave_out_what_follows_from_it(self) -> None:
        for algorithm in ALGORITHMS:
            [key] = provider_keys.parse(document(jwk(algorithm, alg=None, use=None))).values()
            assert key.algorithm == algorithm

    def test_short_keys_are_left_out(self) -> None:
        assert provider_keys.parse(document(jwk("RS256", rsa.generate_private_key(65537, 1024)))) == {}

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [7]}', b"\xff",
                 document(*[jwk("ES256", kid=str(n)) for n in range(101)])],
    )  # fmt: skip
    def test_what_is_no_document_is_refused(self, body: bytes) -> None:
        with pytest.raises(ValueError):
            provider_keys.parse(body)

    def test_of_two_keys_with_one_id_the_first_counts(self) -> None:
        keys = provider_keys.parse(document(jwk("RS256"), jwk("RS256", OTHER_RSA)))
        assert keys == provider_keys.parse(document(jwk("RS256")))


class TestRotation:
    """Keys come, go, and can't be read."""

    def test_nothing_is_requested_for_the_sites_own_tokens(self, keys: ProviderKeys, provider: Provider) -> None:
        asyncio.run(provider_tokens.await_key(own.token()))
        tokens.read(own.token())
        assert provider.requests == []

    def test_before_the_keys_were_read_a_token_may_be_tried_again(self, keys: ProviderKeys, provider: Provider) -> None:
        provider.status = 500
        assert code(token()) == "keys_unavailable"
        asyncio.run(provider_tokens.await_key(token()))
        assert code(token()) == "keys_unavailable"

    def test_an_unknown_key_is_requested_once_in_a_while(
        self, known: ProviderKeys, provider: Provider, clock: Clock
    ) -> None:
        provider.body = document(jwk("RS256"), jwk("ES256", kid="next"))
        text = token("ES256", header={"kid": "next"})

        async def many(kids: list[str]) -> None:
            forged = [token("ES256", header={"kid": kid}) for kid in kids]
            await asyncio.gather(*map(provider_tokens.await_key, forged))

        asyncio.run(many([f"k{n}" for n in range(20)]))
        assert len(provider.requests) == 1 and code(text) == "bad_token"
        clock.now += 10
        asyncio.run(many([*(f"k{n}" for n in range(20)), "next"]))
        assert len(provider.requests) == 2 and tokens.read(text)[0] == OWNER
        asyncio.run(many([f"k{n}" for n in range(20)]))
        assert len(provider.requests) == 2

    def test_a_removed_key_ends_its_tokens(self, known: ProviderKeys, provider: Provider, clock: Clock) -> None:
        old, other = token("RS256"), token("ES256")
        before = [tokens.read(text) for text in (old, other)]
        provider.body = document(jwk("ES256"))
        clock.now += 301
        tokens.read(other)  # which begins a request in the background
        assert known._under_way is not None
        known._under_way.result(10)
        assert code(old) == "bad_token"
        assert tokens.read(other) == before[1]
        assert [provider_tokens.has_lost_key(grant) for _, grant in before] == [True, False]

    def test_another_key_with_its_id_is_another_key(
        self, known: ProviderKeys, provider: Provider, clock: Clock
    ) -> None:
        text = token()
        tokens.read(text)
        provider.body = document(jwk("RS256", OTHER_RSA))
        clock.now += 10
        read_again(known)
        assert code(text) == "bad_token"
        assert tokens.read(token(key=OTHER_RSA))[0] == OWNER

    def test_keys_outlive_an_outage_for_a_while(
        self, known: ProviderKeys, provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        text = token()
        tokens.read(text)
        provider.status = 500
        clock.now += 300 + 21_600
        with caplog.at_level(logging.INFO, "sessions_app.auth.provider_keys"):
            read_again(known)
            assert tokens.read(text)[0] == tokens.read(token())[0] == OWNER
            assert "no route to host. Those that are known count for another 0 s" not in caplog.text
            assert "can't read the identity provider's keys: OSError: no route to host" in caplog.text
            clock.now += 1
            assert code(text) == code(token()) == "keys_unavailable"
            provider.status = 200
            clock.now += 10
            read_again(known)
            assert "the identity provider has 3 keys" in caplog.text
        assert tokens.read(text)[0] == OWNER

    def test_an_answer_that_is_no_document_changes_nothing(
        self, known: ProviderKeys, provider: Provider, clock: Clock
    ) -> None:
        provider.body = b"<html>Sign in to the hotel's network</html>"
        clock.now += 10
        read_again(known)
        assert tokens.read(token())[0] == OWNER

    def test_a_slow_provider_delays_those_who_wait_for_its_keys_alone(
        self, keys: ProviderKeys, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        release = threading.Event()
        monkeypatch.setattr(keys, "_request", lambda: release.wait(10) and provider.body)

        async def ask() -> None:
            waiting = asyncio.create_task(provider_tokens.await_key(token()))
            await asyncio.wait_for(provider_tokens.await_key(own.token()), 1)
            left = asyncio.create_task(provider_tokens.await_key(token()))
            await asyncio.sleep(0)
            left.cancel()  # a client that goes takes the request from nobody
            assert not waiting.done()
            release.set()
            await asyncio.wait_for(waiting, 10)

        asyncio.run(ask())
        assert tokens.read(token())[0] == OWNER

    def test_without_an_issuer_no_token_counts(self, keys: ProviderKeys, settings: Any) -> None:
        for name in ("JWKS_ISSUER", "JWKS_AUDIENCE", "JWKS_URL"):
            settings.HOLDFAST = settings.HOLDFAST | {name: ""}
            assert code(token()) == "bad_token"
