"""Model messages of a session's history: valid for every provider, and nothing but text."""

from typing import Any

from pydantic_ai.messages import ModelMessage, ToolReturnPart

from agents_app.adapters.history import DENIED, INTERRUPTED
from agents_app.adapters.pydantic_ai.history import model_messages
from sessions_app.core.fold import MessageState

PERSON = {"type": "text", "text": "Where?"}
STEP = {"type": "step-start"}


def message(role: str, *parts: dict[str, Any], status: str = "complete") -> MessageState:
    return MessageState(f"m_{role}", role, status, 1, 1, 0, parts=list(parts))


def call(state: str, id: str = "call_1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool-look", "toolCallId": id, "state": state, "input": {"at": 1}} | fields


def summary(messages: list[ModelMessage]) -> list[tuple[str, list[Any]]]:
    return [(each.kind, [getattr(part, "content", part.part_kind) for part in each.parts]) for each in messages]


def result(**fields: Any) -> ToolReturnPart:
    *_, last = model_messages([message("user", PERSON), message("assistant", call(**fields))])
    assert isinstance(last.parts[0], ToolReturnPart)
    return last.parts[0]


def test_each_step_is_a_response_and_its_tool_results() -> None:
    answer = message(
        "assistant", STEP, {"type": "reasoning", "text": "hm"}, {"type": "text", "text": "Let me look."},
        call("output-available", output="a"), call("output-available", "call_2", output={"b": 1}),
        STEP, {"type": "text", "text": "There."}, {"type": "data-mood", "data": 1}, {"type": "source-url", "url": "x"},
    )  # fmt: skip
    assert summary(model_messages([message("user", PERSON), answer])) == [
        ("request", ["Where?"]),
        ("response", ["Let me look.", "tool-call", "tool-call"]), ("request", ["a", {"b": 1}]),
        ("response", ["There."]),
    ]  # fmt: skip


def test_a_steer_stands_where_the_model_was_given_it() -> None:
    steering = {"type": "steering-message", "id": "s", "parts": [{"type": "text", "text": "Hurry!"}]}
    expected = [
        ("request", ["Where?"]), ("response", ["tool-call"]), ("request", ["a"]), ("request", ["Hurry!"]),
        ("response", ["There."]),
    ]  # fmt: skip
    tools, text = call("output-available", output="a"), {"type": "text", "text": "There."}
    for parts in ((STEP, tools, steering, STEP, text), (STEP, tools, STEP, steering, text)):
        assert summary(model_messages([message("user", PERSON), message("assistant", *parts)])) == expected


def test_a_tool_call_always_has_a_result() -> None:
    failed, denied = result(state="output-error", errorText="No."), result(state="output-denied")
    assert (failed.outcome, failed.content) == ("failed", "No.")
    assert (denied.outcome, denied.content) == ("denied", DENIED)
    assert result(state="output-denied", approval={"id": "a", "reason": "Never."}).content == "Never."
    for state in ("input-available", "approval-requested", "approval-responded"):
        assert (result(state=state).outcome, result(state=state).content) == ("interrupted", INTERRUPTED)


def test_calls_without_input_and_provider_calls_are_left_out() -> None:
    streaming = {"type": "tool-look", "toolCallId": "c", "state": "input-streaming", "rawInput": '{"a'}
    answer = message("assistant", STEP, streaming, call("output-available", output=1, providerExecuted=True))
    assert summary(model_messages([message("user", PERSON), answer])) == [("request", ["Where?"])]


def test_call_ids_are_unique() -> None:
    answer = message("assistant", call("output-available", output="a"), STEP, call("output-available", output="b"))
    ids = [
        part.tool_call_id
        for each in model_messages([message("user", PERSON), answer, answer])
        for part in each.parts
        if hasattr(part, "tool_call_id")
    ]
    assert len(ids) == 8 and len(set(ids)) == 4


def test_an_answer_without_its_question_is_left_out() -> None:
    answer = message("assistant", {"type": "text", "text": "There."})
    assert summary(model_messages([answer, message("user", PERSON)])) == [("request", ["Where?"])]


def test_a_result_that_looks_like_a_file_stays_text() -> None:
    # As a file, the provider would fetch its address, or pydantic-ai would from inside the site's network.
    file = {"kind": "image-url", "url": "http://169.254.169.254/", "media_type": "image/png"}
    for output in (file, [file]):
        returned = result(state="output-available", output=output)
        assert returned.files == [] and "169.254" in returned.model_response_str()


def test_the_stored_part_of_a_broken_answer_is_included() -> None:
    answer = message("assistant", STEP, {"type": "text", "text": "It is"}, status="interrupted")
    assert summary(model_messages([message("user", PERSON), answer]))[1] == ("response", ["It is"])
