"""A cluster under faults: whatever is killed, frozen or cut off, every client sees one complete history.

A rounds is a number of rounds, each with new sessions; at the end of one all that was seen is checked. What is done
follows from the seed, when it happens does not. The history is in the directory of the test, for
`python -m tests.support.history_checker`.
"""

import asyncio
import faulthandler
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from agents_app.remote import Publisher
from sessions_app.core.errors import HoldfastError
from tests.services import require
from tests.support import history_checker
from tests.support.cluster import FAULTS, LEASE_S, Cluster
from tests.support.concurrent_user import ConcurrentUser
from tests.support.harness import StartServer
from tests.support.history_checker import Recorder
from tests.support.recording_tab import RecordingTab
from tests.support.scripted import EFFECTS, SETTINGS, effects_in
from tests.support.session_invariants import Rows, check, rows_of_postgres
from tests.support.tokens import KEYS, token

MINUTES = float(os.environ.get("HOLDFAST_FAULT_MINUTES", "10"))  # of a long rounds
ROUND_S = 240.0  # within which a round has to come to rest
PAUSES_S = 0.3, 2.5  # between two faults
QUICK = {
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in KEYS.items()),
    "HOLDFAST_TAIL_POLL_MS": "200",
    "HOLDFAST_JOURNAL_EVENTS": "20",
    "HOLDFAST_SIGNALS_PER_MINUTE": "100000",
    "HOLDFAST_FRAMES_PER_SECOND": "10000",
    "HOLDFAST_ANSWER_BYTES_PER_MINUTE": "1000000000",
    "HOLDFAST_LINKS_PER_MINUTE": "100000",
}


@pytest.fixture(autouse=True)
def services() -> None:
    for service in ("postgres", "redis", "nginx"):
        require(service)


async def test_a_round_of_faults(start_server: StartServer, tmp_path: Path) -> None:
    async with fault_rounds(start_server, tmp_path, seed=1) as rounds:
        await rounds.round(people=1, questions=2, faults=["kill", "crash PostgreSQL", "flush Redis", "reload nginx"])


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 3, 4])
async def test_several_minutes_of_faults(start_server: StartServer, tmp_path: Path, seed: int) -> None:
    async with fault_rounds(start_server, tmp_path, seed=seed) as rounds:
        until = time.monotonic() + 60 * MINUTES
        while time.monotonic() < until:
            await rounds.round(people=3, questions=8, faults=rounds.choose_faults(12), failing=2)


@pytest.mark.long
async def test_a_worker_lost_within_a_transaction_blocks_no_other(start_server: StartServer, tmp_path: Path) -> None:
    """PostgreSQL gets no word, as after a power loss, and keeps the session's lock."""
    async with fault_rounds(start_server, tmp_path, seed=5) as rounds, rounds.person() as person:
        await person.send("message", {"parts": [{"type": "text", "text": "w100000"}]})
        tab = person.tabs[0]
        await tab.wait_until(lambda: tab.sessions[person.session].text.startswith("0 "))
        await asyncio.to_thread(vanish_within_a_transaction, rounds.cluster)
        message = await tab.wait_for_end(person.session, 120)
        assert message.status == "interrupted"
        await person.ask(1)
        await person.settle()


def vanish_within_a_transaction(cluster: Cluster) -> None:
    """Stop the worker at work while it holds the lock of a session's row, and all that it sends, its end too."""
    [at_work] = cluster.postgres.ask(
        "SELECT name FROM sessions_app_worker WHERE id = (SELECT worker_id FROM sessions_app_run)"
    )
    pid = int(at_work["name"].rpartition(":")[2])
    member = next(member for member in cluster.members if member.server.pid == pid)
    holding = (
        "SELECT 1 FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE state = 'idle in transaction'"
        " AND relation = 'sessions_app_session'::regclass AND mode = 'RowShareLock'"
    )
    while True:
        member.server.freeze()
        time.sleep(0.1)  # what is on its way arrives; the others' transactions end
        if cluster.postgres.ask(holding):
            break
        member.server.thaw()
    member.to_postgres.strand()
    member.server.kill9()


