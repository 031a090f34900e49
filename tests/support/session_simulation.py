"""A simulation of one session: its users, and an agent that does the work of `agents_app` in single steps.

So anything may come between two of them.
"""

import json
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from random import Random
from typing import Any

import orjson

from sessions_app import models
from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import Limits
from sessions_app.runs import calls, claims, inbox, leases, lifecycle, signal_handlers
from tests.support.harness import DEADLINE_S
from tests.support.person import Frame
from tests.support.simulated_agent import Agent, Call
from tests.support.writer import Writer, delta, finish, start, text_end, text_start

OWNER = "guest:1"
LIMITS = Limits(message_bytes=1000, chunk_bytes=1000)


class SessionSimulation:
    """A session, its users, and the worker whose agents answer. `do` takes one action if it is possible."""

    def __init__(self, writer: Writer, session: models.Session, random: Random) -> None:
        self.writer, self.session, self.random = writer, session, random
        self.worker = models.Worker.objects.create(name="test")
        self.reaper = leases.Reaper(writer.log_writer, leases.Lease(writer.log_writer))
        self.agent: Agent | None = None
        self.dead: list[Agent] = []
        self.effects: dict[str, list[str]] = {}  # the processes in which each approved call ran
        self.receipts: dict[str, tuple[signals.Sent, Any]] = {}
        self.number = 0

    def do(self, *names: str) -> None:
        """Take these actions at once: everything they write goes into one transaction."""
        with self.writer.together():
            waiting = [getattr(self, name)() for name in names]
        for done in waiting:
            if done is not None:
                done()

    def go_on(self) -> Any:
        """Take the next action of an undisturbed session."""
        return getattr(self, self._next())()

    def _next(self) -> str:
        if self.agent is None:
            return (
                "claim" if lifecycle.at_work(self.session.pk) else self.random.choice(["message", "message", "retry"])
            )
        if not self.agent.begun:
            return "begin"
        if self.agent.call("asked"):
            decided = models.Approval.objects.filter(uid=self.agent.call("asked").approval, decision=None)
            return self.random.choice(["approve", "approve", "deny"]) if decided.exists() else "decide"
        if self.agent.call("decided"):
            return "execute"
        if self.agent.call("begun"):
            return "output"
        return self.random.choice(["word", "step", "ask", "ask", "finish"])

    # People

    def message(self) -> Any:
        return self._send("message", self._text())

    def steer(self) -> Any:
        return self._send("steer", self._text())

    def cancel(self) -> Any:
        return self._send("cancel", {})

    def cancel_newest(self) -> Any:
        return self._about_newest_run(lambda run: self._send("cancel", {"message": run.uid}))

    def approve(self) -> Any:
        return self._about_an_approval(lambda asked: {"input_hash": asked.input_hash}, "approve")

    def approve_other(self) -> Any:
        return self._about_an_approval(lambda asked: {"input_hash": "sha256:of another"}, "approve")

    def deny(self) -> Any:
        return self._about_an_approval(lambda asked: {}, "deny")

    def result(self) -> Any:
        return self._about_newest_run(
            lambda run: self._send("tool-result", {"message": run.uid, "call": "call_1", "output": 1})
        )

    def continue_(self, mode: str = "continue") -> Any:
        return self._about_newest_run(lambda run: self._send("retry", {"message": run.uid, "mode": mode}))

    def regenerate(self) -> Any:
        return self.continue_("regenerate")

    def retry(self) -> Any:
        """Go on with the newest answer, or write it again if it is complete."""
        answers = models.Message.objects.filter(session=self.session, role="assistant").order_by("-first_serial")
        status = answers.values_list("status", flat=True).first()
        return (
            self.message() if status is None else self.continue_("regenerate" if status == "complete" else "continue")
        )

    def regenerate_any(self) -> Any:
        """Write an answer of any age again, also one that was replaced or that is at work."""
        runs = list(models.Run.objects.filter(session=self.session).order_by("created_at"))
        return self._send("retry", {"message": self.random.choice(runs).uid, "mode": "regenerate"}) if runs else None

    def again(self) -> Any:
        """Send a signal once more, as a client without a receipt does."""
        if not self.receipts:
            return None
        sent, receipt = self.random.choice(list(self.receipts.values()))
        if isinstance(receipt, HoldfastError):
            return None
        done = self.writer.change(self.session, signal_handlers.handle, sent)

        def check() -> None:
            repeated = outcome(done)
            assert (repeated.serial, repeated.problem is None) == (receipt.serial, receipt.problem is None), sent

        return check

    def _send(self, kind: str, payload: Frame) -> Callable[[], None]:
        self.number += 1
        id = f"{kind}-{self.number:05}"
        sent = signals.read(id, kind, payload, actor=OWNER, limits=LIMITS)
        done = self.writer.change(self.session, signal_handlers.handle, sent)
        return lambda: self.receipts.update({id: (sent, outcome(done))})

    def _text(self) -> Frame:
        return {"parts": [{"type": "text", "text": f"text {self.number}"}]}

    def _about_newest_run(self, send: Callable[[models.Run], Any]) -> Any:
        run = models.Run.objects.filter(session=self.session).order_by("-created_at").first()
        return send(run) if run else None

    def _about_an_approval(self, fields: Callable[[models.Approval], Frame], kind: str) -> Any:
        asked = models.Approval.objects.filter(session=self.session).order_by("-id").first()
        return self._send(kind, {"approval": asked.uid, **fields(asked)}) if asked else None

    # The agent

    def claim(self) -> Any:
        if self.agent is not None:
            return None
        done = self.writer.change(self.session, claims.claim_run, self.worker.pk)

        def apply() -> None:
            run = outcome(done)
            self.agent = None if run is None else Agent(run)

        return apply

    def begin(self) -> Any:
        if self.agent is None or self.agent.begun:
            return None
        self.agent.begun = True
        return self._write(start(self.agent.run.uid), text_start())

    def word(self) -> Any:
        if not self._speaks():
            return None
        assert self.agent
        self.agent.words += 1
        return self._write(delta(f"{self.agent.words - 1} "))

    def step(self) -> Any:
        if not self._speaks():
            return None
        assert self.agent
        self._look()
        steers = [
            ({"type": "steering-message", "id": steer.id, "parts": steer.payload["parts"]}, steer.key)
            for steer in self.agent.inbox.take_steers()
        ]
        chunks = [text_end(), *(chunk for chunk, _ in steers), text_start()]
        also = [(number + 1, partial(calls.apply_signal, key)) for number, (_, key) in enumerate(steers)]
        return self._write(*chunks, also=tuple(also))

    def ask(self) -> Any:
        if not self._speaks():
            return None
        assert self.agent
        call = Call(f"call_{len(self.agent.calls) + 1}", f"approval_{models.new_id()}")
        self.agent.calls.append(call)
        arguments = {"effect": models.new_id()}
        approval = models.Approval(
            session=self.session, run=self.agent.run, uid=call.approval, call=call.id, tool="act",
            input=orjson.dumps(arguments).decode(), input_hash=signals.input_hash(arguments),
        )  # fmt: skip
        return self._write(
            {"type": "tool-input-available", "toolCallId": call.id, "toolName": "act", "input": arguments},
            {"type": "tool-approval-request", "toolCallId": call.id, "approvalId": call.approval},
            also=((1, partial(calls.insert_approval, approval)),),
        )

    def decide(self) -> Any:
        if not self._speaks() or not (call := self.agent and self.agent.call("asked")):
            return None
        assert self.agent
        self._look()
        awaited = self.agent.inbox._awaited.get(call.approval)
        if awaited is None or not awaited.done():
            return None
        decision = awaited.result()
        call.state = "decided" if decision.kind == "approve" else "denied"
        return self._respond(call, decision.kind == "approve", also=((0, partial(calls.apply_signal, decision.key)),))

    def expire(self) -> Any:
        if not self._speaks() or not (call := self.agent and self.agent.call("asked")):
            return None
        done = self.writer.change(self.session, lifecycle.expire, call.approval)

        def apply() -> None:
            if outcome(done) is True:
                call.state = "denied"
                self._respond(call, False)()

        return apply

    def execute(self) -> Any:
        if not self._speaks() or not (call := self.agent and self.agent.call("decided")):
            return None
        assert self.agent
        return self._execute(self.agent, call)

    def output(self) -> Any:
        if not self._speaks() or not (call := self.agent and self.agent.call("begun")):
            return None
        call.state = "done"
        chunk = {"type": "tool-output-available", "toolCallId": call.id, "output": 1}
        return self._write(chunk, also=((0, partial(calls.end_call, call.approval, models.Approval.Execution.DONE)),))

    def deliver(self) -> Any:
        """Let the inbox report a signal's delivery, some time after it."""
        opened = models.Signal.objects.filter(session=self.session, status="accepted").exclude(run=None).first()
        if self.agent is None or opened is None or opened.run_id != self.agent.run.pk:
            return None
        done = self.writer.change(self.session, inbox._delivered, opened.pk)
        return lambda: outcome(done)

    def finish(self) -> Any:
        return self._end(finish())

    def fail(self) -> Any:
        return self._end({"type": "error", "errorText": "It failed."})

    def stop(self) -> Any:
        if self.agent is None or models.Run.objects.get(pk=self.agent.run.pk).cancel_id is None:
            return None
        beginning = [] if self.agent.begun else [start(self.agent.run.uid)]
        done = self._write(*beginning, {"type": "abort", "reason": "Stopped."})
        self.agent = None
        return done

    def hand_back(self) -> Any:
        if self.agent is None or self.agent.begun:
            return None
        done = self.writer.change(self.session, claims.hand_back_run, self.agent.run.pk, self.worker.pk)

        def apply() -> None:
            if outcome(done) is True:
                self.agent = None

        return apply

    def die(self) -> Any:
        """Let the worker die; another process ends its answers, and a third continues."""
        models.Worker.objects.filter(pk=self.worker.pk).update(alive=False)
        self.worker = models.Worker.objects.create(name="test")
        return self._reap()

    def cut_off(self) -> Any:
        """Let the supervisor find that a run has not stopped in time."""
        if self.agent is None or models.Run.objects.get(pk=self.agent.run.pk).cancel_id is None:
            return None
        return self._reap()

    def zombie(self) -> Any:
        """Let an agent whose run was ended by others continue as if nothing had happened."""
        waiting: list[Callable[[], object]] = []
        for agent in self.dead:
            waiting.append(partial(outcome, self._submit(agent, delta("a zombie"))))
            waiting += [self._execute(agent, call) for call in agent.calls if call.state in ("asked", "decided")]
        return lambda: [done() for done in waiting]

    def _reap(self) -> Callable[[], None] | None:
        if self.agent is None:
            return None
        agent, self.agent = self.agent, None
        self.dead.append(agent)

        def reap() -> None:
            run = models.Run.objects.select_related("worker").get(pk=agent.run.pk)
            if run.status == "running":
                self.writer.run(self.reaper._end_orphan(run))

        return reap

    def _execute(self, agent: Agent, call: Call) -> Callable[[], None]:
        done = self.writer.change(self.session, calls.begin_call, call.approval, agent.run.pk, models.new_id())
        arguments = json.loads(models.Approval.objects.get(uid=call.approval).input)

        def apply() -> None:
            if outcome(done) is True:
                call.state = "begun"
                self.effects.setdefault(arguments["effect"], []).append("here")

        return apply

    def _respond(self, call: Call, approved: bool, *, also: Any = ()) -> Callable[[], None]:
        response = {"type": "tool-approval-response", "approvalId": call.approval, "approved": approved}
        denied = [] if approved else [{"type": "tool-output-denied", "toolCallId": call.id}]
        return self._write(response, *denied, also=also)

    def _end(self, chunk: Frame) -> Any:
        if self.agent is None or not self.agent.begun:
            return None
        done = self._write(chunk)
        self.agent = None
        return done

    def _speaks(self) -> bool:
        return self.agent is not None and self.agent.begun

    def _look(self) -> None:
        assert self.agent
        found = inbox._find([self.agent.run.worker_id or ""])
        for _, signal in inbox._read([each.run for each in found]):
            self._in_loop(lambda signal=signal: self.agent.inbox.put(signal))

    def _in_loop(self, work: Callable[[], object]) -> None:
        async def do() -> None:
            work()

        self.writer.run(do())

    def _write(self, *chunks: Frame, also: Any = ()) -> Callable[[], None]:
        assert self.agent
        done = self._submit(self.agent, *chunks, also=also)
        return lambda: raise_unless_fenced(outcome(done))

    def _submit(self, agent: Agent, *chunks: Frame, also: Any = ()) -> "Future[Any]":
        run = agent.run
        return self.writer.submit(
            self.session, run.uid, list(chunks), run=run.pk, worker=run.worker_id or "", also=also, place=run.place
        )

    def end_everything(self) -> Callable[[], None]:
        """Let agents finish what was begun and answer what waits."""

        def end() -> None:
            while lifecycle.at_work(self.session.pk):
                for name in ("claim", "begin", "stop", "word", "finish"):
                    self.do(name)

        return end


setattr(SessionSimulation, "continue", SessionSimulation.continue_)


def outcome(done: "Future[Any]") -> Any:
    try:
        return done.result(DEADLINE_S)
    except HoldfastError as problem:
        assert problem.code not in ("internal", "storage_unavailable"), problem
        return problem


def raise_unless_fenced(outcome: Any) -> None:
    if isinstance(outcome, HoldfastError) and outcome.code != "fenced":
        raise outcome
