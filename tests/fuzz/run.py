"""A run of the fuzz against one server: workers with a seed each, and the checks of its log, memory and disk."""

import asyncio
import json
import re
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx

from tests.fuzz import doors, requests, sockets
from tests.fuzz.doors import Known
from tests.fuzz.requests import Exchange, Learned, Visitor
from tests.support.harness import DEADLINE_S, Server, guest, manage
from tests.support.raw_socket import TEXT, RawSocket

# Nobody is refused for the number of requests, and streams end soon.
SETTINGS = {
    f"HOLDFAST_{name}": value
    for name, value in {
        "FRAMES_PER_SECOND": "1000000", "SIGNALS_PER_MINUTE": "1000000", "LINKS_PER_MINUTE": "1000000",
        "ANSWER_BYTES_PER_MINUTE": "1000000000000", "SESSIONS_PER_HOUR": "1000000",
        "READS_PER_MINUTE": "1000000", "WRITES_PER_MINUTE": "1000000", "CONNECTIONS_PER_OWNER": "1000",
        "STREAM_MS": "1000", "POLL_MS": "200", "REQUEST_HEAD_S": "2", "REQUEST_BODY_S": "2", "RUNS_PER_PROCESS": "0",
        "TOKEN_KEYS": "fuzz:a-secret-of-the-fuzz-alone-0123456789",
    }.items()
}  # fmt: skip
PASSWORD = "a password of the fuzz alone"
WORKERS = 8
RENEW_S = 15
MOST_MEMORY_MIB = 96  # growth after the first tenth: what is loaded late, caches with a limit
MOST_DISK_MIB = 256  # what requests may store within their limits, and one line of the access log each
BAD_LINE = re.compile(r"Traceback|\bERROR\b|CRITICAL|Exception in|never awaited|never retrieved")
MIB = 1 << 20


@dataclass
class Findings:
    """What went wrong, with what was sent before."""

    problems: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    recent: deque[Exchange] = field(default_factory=lambda: deque(maxlen=24))

    def note(self, result: Exchange, door: str) -> None:
        self.recent.append(result)
        self.statuses[f"{door} {result.status}"] += 1
        if requests.is_failure(result):
            self.problems.append(f"{result.status} for {shortened(result.sent)}\n  answer: {result.answer[:600]!r}")

    def note_log(self, lines: str) -> None:
        if found := BAD_LINE.search(lines):
            sent = "\n  ".join(f"{one.status} {shortened(one.sent)}" for one in self.recent)
            start = max(0, found.start() - 100)
            self.problems.append(f"in the log:\n{lines[start : start + 4000]}\n sent before, among others:\n  {sent}")


