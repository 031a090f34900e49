"""The demo agent: the long answer, and the report that users steer, stop, continue and approve."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from agents_app import registry
from agents_app.builtin import demo, demo_report, demo_speech
from agents_app.builtin.demo import ANSWER
from agents_app.builtin.demo_report import Draft, Findings
from agents_app.local.runner import FAILED, STOPPED, Runner
from sessions_app import models
from sessions_app.core.fold import MessageState
from sessions_app.core.tools import UNKNOWN_OUTCOME
from sessions_app.database import threads
from sessions_app.process import Process
from tests.support.agents import Conversation
from tests.support.person import Frame, text_of

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Write a report on lighthouses"


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {
        "TAIL_POLL_MS": 50,
        "INBOX_POLL_MS": 20,
        "DEMO_TOKENS_PER_S": 10_000,
    }
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    await process.stop()


@pytest.fixture
async def talk(process: Process) -> AsyncIterator[Conversation]:
    async with Conversation(process, demo.demo) as talk:
        yield talk


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The event that the slow tool waits for."""
    over = asyncio.Event()

    async def pause(tokens: int) -> None:
        if tokens == demo_report.SILENCE:
            await over.wait()

    monkeypatch.setattr(demo_report, "pause", pause)
    return over


def part(message: MessageState, tool: str) -> Frame:
    """Return the last call of a tool in an answer."""
    return [part for part in message.parts if part["type"] == f"tool-{tool}"][-1]


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("## ")]


async def reading(talk: Conversation) -> None:
    """Wait until the agent is in the slow tool."""
    await talk.wait_until(
        lambda: talk.answers and any(p["type"] == "tool-read_archive" for p in talk.answers[-1].parts)
    )


async def steer(talk: Conversation, text: str) -> None:
    """Steer, and wait until the agent would receive it at its next step."""
    id = await talk.say(text, kind="steer")
    await talk.tab.wait_status(talk.session, id, "delivered")


async def asked(talk: Conversation) -> Frame:
    """Wait until the newest answer asks for approval; return the approval."""
    await talk.wait_until(lambda: talk.answers and talk.answers[-1].parts[-1].get("state") == "approval-requested")
    approval: Frame = part(talk.answers[-1], "send_report")["approval"]
    return approval


async def decide(talk: Conversation, kind: str, **payload: Any) -> None:
    approval = await asked(talk)
    about = {"approval": approval["id"]}
    if kind == "approve":
        about["input_hash"] = approval["descriptor"]["input_hash"]
    assert (await talk.send(kind, **about, **payload))["status"] == "accepted"


async def go_on(talk: Conversation, mode: str = "continue") -> None:
    receipt = await talk.send("retry", message=talk.answers[-1].id, mode=mode)
    assert receipt["status"] == "accepted", receipt


# The long answer


async def test_the_demo_agent_answers_without_further_input(talk: Conversation) -> None:
    await talk.say("Hello  there")
    answer = await talk.answered()
    assert (answer.status, text_of(answer)) == ("complete", ANSWER.format(prompt="Hello there", serial=1))
    assert [p["type"] for p in answer.parts if p["type"] != "step-start"] == [
        "reasoning",
        "tool-inspect_session",
        "text",
    ]


async def test_the_demo_agent_crashes_on_request_and_continues_in_place(talk: Conversation) -> None:
    prompt = "Crash, please"
    whole = ANSWER.format(prompt=prompt, serial=1)
    await talk.say(prompt)
    first = await talk.answered()
    assert (first.status, first.reason) == ("failed", FAILED)
    assert 0 < len(text_of(first)) < len(whole) and whole.startswith(text_of(first))
    await go_on(talk)
    second = await talk.answered(2)
    assert (second.status, text_of(first) + text_of(second)) == ("complete", whole)
    assert {p["type"] for p in second.parts} == {"step-start", "text"}


