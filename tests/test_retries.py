"""Retries: alternatives of an answer, of which one is on show, and continued answers, which are one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agents_app.turn import AgentFailed, Turn
from sessions_app import models
from sessions_app.core import branches
from sessions_app.core.fold import MessageState
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.models import Message
from sessions_app.process import Process
from sessions_app.retention import purge
from sessions_app.runs import claims, lifecycle
from tests.support.agents import Conversation, process
from tests.support.person import Frame, text_of
from tests.support.stored import hours_ago

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


class Author:
    """An agent that writes one text after the other, and keeps what it is told. A text that ends in … is broken off."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.told: list[list[str]] = []

    async def __call__(self, turn: Turn) -> None:
        self.told.append([text_of(message) for message in turn.history])
        text = self.texts.pop(0)
        await turn.text(text.removesuffix("…"))
        if text.endswith("…"):
            raise AgentFailed("Broken off.")


def texts(messages: list[MessageState]) -> list[str]:
    return [text_of(message) for message in messages]


async def ask(talk: Conversation, text: str) -> MessageState:
    """Ask, and return the answer once it has ended."""
    number = len(talk.answers) + 1
    await talk.say(text)
    return await talk.answered(number)


async def regenerate(talk: Conversation, answer: MessageState) -> MessageState:
    receipt = await talk.send("retry", message=answer.id, mode="regenerate")
    assert receipt["status"] == "accepted", receipt
    return await talk.answered_instead(answer)


async def go_on(talk: Conversation, answer: MessageState) -> MessageState:
    number = len(talk.answers) + 1
    receipt = await talk.send("retry", message=answer.id, mode="continue")
    assert receipt["status"] == "accepted", receipt
    return await talk.answered(number)


async def refusal(talk: Conversation, answer: MessageState, mode: str) -> str:
    receipt = await talk.send("retry", message=answer.id, mode=mode)
    return str(receipt.get("error", {}).get("code", receipt["status"]))


@contextmanager
def runs_wait(process: Process) -> Iterator[None]:
    """Have no run claimed."""
    claim_next, process.claims.claim_next = process.claims.claim_next, None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "claimable_sessions", lambda most: [])
        yield
    process.claims.claim_next = claim_next
    process.claims.waiting.set()


async def check_others(talk: Conversation) -> None:
    """Check that other clients end with the same list: one that is new, one that resumes, one that keeps all."""
    for fields in ({}, {"rewind": 200}):
        tab = await talk.second_tab()
        await tab.attach(talk.session, **fields)
        assert texts(list(tab.sessions[talk.session].messages.values())) == texts(talk.messages)
    history = await threads.run(lambda: queries.history(talk.session, limit=50))
    assert texts(history.messages) == texts(talk.messages)


# What a model is told


async def test_a_regenerated_answer_is_told_alone(process: Process) -> None:
    author = Author("One.", "Two.", "Three.", "Four.")
    async with Conversation(process, author) as talk:
        first = await ask(talk, "Count")
        second = await regenerate(talk, first)
        third = await regenerate(talk, second)
        await ask(talk, "On")
        assert author.told == [["Count"], ["Count"], ["Count"], ["Count", "Three.", "On"]]
        assert texts(talk.messages) == ["Count", "Three.", "On", "Four."]
        assert {message.parent for message in (first, second, third)} == {talk.messages[0].id}
        await check_others(talk)


async def test_a_continued_answer_is_told_as_one_text(process: Process) -> None:
    author = Author("Hello w…", "or…", "ld.", "Again.", "Bye.")
    async with Conversation(process, author) as talk:
        first = await ask(talk, "Greet")
        last = await go_on(talk, await go_on(talk, first))
        assert [answer.continues for answer in talk.answers] == [None, first.id, talk.answers[1].id]
        await ask(talk, "Again?")
        assert author.told == [
            ["Greet"],
            ["Greet", "Hello w"],
            ["Greet", "Hello wor"],
            ["Greet", "Hello world.", "Again?"],
        ]
        await check_others(talk)
        await regenerate(talk, last)  # the whole chain, and what followed it
        assert author.told[-1] == ["Greet"]
        assert texts(talk.messages) == ["Greet", "Bye."]


