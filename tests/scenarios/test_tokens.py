"""Tokens against real servers, which treat headers and subprotocols differently."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.harness import DEADLINE_S, StartServer
from tests.support.identity_provider import AUDIENCE, ISSUER, Provider, document, jwk, serving
from tests.support.identity_provider import SUB as PROVIDER_SUB
from tests.support.identity_provider import token as provider_token
from tests.support.tokens import KEYS, bearer, token

ORIGIN = "https://app.example.com"
SETTINGS = {
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in KEYS.items()),
    "HOLDFAST_ORIGINS": ORIGIN,
}


@pytest.mark.parametrize("command", ["daphne", "uvicorn"])
async def test_a_token_opens_every_transport(start_server: StartServer, command: str) -> None:
    server = start_server(command, **SETTINGS)
    largest = token(sessions=["*", *(f"{number:022}" for number in range(63))], sub="ext:" + "x" * 76)
    async with httpx.AsyncClient(base_url=server.url, headers=bearer(largest), timeout=DEADLINE_S) as http:
        created = await http.post("/api/sessions/", json={"agent": ""})
        assert created.status_code == 201, created.text
        session = created.json()["id"]
        assert (await http.get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["frames"][1]["type"] == "attached"
        asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        preflight = await http.request("OPTIONS", "/api/stream/", headers=asked)
        assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
        too_large = await http.post("/api/stream/", content=b"x" * 200_000, headers={"Origin": ORIGIN})
        assert (too_large.status_code, too_large.headers["Access-Control-Allow-Origin"]) == (413, ORIGIN)
    options: Any = {"compression": None, "open_timeout": DEADLINE_S}
    for way in (
        {"additional_headers": bearer(largest)},
        {"subprotocols": ["holdfast", f"bearer.{largest}"], "origin": "http://elsewhere.example"},
    ):
        async with connect(server.ws_url, **options, **way) as socket:
            assert socket.subprotocol == ("holdfast" if "subprotocols" in way else None)
            assert json.loads(await socket.recv())["type"] == "connected"
            await socket.send(json.dumps({"type": "attach", "session": session}))
            assert json.loads(await socket.recv())["type"] == "attached"
    assert largest.rsplit(".", 1)[1] not in server.log


@pytest.mark.parametrize("command", ["daphne", "uvicorn"])
async def test_an_identity_providers_token_opens_requests_and_sockets(start_server: StartServer, command: str) -> None:
    provider = Provider()
    with serving(provider) as port:
        server = start_server(
            command,
            HOLDFAST_JWKS_URL=f"http://localhost:{port}/keys",
            HOLDFAST_JWKS_ISSUER=ISSUER,
            HOLDFAST_JWKS_AUDIENCE=AUDIENCE,
            HOLDFAST_JWKS_PRIVATE_ADDRESSES="true",
            HOLDFAST_JWKS_REFRESH_S="1",
            HOLDFAST_RECHECK_MS="200",
        )
        text = provider_token("ES256")
        async with connect(server.ws_url, subprotocols=["holdfast", f"bearer.{text}"]) as socket:  # type: ignore[list-item]
            assert json.loads(await socket.recv())["actor"] == f"oidc:{PROVIDER_SUB}"
            async with httpx.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as http:
                created = await http.post("/api/sessions/", json={"agent": ""}, headers=bearer(text))
                assert created.status_code == 201, created.text
                assert len(provider.requests) == 1
                provider.body = document(jwk("RS256"))  # the key is removed, which a new one's token makes known
                async with asyncio.timeout(DEADLINE_S):
                    while len(provider.requests) == 1:
                        unknown = bearer(provider_token(header={"kid": "unknown"}))
                        assert (await http.get("/api/sessions/", headers=unknown)).status_code == 401
                assert (await http.get("/api/sessions/", headers=bearer(text))).status_code == 401
            async with asyncio.timeout(DEADLINE_S):
                assert json.loads(await socket.recv())["code"] == "token_expired"