async def test_an_answer_continues_twice_after_two_breaks(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = "Crash, please"
    await talk.say(prompt)
    await talk.answered()
    with monkeypatch.context() as again:
        speak = demo.speak
        again.setattr(demo, "speak", lambda say, text: speak(say, text, crash=True))
        await go_on(talk)
        assert (await talk.answered(2)).status == "failed"
    await go_on(talk)
    await talk.answered(3)
    assert "".join(map(text_of, talk.answers)) == ANSWER.format(prompt=prompt, serial=1)


async def test_an_answer_can_be_regenerated(talk: Conversation) -> None:
    await talk.say("Hello")
    first = await talk.answered()
    await go_on(talk, "regenerate")
    second = await talk.answered_instead(first)
    assert text_of(first) == text_of(second)
    assert next(p["text"] for p in second.parts if p["type"] == "reasoning").startswith("They want it again.")


# The report


async def test_an_approved_report_is_sent(talk: Conversation) -> None:
    await talk.say(QUESTION)
    await decide(talk, "approve")
    answer = await talk.answered()
    assert answer.status == "complete"
    assert [headline[3:4] for headline in headings(text_of(answer))] == ["1", "2", "3"]
    assert part(answer, "search_sources")["output"] == Findings(QUESTION, again=False).sources
    assert part(answer, "read_archive")["state"] == "output-available"
    assert part(answer, "send_report")["output"] == {"to": "editors@example.org", "subject": "Report: lighthouses"}
    assert "**Sent** to editors@example.org" in text_of(answer)
    stored = await talk.stored(models.Approval)
    assert (stored.execution, stored.editable) == ("done", True)


async def test_the_approver_may_edit_the_report(talk: Conversation) -> None:
    await talk.say(QUESTION)
    await decide(talk, "approve", input={"to": "ann@example.com", "subject": "Lights"})
    answer = await talk.answered()
    assert "**Sent** to ann@example.com, with the subject “Lights”" in text_of(answer)


@pytest.mark.parametrize(
    ("edited", "problem"),
    [
        ({}, "`to` isn't an address."),
        ({"to": ["ann@example.com"]}, "`to` isn't an address."),
        ({"to": "ann@example.com\nBcc: eve@example.com"}, "`to` isn't an address."),
        ({"to": "ann@example.com", "subject": 3}, "`subject` isn't a text."),
    ],
)
async def test_edited_arguments_are_validated(talk: Conversation, edited: Any, problem: str) -> None:
    await talk.say(QUESTION)
    await decide(talk, "approve", input=edited)
    answer = await talk.answered()
    assert answer.status == "complete"
    assert part(answer, "send_report")["errorText"] == problem
    assert f"**could not be sent**: {problem}" in text_of(answer)


async def test_a_denied_report_is_not_sent(talk: Conversation) -> None:
    await talk.say(QUESTION)
    await decide(talk, "deny", reason="Not yet")
    answer = await talk.answered()
    assert (answer.status, part(answer, "send_report")["state"]) == ("complete", "output-denied")
    assert "**don't send** it: “Not yet”" in text_of(answer)


async def test_an_expired_approval_sends_no_report(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_report, "DECIDE_S", 0.1)
    await talk.say(QUESTION)
    answer = await talk.answered()
    assert (answer.status, part(answer, "send_report")["state"]) == ("complete", "output-denied")
    assert "**not sent**" in text_of(answer)


async def test_findings_depend_on_the_question_alone() -> None:
    one, same = Findings(QUESTION, again=False), Findings(QUESTION, again=False)
    assert one.section(0, Draft()) == same.section(0, Draft())
    for other in (Findings(QUESTION, again=True), Findings("Write a report on fog", again=False)):
        assert other.figures != one.figures


@pytest.mark.parametrize(
    ("prompt", "topic"),
    [
        ("Write a report on lighthouses.", "lighthouses"),
        ("Write a report about fog, and ask before you send it.", "fog"),
        ("Research the history of fog", "Research the history of fog"),
        ("Please do some research into  why\nships sink?", "why ships sink"),
        ("report", "report"),
    ],
)
def test_the_topic_of_a_report_is_found_in_the_prompt(prompt: str, topic: str) -> None:
    assert demo_report.topic_of(prompt) == topic


@pytest.mark.parametrize("prompt", ["Report on {0} and {topic}", "Research {", "A report on " + "a" * 30_000])
async def test_a_prompt_is_not_a_template_and_may_be_long(talk: Conversation, prompt: str) -> None:
    await talk.say(prompt)
    await decide(talk, "deny")
    assert (await talk.answered()).status == "complete"


# Steering it


async def test_steers_change_the_following_sections(talk: Conversation, silence: asyncio.Event) -> None:
    await talk.say(QUESTION)
    await reading(talk)
    await steer(talk, "shorter, and in German")
    await steer(talk, "mention {fog}")
    silence.set()
    await decide(talk, "deny")
    text = text_of(await talk.answered())
    assert [headline[6:] for headline in headings(text)] == list(demo_report.LANGUAGES["German"])
    assert "Shorter from here on. Headings in German from here on" in text
    assert text.count("With “mention {fog}” in mind") == 3
    assert "| source |" not in text


async def test_a_steer_after_the_last_section_is_answered_too(talk: Conversation) -> None:
    await talk.say(QUESTION)
    await asked(talk)
    await steer(talk, "add a map")
    await decide(talk, "deny")
    assert text_of(await talk.answered()).endswith(demo_report.TOO_LATE.format(steer="add a map"))


def test_the_number_of_wishes_is_bounded() -> None:
    draft = Draft()
    for number in range(100):
        draft.steer(f"wish {number} {'x' * 30_000}")
    assert [len(each) for each in (draft.wishes, draft.new)] == [demo_report.WISHES] * 2
    assert max(map(len, draft.wishes)) == demo_speech.QUOTED


# Breaking off


async def test_a_report_stopped_while_reading_continues_with_reading(
    talk: Conversation, silence: asyncio.Event
) -> None:
    await talk.say(QUESTION)
    await reading(talk)
    await talk.final((await talk.send("cancel"))["id"])
    first = await talk.answered()
    assert (first.status, first.reason) == ("cancelled", STOPPED)
    await go_on(talk)
    silence.set()
    await decide(talk, "deny")
    second = await talk.answered(2)
    kinds = {part["type"] for part in second.parts}
    assert "tool-read_archive" in kinds and not kinds & {"reasoning", "tool-search_sources"}
    assert len(headings(text_of(second))) == 3


async def test_a_crashed_report_continues_in_place_as_steered(talk: Conversation, silence: asyncio.Event) -> None:
    await talk.say("A report on the last crash")
    await reading(talk)
    await steer(talk, "in French")
    silence.set()
    first = await talk.answered()
    assert (first.status, first.reason) == ("failed", FAILED)
    await go_on(talk)
    await decide(talk, "deny")
    second = await talk.answered(2)
    text = text_of(first) + text_of(second)
    assert [headline[6:] for headline in headings(text)] == list(demo_report.LANGUAGES["French"])
    assert text.count("> in French") == 1
    findings = Findings("A report on the last crash", again=False)
    assert findings.section(1, Draft(language="French")) in text


async def test_a_sent_report_is_not_sent_again(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_report, "TOO_LATE", None)  # so that it fails when it has sent, and somebody has steered
    await talk.say(QUESTION)
    await asked(talk)
    await steer(talk, "add a map")
    await decide(talk, "approve")
    assert (await talk.answered()).status == "failed"
    await go_on(talk)
    second = await talk.answered(2)
    assert (second.status, text_of(second)) == ("complete", demo_report.SENT_BEFORE)
    assert await threads.run(models.Approval.objects.count) == 1


async def test_people_are_asked_again_if_the_outcome_of_sending_is_unknown(
    talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = asyncio.Event()

    async def deliver(arguments: Any) -> None:
        sending.set()
        await asyncio.sleep(60)

    with monkeypatch.context() as slowly:
        slowly.setattr(demo_report, "_deliver", deliver)
        await talk.say(QUESTION)
        await decide(talk, "approve")
        await sending.wait()
        await talk.send("cancel")
        first = await talk.answered()
    assert part(first, "send_report")["errorText"] == UNKNOWN_OUTCOME
    await go_on(talk)
    assert (await asked(talk))["requestReason"] == demo_report.WHY_AGAIN
    await decide(talk, "approve")
    assert "**Sent**" in text_of(await talk.answered(2))


async def test_the_next_report_starts_fresh(talk: Conversation) -> None:
    await talk.say(QUESTION)
    await decide(talk, "deny")
    first = await talk.answered()
    await go_on(talk, "regenerate")
    await talk.wait_until(lambda: talk.answers[-1].id != first.id)
    await decide(talk, "deny")
    second = await talk.answered()
    assert (second.status, text_of(second) == text_of(first)) == ("complete", False)


def test_the_command_reports_that_the_demo_agent_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_agents", {})
    with pytest.raises(CommandError, match="HOLDFAST_DEMO_AGENT=true"):
        call_command("demo_answer", "session")