async def test_queued_questions_follow_the_answers_before_them(process: Process) -> None:
    goes_on = asyncio.Event()
    author = Author("One.", "Two.", "Three.", "Four.")

    async def agent(turn: Turn) -> None:
        await goes_on.wait()
        await author(turn)

    async with Conversation(process, agent) as talk:
        for text in ("a", "b", "c"):
            await talk.say(text)
        goes_on.set()
        third = await talk.answered(3)
        assert author.told == [["a"], ["a", "One.", "b"], ["a", "One.", "b", "Two.", "c"]]
        await regenerate(talk, third)
        assert author.told[-1] == author.told[-2]
        assert [text for text in texts(talk.messages) if text.endswith(".")] == ["One.", "Two.", "Four."]


# What is replaced


async def test_regenerating_an_earlier_answer_replaces_what_followed_it(process: Process) -> None:
    author = Author("One.", "Two.", "Other.", "Next.")
    async with Conversation(process, author) as talk:
        first = await ask(talk, "a")
        await ask(talk, "b")
        keeper = await talk.second_tab()
        await keeper.attach(talk.session, replaced=True)
        instead = await regenerate(talk, first)
        assert texts(talk.messages) == ["a", "Other."]
        await ask(talk, "c")
        assert author.told[2:] == [["a"], ["a", "Other.", "c"]]
        await check_others(talk)
        kept = keeper.sessions[talk.session].messages
        await keeper.wait_until(lambda: len(kept) == 7 and list(kept.values())[-1].status == "complete")
        replaced = [message for message in kept.values() if message.replaced_by]
        assert (texts(replaced), {message.replaced_by for message in replaced}) == (["One.", "b", "Two."], {instead.id})


async def test_a_retry_that_never_began_replaces_nothing(process: Process) -> None:
    author = Author("One.", "Two.", "Three.")
    async with Conversation(process, author) as talk:
        first = await ask(talk, "a")
        with runs_wait(process):
            await talk.send("retry", message=first.id, mode="regenerate")
            await talk.send("cancel")
            empty = await talk.answered(2)
        assert (empty.status, empty.parts, empty.parent) == ("cancelled", [], first.id)
        assert texts(talk.messages) == ["a", "One.", ""]
        await check_others(talk)
        assert await refusal(talk, empty, "continue") == "accepted"  # it meant to write the first one again
        await talk.wait_until(lambda: texts(talk.messages) == ["a", "Two."])


async def test_decisions_about_a_replaced_answer_come_too_late(process: Process) -> None:
    async def agent(turn: Turn) -> None:
        if turn.mode == "answer":
            call = await turn.tool("send", {"to": "ann"})
            await call.approval("May I?")
        await turn.text("Sent.")

    async with Conversation(process, agent) as talk:
        await talk.say("Send it")
        await talk.wait_until(lambda: talk.answers and any("approval" in part for part in talk.answers[0].parts))
        await talk.send("cancel")
        first = await talk.answered()
        approval: Frame = next(part["approval"] for part in first.parts if "approval" in part)
        await regenerate(talk, first)
        assert (await talk.stored(models.Approval)).status == "expired"
        receipt = await talk.send("approve", approval=approval["id"], input_hash=approval["descriptor"]["input_hash"])
        assert receipt["error"]["code"] == "approval_expired"
        assert receipt["error"]["message"].endswith("its answer was replaced by another one")


# Who is first


async def test_of_two_tabs_that_regenerate_at_once_the_first_counts(process: Process) -> None:
    goes_on = asyncio.Event()
    author = Author("One.", "Two.")

    async def agent(turn: Turn) -> None:
        if turn.mode == "regenerate":
            await goes_on.wait()
        await author(turn)

    async with Conversation(process, agent) as talk:
        first = await ask(talk, "a")
        other = await talk.second_tab()
        payload = {"message": first.id, "mode": "regenerate"}
        ids = await asyncio.gather(
            talk.tab.signal(talk.session, "retry", payload), other.signal(talk.session, "retry", payload)
        )
        receipts = [talk.tab.receipts[ids[0]], other.receipts[ids[1]]]
        told = sorted(receipt.get("error", {}).get("code", "accepted") for receipt in receipts)
        assert told == ["accepted", "already_retried"]
        goes_on.set()
        await talk.answered_instead(first)
        records = [talk.signals[id] for id in ids]
        assert sorted(record["status"] for record in records) == ["applied", "rejected"]  # every client sees both
        assert await refusal(talk, first, "regenerate") == "already_retried"


async def test_a_continued_or_replaced_answer_is_not_continued(process: Process) -> None:
    author = Author("One…", "Two…", "Three…", "Four.")
    async with Conversation(process, author) as talk:
        first = await ask(talk, "a")
        second = await go_on(talk, first)
        assert await refusal(talk, first, "continue") == "already_retried"
        third = await regenerate(talk, second)
        assert await refusal(talk, second, "continue") == "already_retried"
        await ask(talk, "b")
        assert await refusal(talk, third, "continue") == "not_retryable"  # the conversation has gone on