class Fuzz:
    """One run. It ends after a number of requests, or of seconds, or when enough was found."""

    MOST_PROBLEMS = 5

    def __init__(self, server: Server, seed: str, *, requests: int | None = None, seconds: float | None = None) -> None:
        self.server = server
        self.seed = seed
        self.known = Known()
        self.visitors: dict[str, Visitor] = {}
        self.learned = Learned(doors.routes())
        self.findings = Findings()
        self._left = requests
        self._seconds = seconds
        self._until: float | None = None
        self._log_read = 0
        self._staff: dict[str, str] = {}
        self._staffs = 0

    def prepare(self) -> None:
        """Create people, sessions and tokens: requests of the fuzz delete them, and sign people out."""
        people = [guest(self.server), guest(self.server), self._administrator()]
        for headers in people:
            cookies = dict(part.split("=", 1) for part in headers["Cookie"].split("; "))
            headers["X-CSRFToken"] = cookies[csrf_cookie(cookies)]
        ids = [
            self._post("/api/sessions/", headers).json()["id"]
            for headers in (people[0], people[0], people[2], people[1])
        ]
        *self.known.sessions, self.known.strangers = ids
        self.known.cursors = [*map(self._cursor, (people[0], people[0]), ids), "x-1", "-"]
        body = {"sub": "svc:fuzz", "scope": "read send approve cancel publish", "sessions": ["*"]}
        self.known.tokens = [self._post("/api/tokens/", people[2], body).json()["token"]]
        token = {"Authorization": f"Bearer {self.known.tokens[0]}"}
        named: dict[str, dict[str, str]] = {"nobody": {}, "guest": people[0], "staff": people[2], "token": token}
        self.visitors = {name: Visitor(headers) for name, headers in named.items()}

    def _post(self, path: str, headers: dict[str, str], body: object = None) -> httpx.Response:
        response = httpx.post(f"{self.server.url}{path}", json=body or {}, headers=headers, timeout=DEADLINE_S)
        assert response.is_success, response.text
        return response

    def _administrator(self) -> dict[str, str]:
        """Return the headers of a signed-in administrator: the last one's, unless requests have ended that."""
        if self._staff and httpx.get(f"{self.server.url}/admin/", headers=self._staff).status_code == 200:
            return self._staff
        self._staffs += 1
        name = f"admin{self._staffs}"  # the fuzz may have changed another one's password
        environment = self.server.environment | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        arguments = ("createsuperuser", "--no-input", "--username", name, "--email", "a@localhost")
        manage(*arguments, environment=environment)
        page = httpx.get(f"{self.server.url}/login/", timeout=DEADLINE_S)
        cookie = csrf_cookie(page.cookies)
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": page.cookies[cookie]}
        headers = {"Cookie": f"{cookie}={page.cookies[cookie]}"}
        answer = httpx.post(f"{self.server.url}/login/", data=form, headers=headers, timeout=DEADLINE_S)
        assert answer.status_code == 302, answer.text
        cookies = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
        self._staff = {"Cookie": cookies, "Origin": self.server.url}
        return self._staff

    def _cursor(self, headers: dict[str, str], session: str) -> str:
        socket = RawSocket(self.server.port, headers=headers)
        socket.send_text(json.dumps({"type": "attach", "session": session}))
        while (frame := json.loads(socket.read_until(TEXT).text))["type"] != "attached":
            pass
        socket.close()
        cursor: str = frame["cursor"]
        return cursor

    async def run(self) -> Findings:
        """Send until the end, then check memory and disk."""
        began = time.monotonic()
        self._until = began + self._seconds if self._seconds else None
        disk = disk_bytes(self.server.place)
        warm: int | None = None
        workers = [asyncio.create_task(self._work(Random(f"{self.seed}/{number}"))) for number in range(WORKERS)]
        renewed = began
        while not all(worker.done() for worker in workers):
            await asyncio.wait(workers, timeout=0.5)
            self._check_log()
            if time.monotonic() - renewed > RENEW_S:
                await asyncio.to_thread(self.prepare)
                renewed = time.monotonic()
            if warm is None and time.monotonic() - began > (self._until - began if self._until else 20) / 10:
                warm = resident_bytes(self.server.pid)
        for worker in workers:
            worker.result()
        await asyncio.to_thread(self._check_end, disk, warm)
        return self.findings

    async def _work(self, random: Random) -> None:
        while self._goes_on():
            if random.random() < 0.2:
                visitor = random.choice(list(self.visitors.values()))
                result = await sockets.conversation(random, self.known, visitor, self.server.port)
                self.findings.note(result, "ws")
            else:
                result = requests.request(random, self.known, self.visitors, self.learned, self.server.port)
                await requests.exchange(self.server.port, result)
                self.learned.learn(result)
                self.findings.note(result, "http")

    def _goes_on(self) -> bool:
        if self._left is not None:
            self._left -= 1
        is_over = (
            self._left is not None and self._left < 0 or self._until is not None and time.monotonic() > self._until
        )
        return not is_over and len(self.findings.problems) < self.MOST_PROBLEMS

    def _check_log(self) -> None:
        with self.server.log_path.open("rb") as log:
            log.seek(self._log_read)
            lines = log.read()
        self._log_read += len(lines)
        self.findings.note_log(lines.decode(errors="replace"))

    def _check_end(self, disk: int, warm: int | None) -> None:
        problems = self.findings.problems
        if self.server.process is None or self.server.process.poll() is not None:
            problems.append("the server has ended")
            return
        if httpx.get(f"{self.server.url}/readyz", timeout=DEADLINE_S).status_code != 200:
            problems.append("the server isn't ready")
        for name, grown, most in (
            ("memory", resident_bytes(self.server.pid) - (warm or resident_bytes(self.server.pid)), MOST_MEMORY_MIB),
            ("disk", disk_bytes(self.server.place) - disk, MOST_DISK_MIB),
        ):
            self.findings.statuses[f"{name} MiB"] = grown // MIB
            if grown > most * MIB:
                problems.append(f"{name} has grown by {grown // MIB} MiB, of at most {most}")


def csrf_cookie(names: Iterable[str]) -> str:
    """Return the name of the CSRF cookie, which has a prefix in production."""
    return next(name for name in names if name.endswith("csrftoken"))


def shortened(sent: bytes) -> str:
    """Return what was sent, readable: no cookies, and long runs of one thing cut."""
    text = re.sub(rb"(?m)^(Cookie|Authorization|X-CSRFToken): (.{60}).*$", rb"\1: \2...", sent)
    return repr(re.sub(rb"(.{1,8}?)\1{20,}", rb"\1<repeated>", text, flags=re.DOTALL)[:1500])


def resident_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def disk_bytes(place: Path) -> int:
    """Return the bytes of the files in the server's folder: database, log, temporary files."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
