"""A publishing process for tests: it writes answers of known text and records the acknowledgements.

As a program (`python -m tests.support.publisher notes session…`) it publishes until it is told to stop; `Publisher`
starts and kills it. The text of an answer follows from its message's id alone, so whoever finds it can tell.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.harness import DEADLINE_S, ROOT, wait_for

WORDS_PER_FLUSH = 5


def words(uid: str) -> Iterator[str]:
    """The words of an answer: no two are the same, so a lost, repeated or moved one is seen."""
    number = 0
    while True:
        yield f"{uid[-4:]}-{number} "
        number += 1


def is_what_was_sent(uid: str, text: str) -> bool:
    """Return whether a text is the beginning of the answer with this id."""
    sent = words(uid)
    while text:
        word = next(sent)
        if not text.startswith(word[: len(text)]):
            return False
        text = text[len(word) :]
    return True


class Publisher:
    """The process, and its notes. `pace`: words a second in each session. `answers`: how many, 0 for no end."""

    def __init__(
        self, place: Path, environment: dict[str, str], sessions: list[str], *, pace: float = 50, length: int = 0
    ) -> None:
        self.notes_path = place / f"publisher-{sessions[0]}.notes"
        self.log_path = place / f"publisher-{sessions[0]}.log"
        self.sessions = sessions
        arguments = [str(self.notes_path), str(pace), str(length), *sessions]
        self.command = [sys.executable, "-m", "tests.support.publisher", *arguments]
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Publisher":
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    @property
    def notes(self) -> list[dict[str, Any]]:
        """Return the acknowledgements, in order: {session, uid, length (of the text), ended}."""
        if not self.notes_path.exists():
            return []
        whole, _, _cut = self.notes_path.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def wait_until_heard(self, sessions: int = 0, more_than: int = 0) -> None:
        """Wait until an append has been acknowledged in each of its sessions."""
        wanted = set(self.sessions[: sessions or None])
        wait_for(
            lambda: wanted <= {note["session"] for note in self.notes[more_than:]},
            DEADLINE_S,
            lambda: f"no notes:\n{self.log}",
        )

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def wait(self, within: float = DEADLINE_S) -> int:
        assert self.process
        return self.process.wait(within)

    def terminate(self) -> int:
        """Let it finish its answers, once it has begun them: a program that is still starting would die."""
        self.wait_until_heard()
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill9()


# The program


async def publish(notes: int, pace: float, length: int, sessions: list[str]) -> None:
    from sessions_app.process import Process

    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    process = Process()
    await process.start()
    try:
        await asyncio.gather(*(answer(process, session, notes, pace, length, stopping) for session in sessions))
    finally:
        await process.stop()


async def answer(process: Any, session: str, notes: int, pace: float, length: int, stopping: asyncio.Event) -> None:
    from sessions_app.core.errors import HoldfastError

    response = process.writers.unprompted(session, agent="test")
    written = 0

    def note(**more: Any) -> None:
        line = {"session": session, "uid": response.uid, "length": written, "ended": False, "error": ""} | more
        os.write(notes, json.dumps(line).encode() + b"\n")  # no buffer that a kill could empty

    try:
        await response.write({"type": "start", "messageId": response.uid})
        await response.write({"type": "text-start", "id": "t"})
        for number, word in enumerate(words(response.uid)):
            if stopping.is_set() or 0 < length <= number:
                break
            await response.write({"type": "text-delta", "id": "t", "delta": word})
            written += len(word)
            if number % WORDS_PER_FLUSH == 0:
                await response.flush()
                note()
            await asyncio.sleep(1 / pace)
        await response.write({"type": "finish", "finishReason": "stop"})
        await response.flush()
        note(ended=True)
    except HoldfastError as problem:
        note(error=problem.code)


def main() -> None:
    import django

    django.setup()
    notes, pace, length, *sessions = sys.argv[1:]
    file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    asyncio.run(publish(file, float(pace), int(length), sessions))


if __name__ == "__main__":
    main()