async def test_an_answer_at_work_is_not_retried(process: Process) -> None:
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        await turn.text("words")
        began.set()
        await goes_on.wait()

    async with Conversation(process, agent) as talk:
        await talk.say("a")
        await began.wait()
        await talk.wait_until(lambda: talk.answers)
        assert await refusal(talk, talk.answers[0], "regenerate") == "not_retryable"
        goes_on.set()
        await talk.answered()


async def test_an_answer_that_too_much_followed_is_not_regenerated(process: Process, monkeypatch: Any) -> None:
    monkeypatch.setattr("sessions_app.runs.retries.MOST_REPLACED", 2)
    async with Conversation(process, Author("One.", "Two.", "Three.")) as talk:
        first = await ask(talk, "a")
        second = await ask(talk, "b")
        assert await refusal(talk, first, "regenerate") == "not_retryable"
        await regenerate(talk, second)


# Retention


async def test_a_retry_of_a_purged_answer_is_refused_and_one_that_waits_goes_on(process: Process) -> None:
    author = Author("One.", "Two.", "Three.")
    async with Conversation(process, author) as talk:
        first = await ask(talk, "a")
        with runs_wait(process):
            receipt = await talk.send("retry", message=first.id, mode="regenerate")
            await threads.run(_expire, talk.session)
            late = await talk.second_tab()
        await talk.final(receipt["id"])
        shown = late.sessions[talk.session].messages
        await late.wait_until(lambda: texts(list(shown.values())) == ["Two."])
        assert await refusal(talk, first, "regenerate") == "not_retryable"
        await ask(talk, "b")
        assert author.told[-1] == ["Two.", "b"]


def _expire(session: str) -> None:
    Message.objects.filter(session=session).update(updated_at=hours_ago(100))
    models.Session.objects.filter(pk=session).update(created_at=hours_ago(100))
    purge.purge()


async def test_a_replaced_message_expires_as_any_other(process: Process) -> None:
    async with Conversation(process, Author("One.", "Two.")) as talk:
        first = await ask(talk, "a")
        before = talk.followed.cursor
        await regenerate(talk, first)
        await threads.run(lambda: Message.objects.filter(uid=first.id).update(updated_at=hours_ago(100)))
        late = await talk.second_tab()
        followed = await late.attach(talk.session, cursor=str(before), replaced=True)
        assert followed.attached[-1]["reason"] == "trimmed"
        assert texts(list(followed.messages.values())) == ["a", "Two."]


# Places of other messages


async def test_an_unprompted_answer_follows_the_last_message(process: Process) -> None:
    async with Conversation(process, Author("One.")) as talk:
        first = await ask(talk, "a")
        writer = process.writers.unprompted(talk.session, agent="test")
        await writer.close({"type": "error", "errorText": "Nothing."})
        last = await talk.answered(2)
        assert (last.parent, last.continues) == (first.id, None)


async def test_an_unread_steer_follows_the_answer_that_did_not_read_it(process: Process) -> None:
    began, goes_on = asyncio.Event(), asyncio.Event()
    author = Author("One.", "Two.")

    async def agent(turn: Turn) -> None:
        began.set()
        await goes_on.wait()
        await author(turn)

    async with Conversation(process, agent) as talk:
        await talk.say("a")
        await began.wait()
        await talk.say("b", kind="steer")
        goes_on.set()
        await talk.answered(2)
        assert author.told == [["a"], ["a", "One.", "b"]]
        assert branches.path(talk.messages, talk.messages[-1].id) == talk.messages


async def test_a_session_of_before_has_its_newest_message_as_leaf(process: Process) -> None:
    async with Conversation(process, Author("One.", "Two.", "Three.")) as talk:
        first = await ask(talk, "a")
        await threads.run(lambda: models.Session.objects.filter(pk=talk.session).update(leaf=None))
        await threads.run(lambda: models.Run.objects.update(parent=None))
        await ask(talk, "b")
        assert talk.messages[2].parent == first.id
        await regenerate(talk, first)
        assert texts(talk.messages) == ["a", "Three."]


def test_a_run_of_before_stands_after_its_prompt() -> None:
    run = models.Run(prompt="u_1", mode="regenerate", earlier="m_1")
    assert run.place == branches.Place("u_1", instead_of="m_1")
    assert models.Run().place is None and not lifecycle.at_work("none")
