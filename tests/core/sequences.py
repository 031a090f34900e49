"""Random responses for property and differential tests: valid by construction, every chunk type, the same per seed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sessions_app.core.fold import MessageState, apply, begin

Chunk = dict[str, Any]

MESSAGE = "m_1"
PIECES = ["Hello", " world", "é", "日本", "🙂", "👩‍👩‍👧", "\n", "\u0000", '"\\', "\u2028", "", "a" * 50]
KEYS = ["a", "b", "nested", "toString", "constructor", "__proto__"]
IDS = ["1", "2", "msg_0", "__proto__"]


@dataclass
class Call:
    """A tool call as far as the writer of a response knows it."""

    id: str
    name: str
    dynamic: bool
    # Then streaming, ready, asking, approved, denied, preliminary, failed, done; stranded if its step ended before its
    # input did.
    state: str = "none"
    approval: str | None = None


@dataclass
class Writer:
    """Writes one response; each method appends one chunk that is allowed now, or nothing."""

    random: Random
    chunks: list[Chunk] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)
    reasonings: set[str] = field(default_factory=set)
    step: list[Call] = field(default_factory=list)
    earlier: list[Call] = field(default_factory=list)
    approvals: int = 0

    # --- Building blocks ---

    def emit(self, type_: str, **fields: Any) -> None:
        chunk = {"type": type_, **fields}
        if self.chance(0.02):
            chunk["extension"] = self.value()
        self.chunks.append(chunk)

    def chance(self, likelihood: float) -> bool:
        return self.random.random() < likelihood

    def text(self) -> str:
        return "".join(self.random.choices(PIECES, k=self.random.randint(0, 3)))

    def value(self, depth: int = 2) -> Any:
        if depth and self.chance(0.4):
            return self.object(depth - 1)
        if depth and self.chance(0.2):
            return [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
        return self.random.choice([None, True, False, 0, -7, 0.5, 1e30, 2**53, "", self.text()])

    def object(self, depth: int = 2) -> dict[str, Any]:
        return {key: self.value(depth) for key in self.random.sample(KEYS, self.random.randint(0, 3))}

    def maybe(self, likelihood: float = 0.3, **fields: Callable[[], Any]) -> dict[str, Any]:
        return {name: make() for name, make in fields.items() if self.chance(likelihood)}

    def provider(self) -> dict[str, Any]:
        return self.maybe(0.2, providerMetadata=lambda: {self.random.choice(KEYS): self.object()})

    def flag(self) -> bool:
        return self.chance(0.5)

    # --- The message ---

    def start(self) -> None:
        self.emit("start", messageId=MESSAGE, **self.metadata())

    def metadata(self) -> dict[str, Any]:
        return self.maybe(messageMetadata=lambda: self.object() if self.chance(0.9) else None)

    def message_metadata(self) -> None:
        self.emit("message-metadata", **self.metadata())

    def end(self) -> None:
        reasons = ["stop", "length", "content-filter", "tool-calls", "error", "interrupted", "other"]
        type_ = self.random.choice(["finish", "abort", "error"])
        if type_ == "finish":
            reason = self.maybe(finishReason=lambda: self.random.choice(reasons))
            self.emit(type_, **reason, **self.metadata())
        elif type_ == "abort":
            self.emit(type_, **self.maybe(reason=self.text))
        else:
            self.emit(type_, errorText=self.text())

    # --- Steps ---

    def start_step(self) -> None:
        self.emit("start-step")
        self.earlier += self.step
        self.step = []
        for call in self.earlier:
            if call.state == "streaming":
                call.state = "stranded"

    def finish_step(self) -> None:
        self.emit("finish-step")

    def reset_step(self) -> None:
        if not self.chance(0.3):
            return
        self.emit("reset-step")
        self.texts.clear()
        self.reasonings.clear()
        self.step.clear()

    # --- Text and reasoning ---

    def text_start(self) -> None:
        self.texts.add(id_ := self.random.choice(IDS))
        self.emit("text-start", id=id_, **self.provider())

    def text_delta(self) -> None:
        for _ in range(self.random.randint(1, 4) if self.texts else 0):
            self.emit("text-delta", id=self.pick(self.texts), delta=self.text(), **self.provider())

    def text_end(self) -> None:
        if self.texts:
            self.texts.remove(id_ := self.pick(self.texts))
            self.emit("text-end", id=id_, **self.maybe(citations=self.citations), **self.provider())

    def citations(self) -> list[Chunk]:
        source = {"type": "source", "sourceType": "url", "id": "s1", "url": "https://example.org"}
        return [{"source": source, "citedText": self.text(), "startIndex": 0}]

    def reasoning_start(self) -> None:
        self.reasonings.add(id_ := self.random.choice(IDS))
        self.emit("reasoning-start", id=id_, **self.provider())

    def reasoning_delta(self) -> None:
        for _ in range(self.random.randint(1, 4) if self.reasonings else 0):
            self.emit("reasoning-delta", id=self.pick(self.reasonings), delta=self.text(), **self.provider())

    def reasoning_end(self) -> None:
        if self.reasonings:
            self.reasonings.remove(id_ := self.pick(self.reasonings))
            self.emit("reasoning-end", id=id_, **self.provider())

    def pick(self, ids: set[str]) -> str:
        return self.random.choice(sorted(ids))

    # --- Tool calls ---

    def call_for_input(self) -> Call:
        """A call of this step, or a new one; ids are used again in each step, and for static and dynamic tools."""
        id_, dynamic = self.random.choice(IDS), self.chance(0.2)
        known = [call for call in self.step if call.id == id_]
        while any(call.state not in ("streaming", "stranded", "ready") for call in known):
            id_ = f"{id_}_"  # one that people decide about, or that has ended, takes no other input
            known = [call for call in self.step if call.id == id_]
        for call in known:
            if call.state == "streaming":
                call.state = "stranded"  # as its id is used now for the next input
        if known and self.chance(0.9):
            return self.random.choice(known)
        for call in known:
            if call.dynamic == dynamic:
                return call
        self.step.append(call := Call(id_, self.random.choice(["weather", "web-search", ""]), dynamic))
        return call

    def call_fields(self, call: Call) -> dict[str, Any]:
        dynamic = {"dynamic": True} if call.dynamic else self.maybe(0.1, dynamic=lambda: False)
        return {"toolCallId": call.id, "toolName": call.name, **dynamic, **self.lasting()}

    def lasting(self) -> dict[str, Any]:
        return {**self.maybe(providerExecuted=self.flag, toolMetadata=self.object), **self.provider()}

    def tool_input_start(self) -> None:
        call = self.call_for_input()
        encoding = self.maybe(inputEncoding=lambda: self.random.choice(["json", "text"]))
        self.emit("tool-input-start", **self.call_fields(call), **encoding, **self.maybe(title=self.text))
        call.state = "streaming"

    def tool_input_delta(self) -> None:
        calls = [call for call in self.step if call.state == "streaming"]
        for _ in range(self.random.randint(1, 4) if calls else 0):
            piece = self.random.choice(['{"city":', '"Ber', "lin", '"}', "🙂", "[1,"])
            self.emit("tool-input-delta", toolCallId=self.random.choice(calls).id, inputTextDelta=piece)

    def tool_input_available(self) -> None:
        call = self.call_for_input()
        fields = {**self.maybe(0.9, input=self.value), **self.maybe(title=self.text)}
        self.emit("tool-input-available", **self.call_fields(call), **fields)
        call.state = "ready"

    def tool_input_error(self) -> None:
        if self.chance(0.7):
            return
        id_ = self.call_for_input().id
        call = next(call for call in self.step if call.id == id_)
        fields = {**self.maybe(0.9, input=self.value), "errorText": self.text()}
        guess = {} if call.state == "none" else self.maybe(dynamic=self.flag)
        self.emit("tool-input-error", **{**self.call_fields(call), **fields, **guess})
        call.state = "failed"

    def call_in(self, *states: str) -> Call | None:
        """A call whose id, as the fold finds it, names a part in one of these states."""
        ids = sorted({call.id for call in self.step + self.earlier})
        if not ids:
            return None
        id_ = self.random.choice(ids)
        newest_first = [*self.step, *reversed(self.earlier)]
        call = next(call for call in newest_first if call.id == id_)
        return call if call.state in states else None

    def tool_approval_request(self) -> None:
        if call := self.call_in("ready", "approved"):
            self.approvals += 1
            call.approval = f"approval_{self.approvals}"
            fields = self.maybe(
                approvalDescriptor=self.value, inputSchemaInput=self.value, reason=self.text,
                isAutomatic=self.flag, signature=self.text,
            )  # fmt: skip
            self.emit("tool-approval-request", approvalId=call.approval, toolCallId=call.id, **fields)
            call.state = "asking"
            if self.chance(0.2) and call in self.step:  # an approver edits the input
                self.emit("tool-input-available", input=self.value(), **self.call_fields(call))

    def tool_approval_response(self) -> None:
        asking = [call for call in self.step + self.earlier if call.state == "asking"]
        if asking:
            fields = {**self.maybe(reason=self.text, providerExecuted=self.flag), **self.provider()}
            call, approved = self.random.choice(asking), self.flag()
            self.emit("tool-approval-response", approvalId=call.approval, approved=approved, **fields)
            call.state = "approved" if approved else "denied"

    def tool_output_available(self) -> None:
        if call := self.call_in("ready", "approved", "preliminary"):
            fields = {**self.maybe(0.9, output=self.value), **self.maybe(preliminary=self.flag, dynamic=self.flag)}
            self.emit("tool-output-available", toolCallId=call.id, **fields, **self.lasting())
            call.state = "preliminary" if fields.get("preliminary") else "done"

    def tool_output_error(self) -> None:
        if call := self.call_in("ready", "asking", "approved", "preliminary", "failed"):
            self.emit("tool-output-error", toolCallId=call.id, errorText=self.text(), **self.lasting())
            call.state = "failed"

    def tool_output_denied(self) -> None:
        if call := self.call_in("ready", "asking", "denied"):
            self.emit("tool-output-denied", toolCallId=call.id)
            call.state = "denied"

    # --- Whole parts ---

    def file(self) -> None:
        type_ = self.random.choice(["file", "reasoning-file"])
        self.emit(type_, url="data:,", mediaType="text/plain", **self.provider())

    def source(self) -> None:
        if self.flag():
            self.emit("source-url", sourceId="s1", url="https://example.org", **self.maybe(title=self.text))
        else:
            names = self.maybe(filename=self.text)
            self.emit("source-document", sourceId="s2", mediaType="text/plain", title=self.text(), **names)

    def custom(self) -> None:
        self.emit("custom", kind="provider.thing", **self.provider())

    def steering_message(self) -> None:
        parts = [{"type": "text", "text": self.text()}, {"type": "file", "mediaType": "image/png", "url": "data:,"}]
        self.emit("steering-message", id=self.random.choice(IDS), parts=parts)

    def data(self) -> None:
        type_ = self.random.choice(["data-weather", "data-", "data-a-b"])
        ids = self.maybe(0.6, id=lambda: self.random.choice(IDS))
        self.emit(type_, **ids, **self.maybe(0.9, data=self.value), **self.maybe(transient=self.flag))


ACTIONS = [
    Writer.message_metadata, Writer.start_step, Writer.finish_step, Writer.reset_step,
    Writer.text_start, Writer.text_delta, Writer.text_delta, Writer.text_end,
    Writer.reasoning_start, Writer.reasoning_delta, Writer.reasoning_end,
    Writer.tool_input_start, Writer.tool_input_delta, Writer.tool_input_delta, Writer.tool_input_available,
    Writer.tool_input_available, Writer.tool_input_error, Writer.tool_approval_request,
    Writer.tool_approval_response, Writer.tool_output_available, Writer.tool_output_error,
    Writer.tool_output_denied, Writer.file, Writer.source, Writer.custom, Writer.steering_message, Writer.data,
]  # fmt: skip


def response(seed: int, length: int = 40) -> list[Chunk]:
    """A valid response of about `length` chunks; two in three are ended."""
    writer = Writer(Random(seed))
    writer.start()
    for action in writer.random.choices(ACTIONS, k=length):
        action(writer)
    if writer.chance(0.67):
        writer.end()
    return writer.chunks


def events(chunks: list[Chunk]) -> list[dict[str, Any]]:
    """The chunks as events of one message, from serial 1."""
    return [
        {"serial": index + 1, "message": MESSAGE, "chunk": chunk, **({"at": 1000} if index == 0 else {})}
        for index, chunk in enumerate(chunks)
    ]


def folded(chunks: list[Chunk]) -> MessageState:
    """The message that the chunks make."""
    first, *others = events(chunks)
    message = begin(first)
    for event in others:
        apply(message, event["serial"], event["chunk"])
    return message
