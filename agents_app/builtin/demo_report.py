"""The demo agent's research: tools, sections that people steer, and a report that is sent only once approved."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, cast

from agents_app.backend import Arguments
from agents_app.builtin.demo_speech import earlier, in_short, is_to_crash, pause, speak, texts
from agents_app.tool_call import Decision, ToolCall, ToolFailed
from agents_app.turn import Turn
from sessions_app import conf
from sessions_app.core.tools import UNKNOWN_OUTCOME

SILENCE = 180  # pauses: 6 s at the default pace
STANDS_FOR_S = 90
DECIDE_S = 180.0  # for people to decide, whose pace isn't accelerated
WISHES = 5  # remembered at once
ADDRESS = re.compile(r"[^\s@]{1,64}@[^\s@]{1,190}")
SEARCH, READ, FIRST_SECTION, SEND = 0, 1, 2, 5  # stages

PLAN = """They want a report on “{topic}”. I'll search for sources, read the best of them, write three sections, and \
ask before I send anything. Reading takes {stands_for} seconds without a word, which is when proxies cut connections; \
time is accelerated here, so it takes {seconds:.0f}. Meanwhile they may say how they want it: I look between two \
sections."""

LANGUAGES = {
    "English": ("What is known", "What is disputed", "What to do next"),
    "German": ("Was bekannt ist", "Was umstritten ist", "Was zu tun ist"),
    "French": ("Ce que l’on sait", "Ce qui fait débat", "Ce qu’il faut faire"),
}
LONG = (
    """Three sources say something about {topic} that can be checked, and they agree on more than one would expect. \
*{0}* counts {cases} cases since {year}; *{1}* comes to the same number within {percent} %.

| source | pages | weight |
|---|---|---|
| {0} | {pages} | high |
| {1} | {more_pages} | high |
| {2} | 12 | doubtful |

All of them are made up, as a demonstration may: the same question finds the same ones again.""",
    """*{2}* contradicts both others, and the reason is not the figures but what they count:

- for *{0}*, a case of {topic} ends when nobody looks any more;
- for *{2}*, it ends when somebody comes back and finds everything in its place.

The second view explains {percent} % of the difference. What remains is a matter of patience.""",
    """1. **Read** *{0}* first: its {pages} pages need no other.
2. **Ask** who has measured {topic} since {year}, and how.
3. **Decide** within a month. Waiting costs more than being wrong about {percent} % of it.""",
)
SHORT = (
    "*{0}* and *{1}* agree about {topic}: {cases} cases since {year}.",
    "*{2}* counts differently, which explains {percent} % of the difference.",
    "Read *{0}*, ask who has measured since {year}, decide within a month.",
)
WHO = ("The Harbour Board", "A night watchman", "Three patient people", "The Institute for Moorings", "An old almanac")
WHAT = ("on {topic}", "and what came of {topic}", "against {topic}", "on the limits of {topic}", "in favour of {topic}")

SHORTER = "Shorter from here on."
IN_LANGUAGE = "Headings in {language} from here on; the rest of my {language} is not fit for print."
TAKEN_UP = "I take that up."
WITH_WISH = "With “{wish}” in mind: that is where page {page} of *{source}* matters most."

WHY = "The report leaves this conversation, and can't be called back."
WHY_AGAIN = "It may have been sent already: the agent stopped while it was at it. " + WHY
SENT = "**Sent** to {to}, with the subject “{subject}”. (As far as a demonstration can: nothing has left this server.)"
SENT_BEFORE = "The report had been sent before I was interrupted, so I don't send it again."
DENIED = "Then I **don't send** it{reason}. The report stays here, where you and I can read it."
EXPIRED = "Nobody decided within {minutes:.0f} minutes, so I have **not sent** it. Ask me again when you are back."
FAILED = "It was approved, but **could not be sent**: {problem}"
TOO_LATE = "\n\n“{steer}” came when the report was done. Ask for another one, and I begin with that."


@dataclass
class Draft:
    """A report's progress. Stored in its message's metadata, so that another run can continue from there.

    `said`: characters of this stage's text that the answer to continue has.
    """

    stage: int = SEARCH
    language: str = "English"
    short: bool = False
    wishes: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)  # steers that the next section answers
    said: int = 0

    def steer(self, text: str) -> None:
        """Write the rest as a person wishes."""
        wish = in_short(text)
        self.new = [*self.new, wish][-WISHES:]
        self.short = self.short or _is_shorter(wish)
        self.language = _language(wish) or self.language
        if not _is_shorter(wish) and not _language(wish):
            self.wishes = [*self.wishes, wish][-WISHES:]


def _is_shorter(wish: str) -> bool:
    return re.search(r"\b(short|shorter|brief|briefly)\b", wish, re.IGNORECASE) is not None


def _language(wish: str) -> str | None:
    return next((name for name in LANGUAGES if re.search(rf"\b{name}\b", wish, re.IGNORECASE)), None)


# Texts: the same for the same question


def topic_of(prompt: str) -> str:
    """Return the topic that a prompt asks for."""
    asked = in_short(prompt).rstrip(".?!")
    about = re.search(r"\b(?:on|about|into)\s+([^,;]+)", asked, re.IGNORECASE)
    return about.group(1) if about else asked