@asynccontextmanager
async def fault_rounds(start_server: StartServer, place: Path, *, seed: int) -> AsyncIterator["FaultRounds"]:
    effects = place / "effects"
    effects.touch()
    recorder = Recorder(place / "history.jsonl")
    settings = QUICK | SETTINGS | {EFFECTS: str(effects)}
    random = Random(seed)
    print(f"seed {seed}, history in {recorder.path}")
    async with Cluster(start_server, random, recorder, settings) as cluster:
        try:
            yield FaultRounds(cluster, random, recorder, effects)
        finally:
            recorder.close()
            print(history_checker.summary(history_checker.read(recorder.path)))


class FaultRounds:
    """Users, a remote agent, and the faults of the processes between them."""

    def __init__(self, cluster: Cluster, random: Random, recorder: Recorder, effects: Path) -> None:
        self.cluster = cluster
        self.random = random
        self.recorder = recorder
        self.effects = effects
        self._names = 0

    def choose_faults(self, count: int) -> list[str]:
        return self.random.choices(list(FAULTS), list(FAULTS.values()), k=count)

    async def round(self, *, people: int, questions: int, faults: list[str], failing: int = 1) -> None:
        """Run one round. `failing`: how many faults may be under way at once."""
        # A test that hangs is ended; a rounds is long, and only its rounds can hang.
        faulthandler.dump_traceback_later(2 * ROUND_S, exit=True, file=sys.__stderr__)
        async with AsyncExitStack() as stack, asyncio.timeout(ROUND_S):
            asking = [await stack.enter_async_context(self.person()) for _ in range(people)]
            reader = await stack.enter_async_context(self.person(agent=""))
            enough = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.publish(reader, enough))
                async with asyncio.TaskGroup() as until_enough:
                    for person in asking:
                        until_enough.create_task(person.ask(questions))
                    for number in range(failing):
                        until_enough.create_task(self.fail(faults[number::failing]))
                enough.set()
            self.cluster.check_alive()
            for person in (*asking, reader):
                await person.settle()
            ran = effects_in(self.effects)
            for effect in ran:
                self.recorder.note("ran", effect=effect)
            for person in asking:
                check(person, await self.note_states(person), ran)
            await self.note_states(reader)
        wrong = history_checker.check(self.recorder.entries)
        assert not wrong, "\n".join(wrong)
        self.recorder.entries.clear()
        self.effects.write_text("")

    @asynccontextmanager
    async def person(self, **fields: Any) -> AsyncIterator[ConcurrentUser]:
        async with AsyncExitStack() as stack:
            tabs = []
            for _ in range(2):
                self._names += 1
                tab = RecordingTab(
                    self.cluster.url, f"tab {self._names}",
                    random=Random(self.random.random()), recorder=self.recorder,
                )  # fmt: skip
                tabs.append(await stack.enter_async_context(tab))
            session = await tabs[0].create_session(**fields)
            tabs[1].http.cookies = tabs[0].http.cookies  # the same person, in another tab
            tabs[1].http.headers["X-CSRFToken"] = tabs[0].http.cookies["csrftoken"]
            for tab in tabs:
                await tab.follow(session)
            yield ConcurrentUser(tabs[0], tabs[1], session, Random(self.random.random()))

    async def fail(self, faults: list[str]) -> None:
        for fault in faults:
            await asyncio.sleep(self.random.uniform(*PAUSES_S))
            await self.cluster.fail(fault)

    async def publish(self, reader: ConcurrentUser, enough: asyncio.Event) -> None:
        """An agent elsewhere, which is replaced by its successor now and then, and stopped by its reader."""
        while not enough.is_set():
            publisher = Publisher(
                self.cluster.url, token=token(sub="agent:elsewhere", scope="publish"),
                producer="elsewhere", beat_s=LEASE_S / 6,
            )  # fmt: skip
            async with publisher:
                for _ in range(self.random.randint(1, 4)):
                    await self.answer(publisher, reader.session, enough)
                    if enough.is_set():
                        return
                if self.random.random() < 0.5:
                    await reader.send("cancel", {})

    async def answer(self, publisher: Publisher, session: str, enough: asyncio.Event) -> None:
        answer = publisher.answer(session)
        said = ""
        try:
            async with answer:
                for number in range(self.random.randint(20, 200)):
                    if enough.is_set():
                        break
                    said += f"{number}é "
                    await answer.text(f"{number}é ")
                    if number % 5 == 0:
                        await answer.flush()
                        self.note_acknowledged(session, answer.uid, said)
                    await asyncio.sleep(0.02)
            self.note_acknowledged(session, answer.uid, said, ended=True)
        except HoldfastError:
            pass  # it was ended by others: its lease ran out meanwhile
        self.recorder.note("said", session=session, message=answer.uid, text=said)

    def note_acknowledged(self, session: str, message: str, text: str, *, ended: bool = False) -> None:
        self.recorder.note("acknowledged", session=session, message=message, text=text, ended=ended)

    async def note_states(self, person: ConcurrentUser) -> Rows:
        """Record the final states of the store, each server and each tab."""
        session = person.session
        rows = await asyncio.to_thread(rows_of_postgres, self.cluster.postgres, session)
        for run in rows.runs:
            cancel = next((row["uid"] for row in rows.keys.values() if row["id"] == run["cancel_id"]), "")
            self.recorder.note("run", session=session, uid=run["uid"], status=run["status"], cancel=cancel)
        for row in rows.approvals:
            effect = json.loads(row["input"])["effect"]
            self.recorder.note(
                "approval", session=session, effect=effect, status=row["status"], execution=row["execution"]
            )
        self.note_state(
            session, history_checker.STORE, rows.session["tail"], stored_messages(rows), stored_signals(rows)
        )
        for web in self.cluster.webs:
            async with httpx.AsyncClient(base_url=web.url, cookies=person.tabs[0].http.cookies) as http:
                path = f"/api/sessions/{session}"
                tail = rows.session["tail"]
                self.note_state(
                    session,
                    web.url,
                    tail,
                    await pages(http, f"{path}/messages/"),
                    await pages(http, f"{path}/signals/"),
                )
        for tab in person.tabs:
            followed = tab.sessions[session]
            messages = [vars_of(message) for message in followed.messages.values()]
            assert isinstance(tab, RecordingTab)
            self.note_state(session, tab.name, followed.cursor.serial, messages, [*followed.signals.values()])
        return rows

    def note_state(
        self, session: str, of: str, serial: int, messages: list[dict[str, Any]], signals: list[dict[str, Any]]
    ) -> None:
        self.recorder.note(
            "state", session=session, of=of, serial=serial,
            messages=[{name: message[name] for name in MESSAGE} for message in messages],
            signals=sorted(({name: signal[name] for name in SIGNAL} for signal in signals), key=lambda one: one["id"]),
        )  # fmt: skip


# What is compared of each.
MESSAGE = "id", "role", "status", "reason", "parts", "first_serial", "last_serial"
SIGNAL = "id", "kind", "status", "code", "reason", "message"


def stored_messages(rows: Rows) -> list[dict[str, Any]]:
    return [
        row | {"id": row["uid"], "parts": json.loads(row["parts"]), "reason": json.loads(row["reason"] or "null")}
        for row in sorted(rows.messages.values(), key=lambda row: row["first_serial"])
    ]


def stored_signals(rows: Rows) -> list[dict[str, Any]]:
    return [
        row | {"id": row["uid"], **{name: row[name] or None for name in ("code", "reason", "message")}}
        for row in rows.signals.values()
    ]


def vars_of(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in MESSAGE}


async def pages(http: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    """Return all of a history, the oldest first."""
    results: list[dict[str, Any]] = []
    following: str | None = f"{path}?order=oldest&limit=200"
    while following:
        answer = await http.get(following, timeout=40)
        if answer.status_code == 503:  # its connection to PostgreSQL was cut a moment ago
            await asyncio.sleep(0.1)
            continue
        answer.raise_for_status()
        results += answer.json()["results"]
        following = answer.json()["next"]
    return results
