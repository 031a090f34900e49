"""A model provider for tests: OpenAI's two interfaces over real HTTP, with every failure."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

Event = dict[str, Any]
Answer = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """A request and its response."""

    def __init__(self, path: str, body: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.path = path
        self.body = body
        self._reader = reader
        self._writer = writer

    async def refuse(self, status: int, body: object = None, **headers: str) -> None:
        text = json.dumps({"error": body}).encode()
        # Without this header OpenAI's client would try again by itself, after a pause.
        await self._head(status, {"x-should-retry": "false", "content-length": str(len(text))} | headers)
        self._writer.write(text)

    async def begin(self) -> None:
        await self._head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})

    async def send(self, event: Event | str) -> None:
        text = event if isinstance(event, str) else json.dumps(event)
        name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        data = f"{name}data: {text}\n\n".encode()
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def cut(self) -> None:
        """Break the connection off, as a crashed provider or a lost network does."""
        self._writer.transport.abort()

    async def closed(self) -> None:
        """Wait until the client has closed the connection."""
        await self._reader.read()

    async def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Status", "connection: close", *(f"{k}: {v}" for k, v in headers.items())]
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        await self._writer.drain()


class ModelServer:
    """`async with ModelServer(answer, …) as server:` gives its answers one after the other, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[Exchange] = []
        self._problem: BaseException | None = None

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._server.close()
        if self._problem and not error:
            raise self._problem

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            exchange = await self._request(reader, writer)
            number = min(len(self.requests), len(self.answers) - 1)
            self.requests.append(exchange)
            await self.answers[number](exchange)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone: its test says whether it may
        except Exception as problem:
            self._problem = problem
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length:"))
        body = await reader.readexactly(int(length.partition(":")[2]))
        return Exchange(head.split()[1], json.loads(body), reader, writer)


def chat(*pieces: str | Event, finish: str = "stop", end: bool = True) -> Answer:
    """An answer of the Chat Completions interface; a piece is text, or a delta of OpenAI's."""

    async def answer(exchange: Exchange) -> None:
        assert exchange.path == "/v1/chat/completions"
        await exchange.begin()
        for piece in pieces:
            await exchange.send(_completion({"content": piece} if isinstance(piece, str) else piece))
        if end:
            await exchange.send(_completion({}, finish))
            usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
            await exchange.send(_completion(None) | {"usage": usage})
            await exchange.send("[DONE]")
            await exchange.end()

    return answer


def _completion(delta: Event | None, finish: str | None = None) -> Event:
    choices = [] if delta is None else [{"index": 0, "delta": {"role": "assistant"} | delta, "finish_reason": finish}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "stub", "choices": choices}


def responses(*items: Event, end: bool = True) -> Answer:
    """An answer of the Responses interface: these output items, text and arguments in two pieces each."""

    async def answer(exchange: Exchange) -> None:
        assert exchange.path == "/v1/responses"
        response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "stub", "output": []}
        await exchange.begin()
        await exchange.send({"type": "response.created", "response": response | {"status": "in_progress"}})
        for index, item in enumerate(items):
            place = {"output_index": index, "item_id": item["id"]}
            await exchange.send({"type": "response.output_item.added", "item": _without_content(item), **place})
            for event in _deltas(item):
                await exchange.send(event | place)
            await exchange.send({"type": "response.output_item.done", "item": item, **place})
        details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
        usage = {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16, **details}
        done = response | {"status": "completed", "output": list(items), "usage": usage}
        if end:
            await exchange.send({"type": "response.completed", "response": done})
        await exchange.end()

    return answer


def reasoning_item(summary: str) -> Event:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": summary}]}


def message_item(text: str) -> Event:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


def call_item(name: str, arguments: str, id: str = "call_1") -> Event:
    return {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name, "arguments": arguments}


def _without_content(item: Event) -> Event:
    empty: dict[str, object] = {"reasoning": {"summary": []}, "message": {"content": []}}.get(
        item["type"], {"arguments": ""}
    )
    return item | empty


def _deltas(item: Event) -> list[Event]:
    match item["type"]:
        case "reasoning":
            kind, text = "response.reasoning_summary_text", item["summary"][0]["text"]
            part = {"type": "summary_text", "text": ""}
            first = [{"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": part}]
        case "message":
            kind, text = "response.output_text", item["content"][0]["text"]
            part = {"type": "output_text", "text": "", "annotations": []}
            first = [{"type": "response.content_part.added", "content_index": 0, "part": part}]
        case _:
            kind, text, first = "response.function_call_arguments", item["arguments"], []
    index = {"summary_index": 0, "content_index": 0}
    half = len(text) // 2
    return [*first, *({"type": f"{kind}.delta", "delta": piece, **index} for piece in (text[:half], text[half:]))]
