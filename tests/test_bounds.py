"""What one door accepts the next can hold: ids of tool calls, names, NUL, numbers; on both databases."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DataError, connection, models

from agents_app import registry
from agents_app.tool_call import ToolFailed
from agents_app.turn import Turn
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import MOST_TOKENS
from sessions_app.core.vocabulary import CHUNKS, NAME, NAME_BYTES, check
from sessions_app.database import threads
from sessions_app.models import Approval, Run, Signal
from sessions_app.process import Process
from tests.support.agents import Conversation, process
from tests.support.person import Frame, text_of

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "call_1__thought__" + "Q" * 4572  # as a gateway was seen to send it
LONGEST = "é" * (NAME_BYTES // 2)
TEXT = "a\0b"


def call_chunk(type: str, id: str) -> dict[str, Any]:
    fields = {"toolCallId": id, "toolName": "look", "approvalId": "a", "inputTextDelta": "", "errorText": ""}
    return {"type": type, **{name: value for name, value in fields.items() if name in CHUNKS[type].required}}


@pytest.mark.parametrize("type", [name for name, shape in CHUNKS.items() if "toolCallId" in shape.required])
def test_every_chunk_of_a_call_has_one_limit(type: str) -> None:
    for id in (LONG, LONGEST):
        check(call_chunk(type, id), max_bytes=65_536)
    for id in (LONGEST + "x", "a\0b", "\ud83d", 7, None):
        with pytest.raises(HoldfastError) as refusal:
            check(call_chunk(type, id), max_bytes=65_536)  # type: ignore[arg-type]
        assert refusal.value.code == "bad_chunk"


def tool_of(talk: Conversation) -> Frame:
    return (
        next((part for part in talk.answers[0].parts if part["type"].startswith("tool-")), {}) if talk.answers else {}
    )


async def write_call(turn: Turn, id: str, name: str = "look") -> Any:
    await turn.write({"type": "tool-input-available", "toolCallId": id, "toolName": name, "input": {}})
    return turn.call(id, name, {})


@pytest.mark.parametrize("id", [LONG, LONGEST], ids=["as seen", "the longest"])
async def test_a_call_with_a_long_id_is_answered_by_its_client(process: Process, id: str) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text(str(await (await write_call(turn, id)).result()))

    async with Conversation(process, agent) as talk:
        await talk.say("Look")
        await talk.wait_until(lambda: tool_of(talk))
        about = {"message": talk.answers[0].id, "call": id}
        assert (await talk.send("tool-result", **about, output=TEXT))["status"] == "accepted"
        answer = await talk.answered()
        assert (answer.status, text_of(answer)) == ("complete", TEXT)
        assert (await talk.stored(Signal, kind="tool-result")).target == id


async def test_a_call_with_a_long_id_and_name_is_approved_and_called(process: Process) -> None:
    name = "n" * 1000

    async def agent(turn: Turn) -> None:
        call = await write_call(turn, LONGEST, name)
        assert (await call.approval("because\0of")).approved
        await call.execute(done)

    async def done(arguments: Any) -> str:
        return TEXT

    async with Conversation(process, agent) as talk:
        await talk.say("Go")
        await talk.wait_until(lambda: tool_of(talk).get("approval"))
        asked = tool_of(talk)["approval"]
        assert asked["requestReason"] == "because\0of"
        hash = asked["descriptor"]["input_hash"]
        assert (await talk.send("approve", approval=asked["id"], input_hash=hash, reason=TEXT))["status"] == "accepted"
        answer = await talk.answered()
        assert (answer.status, tool_of(talk)["output"], tool_of(talk)["approval"]["reason"]) == ("complete", TEXT, TEXT)
        stored = await talk.stored(Approval)
        assert (stored.call, stored.tool, stored.reason) == (LONGEST, name, "because\ufffdof")


@pytest.mark.parametrize("wrong", [LONGEST + "x", "a\0b", "", 7])
async def test_a_result_for_an_id_that_no_call_can_have_is_refused_by_name(process: Process, wrong: Any) -> None:
    async with Conversation(process, lambda turn: turn.text("Hi")) as talk:
        receipt = await talk.send("tool-result", message="m_1", call=wrong, output=1)
    assert (receipt["status"], receipt["error"]["code"]) == ("rejected", "bad_signal")
    assert NAME.what in receipt["error"]["message"]


async def test_a_call_with_an_impossible_id_is_refused_at_its_line(process: Process) -> None:
    async def agent(turn: Turn) -> None:
        for id in ("a\0b", LONGEST + "x"):
            with pytest.raises(HoldfastError, match="bad_chunk"):
                await write_call(turn, id)
        await turn.text("went on")

    async with Conversation(process, agent) as talk:
        await talk.say("Go")
        answer = await talk.answered()
    assert (answer.status, text_of(answer)) == ("complete", "went on")


@pytest.mark.parametrize("tokens", [-1, MOST_TOKENS + 1, 2**80, 1.5, True, None])
async def test_a_count_that_no_column_holds_is_refused_at_its_line(process: Process, tokens: Any) -> None:
    async def agent(turn: Turn) -> None:
        with pytest.raises(ValueError, match="input_tokens is a whole number"):
            turn.usage(input_tokens=tokens)
        turn.usage(input_tokens=MOST_TOKENS, output_tokens=MOST_TOKENS)
        await turn.text("went on")

    async with Conversation(process, agent) as talk:
        await talk.say("Go")
        assert (await talk.answered()).status == "complete"
        assert (await talk.run()).input_tokens == MOST_TOKENS


@pytest.mark.parametrize("expires_s", [-1, 1e18, float("nan"), float("inf")])
async def test_a_time_that_no_clock_reaches_is_refused_at_its_line(process: Process, expires_s: float) -> None:
    async def agent(turn: Turn) -> None:
        call = await write_call(turn, "c")
        with pytest.raises(ValueError, match="expires_s is from 0"):
            await call.approval(expires_s=expires_s)
        await call.error("went on")

    async with Conversation(process, agent) as talk:
        await talk.say("Go")
        assert (await talk.answered()).status == "complete"


@pytest.mark.parametrize("name", ["", "x" * 65, "a\0b", "a\nb"])
def test_an_agent_has_a_name_that_every_table_holds(name: str) -> None:
    with pytest.raises(ValueError, match="an agent's name is"):
        registry.agent(name)


async def test_nul_in_texts_is_kept_exactly(process: Process) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text(turn.prompt)
        await turn.reasoning(TEXT)
        await turn.data("x", {TEXT: TEXT}, id=TEXT)
        call = await turn.tool("look", {TEXT: TEXT}, title=TEXT)
        await call.output({TEXT: [TEXT]})
        await turn.write({"type": "abort", "reason": TEXT})

    async with Conversation(process, agent) as talk:
        await talk.say(TEXT)
        answer = await talk.answered()
    assert (answer.status, answer.reason) == ("cancelled", TEXT)
    _, text, reasoning, data, tool = answer.parts
    assert (text["text"], reasoning["text"], data["data"], data["id"]) == (TEXT, TEXT, {TEXT: TEXT}, TEXT)
    assert (tool["input"], tool["output"], tool["title"]) == ({TEXT: TEXT}, {TEXT: [TEXT]}, TEXT)


def too_large(field: str) -> Callable[[], None]:
    return lambda: Run.objects.filter(pk="x").update(**{field: 2**80})


def fails() -> None:
    raise DataError("value too long for type character varying(64)")


@pytest.mark.parametrize(
    "work", [fails, lambda: int("x"), lambda: (2**80).to_bytes(4)], ids=["data", "value", "overflow"]
)
async def test_what_the_database_cannot_hold_is_never_retryable(process: Process, work: Any) -> None:
    with pytest.raises(HoldfastError) as refusal:
        await process.log_writer.do(work)
    assert (refusal.value.code, refusal.value.kind.retryable) == ("unstorable", False)


async def test_an_answer_ends_at_once_if_the_database_cannot_hold_it(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever slips through: the answer ends with what was stored before it, and with words."""

    async def agent(turn: Turn) -> None:
        await turn.text("before")
        await turn.flush()
        turn._backend._response.with_next(lambda log: fails())  # type: ignore[attr-defined]
        await turn.text(" lost")

    async with Conversation(process, agent) as talk:
        await talk.say("Go")
        async with asyncio.timeout(10):  # far below the half minute for which an outage is waited out
            answer = await talk.answered()
    assert (answer.status, text_of(answer)) == ("failed", "before")
    assert "can't hold" in (answer.reason or "")


