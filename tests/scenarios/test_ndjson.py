"""NDJSON uploads with curl against real servers: shown as they arrive, ended as they end."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.services import require
from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer
from tests.support.person import text_of
from tests.support.tokens import KEYS, token
from tests.support.writer import Chunk, delta, finish, start, text_start

SETTINGS = {
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in KEYS.items()),
    "HOLDFAST_RECHECK_MS": "200",
    "HOLDFAST_LEASE_MS": "3000",
}
DOCUMENT = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text()


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, start_shared_server: StartServer) -> Server:
    require("curl")
    return start_shared_server(request.param, **SETTINGS)


@pytest.fixture(params=["daphne", "uvicorn"])
def mortal(request: pytest.FixtureRequest, start_server: StartServer) -> Server:
    """A server that a test may stop."""
    return start_server(request.param, **SETTINGS)


class Curl:
    """A curl that sends what it is given, when it is given it."""

    def __init__(self, server: Server, session: str, uid: str = "m_curl", *, text: str = "", **headers: str) -> None:
        given = {
            "Authorization": f"Bearer {text or token(sub='agent:shell', scope='publish')}",
            "Content-Type": "application/x-ndjson",
        } | headers
        self.command = [
            "curl", "-sS", "-N", "-T", ".", "-X", "POST", "-w", "\n%{http_code}",
            *(word for name, value in given.items() for word in ("-H", f"{name}: {value}")),
            f"{server.url}/api/sessions/{session}/publish/?message={uid}",
        ]  # fmt: skip

    async def __aenter__(self) -> "Curl":
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def say(self, *chunks: Chunk | bytes) -> None:
        assert self.process.stdin
        for chunk in chunks:
            self.process.stdin.write(chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode() + b"\n")
        await self.process.stdin.drain()

    async def answer(self, *, close: bool = True) -> tuple[int, dict[str, Any]]:
        """The status and body that the server answers."""
        if close:
            assert self.process.stdin
            self.process.stdin.close()
        assert self.process.stdout
        output = (await asyncio.wait_for(self.process.stdout.read(), DEADLINE_S)).decode()
        body, _, status = output.rpartition("\n")
        return int(status), json.loads(body or "{}")


async def begun(reader: Follower, session: str, curl: Curl) -> None:
    """Send the first words, which the reader is shown while the request continues."""
    await curl.say(start("m_curl"), text_start(), delta("Hel"))
    await reader.wait_until(lambda: reader.sessions[session].text == "Hel")


async def a_reader(server: Server) -> tuple[Follower, str]:
    reader = await Follower(server.url).__aenter__()
    session = await reader.create_session(agent="")
    return await reader.follow(session), session


async def test_each_line_is_shown_as_it_arrives(server: Server) -> None:
    reader, session = await a_reader(server)
    async with reader, Curl(server, session) as curl:
        await begun(reader, session, curl)
        await curl.say(b'{"type":"text-delta","id":"t",', b'"delta":"lo"}\n\n', b" \n", finish())
        status, answer = await curl.answer()
        message = await reader.wait_for_end(session)
        assert (status, message.status, text_of(message)) == (200, "complete", "Hello")
        assert answer == {
            "type": "published", "session": session, "message": "m_curl", "serial": message.last_serial,
            "status": "complete",
        }  # fmt: skip


@pytest.mark.parametrize("how", ["its body ends", "it is killed"])
async def test_a_broken_upload_is_interrupted(server: Server, how: str) -> None:
    reader, session = await a_reader(server)
    async with reader, Curl(server, session) as curl:
        await begun(reader, session, curl)
        await curl.say(b'{"type":"text-delta"')
        if how == "it is killed":
            curl.process.kill()
        else:
            assert (await curl.answer())[0] == 400  # half a line is none
        message = await reader.wait_for_end(session)
        assert text_of(message) == "Hel"
        assert message.status == ("interrupted" if how == "it is killed" else "failed")


async def test_a_body_without_an_end_is_interrupted(server: Server) -> None:
    reader, session = await a_reader(server)
    async with reader, Curl(server, session) as curl:
        await begun(reader, session, curl)
        status, answer = await curl.answer()
        assert (status, answer["status"]) == (200, "interrupted")
        assert (await reader.wait_for_end(session)).status == "interrupted"


async def test_an_invalid_line_is_named_and_ends_the_response(server: Server) -> None:
    reader, session = await a_reader(server)
    async with reader:
        for number, (line, code) in enumerate(
            [(b"{\n", "bad_json"), (b"7\n", "bad_chunk"), (b'{"type":"nonsense"}\n', "unknown_chunk"),
             (b"x" * 200_000, "frame_too_large")]
        ):  # fmt: skip
            async with Curl(server, session, f"m_{number}") as curl:
                await curl.say(start(f"m_{number}"), text_start(), delta("Hel"), line)
                status, answer = await curl.answer()
                assert (answer["code"], "ine 4" in answer["message"]) == (code, True) and status >= 400
            message = await reader.wait_for_end(session)
            assert (message.id, message.status, text_of(message)) == (f"m_{number}", "failed", "Hel")


async def test_a_refused_chunk_before_the_body_ends_is_named(server: Server) -> None:
    reader, session = await a_reader(server)
    async with reader, Curl(server, session) as curl:
        await begun(reader, session, curl)
        await curl.say(delta("lo"), delta("lost", part="unknown"))
        status, answer = await curl.answer()
        message = await reader.wait_for_end(session)
        assert (status, answer["code"], message.status, text_of(message)) == (409, "unknown_part", "failed", "Hello")


async def test_unauthorized_uploads_are_refused(server: Server) -> None:
    reader, session = await a_reader(server)
    async with reader:
        for text, where, code in (
            ("nonsense", session, "bad_token"), (token(scope="read"), session, "forbidden_scope"),
            (token(sessions=["B" * 22]), session, "not_found"), (token(), "B" * 22, "not_found"),
        ):  # fmt: skip
            async with Curl(server, where, text=text) as curl:
                await curl.say(start("m_curl"), finish())
                assert (await curl.answer())[1]["code"] == code
        async with Curl(server, session, Authorization="Basic x", Cookie=reader.http.cookies["holdfast_guest"]) as curl:
            assert (await curl.answer())[1]["code"] == "signed_out"
        for chunk in ({"type": "message", "role": "user", "parts": []}, delta("x"), start("m_other")):
            async with Curl(server, session) as curl:
                await curl.say(chunk)
                assert (await curl.answer())[1]["code"] == "bad_chunk"
        assert reader.messages(session) == []


async def test_a_revoked_token_ends_the_upload(server: Server) -> None:
    reader, session = await a_reader(server)
    jti = session  # the two servers have one database
    text = token(sub="agent:shell", scope="publish", jti=jti)
    async with reader, Curl(server, session, text=text) as curl:
        await begun(reader, session, curl)
        server.manage("shell", "-c", f"from sessions_app.auth import tokens; tokens.revoke('{jti}')")
        status, answer = await curl.answer(close=False)
        assert (status, answer["code"]) == (401, "token_expired")
        assert (await reader.wait_for_end(session)).status == "interrupted"


async def test_an_upload_to_a_killed_server_is_interrupted(mortal: Server) -> None:
    reader, session = await a_reader(mortal)
    async with reader, Curl(mortal, session) as curl:
        await begun(reader, session, curl)
        await asyncio.to_thread(mortal.kill9)
        await asyncio.to_thread(mortal.start)
        message = await reader.wait_for_end(session)
        assert (message.status, text_of(message)) == ("interrupted", "Hel")


async def test_a_stopping_server_ends_uploads_first(mortal: Server) -> None:
    reader, session = await a_reader(mortal)
    async with reader, Curl(mortal, session) as curl:
        await begun(reader, session, curl)
        await asyncio.to_thread(mortal.terminate)
        await asyncio.to_thread(mortal.start)
        assert (await reader.wait_for_end(session)).status == "interrupted"


async def test_the_example_in_the_documents_works(server: Server) -> None:
    [example] = re.findall(r"```sh\n([^`]*x-ndjson[^`]*)```", DOCUMENT)
    reader, session = await a_reader(server)
    async with reader:
        environment = {"session": session, "token": token(sub="agent:shell", scope="publish"), "PATH": "/usr/bin:/bin"}
        done = await asyncio.create_subprocess_shell(
            example.replace("https://chat.example", server.url), env=environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(done.communicate(), DEADLINE_S)
        assert json.loads(output)["status"] == "complete"
        message = await reader.wait_for_end(session)
        assert message.status == "complete" and text_of(message)


async def test_a_body_after_an_early_response_is_not_read_as_a_request(start_server: StartServer) -> None:
    """Under Daphne the answer may come before the body is whole; another server reads the rest itself."""
    server = start_server("daphne", **SETTINGS)
    path = f"/api/sessions/{'A' * 22}/publish/"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 500\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head.encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 20)
    rest = await asyncio.wait_for(reader.read(), DEADLINE_S)
    assert head.startswith(b"HTTP/1.1 401") and b"HTTP/1.1" not in rest
    writer.close()