class Findings:
    """Results of the research: sources and figures."""

    def __init__(self, prompt: str, *, again: bool) -> None:
        chance = Random(f"{prompt}{' again' if again else ''}")
        self.topic = topic_of(prompt)
        self.sources = [
            f"{who} {what.format(topic=self.topic)}"
            for who, what in zip(chance.sample(WHO, 3), chance.sample(WHAT, 3), strict=True)
        ]
        self.figures = {
            "year": chance.randrange(1890, 1990),
            "cases": chance.randrange(100, 900),
            "percent": chance.randrange(2, 60),
            "pages": chance.randrange(40, 400),
            "more_pages": chance.randrange(40, 400),
        }

    def section(self, number: int, draft: Draft) -> str:
        """Return the text of a section, counted from 0, as people have wished it."""
        told = "".join(f"> {steer}\n\n{_taken(steer)}\n\n" for steer in draft.new)
        heading = f"## {number + 1}. {LANGUAGES[draft.language][number]}"
        body = (SHORT if draft.short else LONG)[number].format(*self.sources, topic=self.topic, **self.figures)
        page = self.figures["pages"] // (number + 2)
        wishes = [WITH_WISH.format(wish=wish, page=page, source=self.sources[0]) for wish in draft.wishes]
        return "\n\n".join([told + heading, body, *wishes]) + "\n\n"


def _taken(steer: str) -> str:
    told = [SHORTER] if _is_shorter(steer) else []
    if language := _language(steer):
        told.append(IN_LANGUAGE.format(language=language))
    return " ".join(told) or TAKEN_UP


# Stages


async def write_report(turn: Turn) -> None:
    """Search, read, write three sections, and ask before the report is sent."""
    findings = Findings(turn.prompt, again=turn.mode == "regenerate")
    draft = _draft(turn, findings)
    await _note(turn, draft)
    if draft.stage == SEARCH:
        await _search(turn, findings)
        await _next(turn, draft)
    if draft.stage == READ:
        await _read(turn, findings)
        await _next(turn, draft)
    while draft.stage < SEND:
        number = draft.stage - FIRST_SECTION
        text = findings.section(number, draft)[draft.said :]
        await speak(turn.text, text, crash=number == 1 and is_to_crash(turn))
        draft.new = []
        await _next(turn, draft)
    outcome = await _send(turn, findings)
    late = [TOO_LATE.format(steer=steer) for steer in [*draft.new, *map(in_short, await turn.step())]]
    await speak(turn.text, outcome + "".join(late))


def _draft(turn: Turn, findings: Findings) -> Draft:
    """Return the draft to start from: empty, or where the answer to continue has broken off."""
    before = earlier(turn)
    if before is None:
        return Draft()
    draft = Draft(**cast(dict[str, Any], (before.metadata or {}).get("draft", {})))
    if FIRST_SECTION <= draft.stage < SEND and (said := texts(before)[-1:]):
        section = findings.section(draft.stage - FIRST_SECTION, draft)
        # Else it is the previous section: this one has no text yet.
        draft.said = len(said[0]) if section.startswith(said[0]) else 0
    return draft


async def _next(turn: Turn, draft: Draft) -> None:
    """Begin the next stage, with what people have said meanwhile."""
    for steer in await turn.step():
        draft.steer(steer)
    draft.stage, draft.said = draft.stage + 1, 0
    await _note(turn, draft)


async def _note(turn: Turn, draft: Draft) -> None:
    """Record the report's progress."""
    await turn.metadata({"draft": asdict(draft)})


async def _search(turn: Turn, findings: Findings) -> None:
    seconds = SILENCE / conf.settings.demo_tokens_per_s
    plan = PLAN.format(topic=findings.topic, stands_for=STANDS_FOR_S, seconds=seconds)
    await speak(turn.reasoning, plan)
    call = await turn.tool("search_sources", {"query": findings.topic, "most": 3}, title="Search for sources")
    await pause(20)
    await call.output(findings.sources)


async def _read(turn: Turn, findings: Findings) -> None:
    call = await turn.tool(
        "read_archive",
        {"sources": findings.sources, "stands_for_s": STANDS_FOR_S},
        title=f"Read the archive: {STANDS_FOR_S} s of silence, accelerated",
    )
    await pause(SILENCE)
    await call.output({"pages": findings.figures["pages"], "cases": findings.figures["cases"]})


async def _send(turn: Turn, findings: Findings) -> str:
    """Send the report if a person approves; return the text about it."""
    before = _sent_before(turn)
    if before == "output-available":
        return SENT_BEFORE
    arguments = {"to": "editors@example.org", "subject": f"Report: {findings.topic}", "sections": 3}
    call = await turn.tool("send_report", arguments, title="Send the report")
    decision = await call.approval(WHY_AGAIN if before == "unknown" else WHY, expires_s=DECIDE_S, editable=True)
    if decision.approved:
        return await _approved(call)
    return _not_sent(decision)


def _sent_before(turn: Turn) -> str:
    """Return the state of the sending call in the answer to continue, `unknown` if it broke off, or nothing."""
    before = earlier(turn)
    calls = [part for part in (before.parts if before else []) if part["type"] == "tool-send_report"]
    if not calls:
        return ""
    return "unknown" if calls[-1].get("errorText") == UNKNOWN_OUTCOME else str(calls[-1]["state"])


async def _approved(call: ToolCall) -> str:
    try:
        sent = await call.execute(_deliver)
    except ToolFailed as problem:
        return FAILED.format(problem=problem)
    return SENT.format(**sent)


async def _deliver(arguments: Arguments) -> dict[str, str]:
    to, subject = arguments.get("to"), arguments.get("subject")  # the approver may have edited them
    if not isinstance(to, str) or not ADDRESS.fullmatch(to):
        raise ToolFailed("`to` isn't an address.")
    if not isinstance(subject, str):
        raise ToolFailed("`subject` isn't a text.")
    await pause(20)
    return {"to": to, "subject": in_short(subject)}


def _not_sent(decision: Decision) -> str:
    if decision.actor is None:
        return EXPIRED.format(minutes=DECIDE_S / 60)
    return DENIED.format(reason=f": “{in_short(decision.reason)}”" if decision.reason else "")