def test_no_text_of_unbounded_length_is_in_an_index() -> None:
    """PostgreSQL refuses index entries beyond 2.7 kB, which the column's own type doesn't say."""
    from django.apps import apps

    for model in apps.get_app_config("sessions_app").get_models():
        indexed = {name for index in model._meta.indexes for name in index.fields}
        indexed |= {name for each in model._meta.constraints for name in getattr(each, "fields", ())}
        for field in model._meta.get_fields():
            if isinstance(field, models.TextField):
                assert not (field.db_index or field.unique or field.name in indexed), field
    assert connection.vendor in ("sqlite", "postgresql")


async def test_tool_failures_with_nul_reach_their_readers(process: Process) -> None:
    async def agent(turn: Turn) -> None:
        call = await write_call(turn, "c")
        assert (await call.approval()).approved
        with pytest.raises(ToolFailed):
            await call.execute(fail)

    async def fail(arguments: Any) -> str:
        raise ToolFailed(TEXT)

    async with Conversation(process, agent) as talk:
        await talk.say("Go")
        await talk.wait_until(lambda: tool_of(talk).get("approval"))
        asked = tool_of(talk)["approval"]
        await talk.send("approve", approval=asked["id"], input_hash=asked["descriptor"]["input_hash"])
        await talk.answered()
        assert tool_of(talk)["errorText"] == TEXT
        assert await threads.run(Approval.objects.filter(execution="failed").count) == 1
