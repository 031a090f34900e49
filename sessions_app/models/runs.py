"""Runs, and the workers that hold them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from sessions_app.core.branches import Place
from sessions_app.core.busy import POLICIES
from sessions_app.models.ids import new_id, new_uid
from sessions_app.models.sessions import Session
from sessions_app.models.signals import Signal


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self) -> WorkerQuerySet:
        """Workers whose lease hasn't run out."""
        return self.filter(alive=True)


class Worker(models.Model):
    """A writer of responses: a server process, or a remote producer in one epoch. Alive while `beats` goes up."""

    id = models.CharField(primary_key=True, max_length=22, default=new_id, editable=False)
    name = models.CharField(
        max_length=160, help_text="Host and process id, or the remote producer's name. For display."
    )
    producer = models.CharField(max_length=160, blank=True, help_text="For a remote producer: its identity and name.")
    epoch = models.BigIntegerField(default=0, help_text="For a remote producer. A higher epoch fences it.")
    agents = models.TextField(  # NULL, since a column with a default would rewrite the table on SQLite
        null=True, help_text="For a remote worker: JSON, the names of the agents that it runs."
    )
    link = models.CharField(  # likewise
        max_length=22, null=True, editable=False, help_text="For a remote worker: its newest connection, which claims."
    )
    beats = models.BigIntegerField(default=0)
    alive = models.BooleanField(default=True)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now, help_text="For display. Leases never compare clocks.")

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["id"], condition=Q(alive=True), name="worker_alive")]
        constraints = [
            models.UniqueConstraint(
                fields=["producer", "epoch"], condition=~Q(producer=""), name="one_worker_of_a_producer_in_an_epoch"
            )
        ]

    def __str__(self) -> str:
        return self.name


class RemoteAgent(models.Model):
    """An agent elsewhere, as the newest worker that runs it has declared it. It stays when no worker is there."""

    name = models.CharField(primary_key=True, max_length=64)
    while_busy = models.CharField(
        max_length=16, choices=[(policy, policy) for policy in POLICIES],
        help_text="What becomes of a message that arrives while the agent is at work.",
    )  # fmt: skip
    since = models.DateTimeField(help_text="When the worker that has declared it began, by the site's clock.")

    def __str__(self) -> str:
        return self.name


class RunQuerySet(models.QuerySet["Run"]):
    def waiting(self) -> RunQuerySet:
        """Runs that no worker has claimed yet."""
        return self.filter(status=Run.Status.WAITING)

    def running(self) -> RunQuerySet:
        """Runs that a worker is at work on."""
        return self.filter(status=Run.Status.RUNNING)

    def active(self) -> RunQuerySet:
        """Runs that are waiting or running."""
        return self.filter(status__in=(Run.Status.RUNNING, Run.Status.WAITING))

    def ended(self) -> RunQuerySet:
        """Runs that are over."""
        return self.filter(status=Run.Status.ENDED)


class Run(models.Model):
    """One agent at work on one response of a session. Its fence is its worker, whose id is never given twice."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        ENDED = "ended"

    class Mode(models.TextChoices):
        ANSWER = "answer"
        CONTINUE = "continue"
        REGENERATE = "regenerate"

    id = models.CharField(primary_key=True, max_length=22, default=new_id, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="runs")
    agent = models.CharField(max_length=64, blank=True, help_text="Name of the agent. Empty for a remote producer.")
    status = models.CharField(max_length=16, choices=Status, default=Status.WAITING)
    worker = models.ForeignKey(Worker, on_delete=models.SET_NULL, null=True, related_name="runs")
    uid = models.CharField("response", max_length=64, default=new_uid, help_text="Message id of the response.")
    prompt = models.CharField(max_length=64, blank=True, help_text="Message id of the prompt.")
    mode = models.CharField(
        max_length=16,
        choices=Mode,
        default=Mode.ANSWER,
        help_text="Answer a prompt, or continue or regenerate an earlier answer.",
    )
    earlier = models.CharField(max_length=64, blank=True, help_text="Message id of the earlier answer.")
    parent = models.CharField(
        max_length=64, null=True, help_text="Message id of the last message when the run was created; see `place`."
    )
    cause = models.ForeignKey(
        Signal, on_delete=models.SET_NULL, null=True, related_name="caused", help_text="Signal that caused the run."
    )
    cancel = models.ForeignKey(
        Signal, on_delete=models.SET_NULL, null=True, related_name="cancels", help_text="Signal that stops the run."
    )
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    # Of a remote producer; see `publishing.producers`.
    sequence = models.BigIntegerField(default=0, help_text="Number of the last batch.")
    serial = models.BigIntegerField(default=0, help_text="Serial of the last batch's last chunk.")
    refusal = models.CharField(max_length=32, blank=True, help_text="Error that cut the last batch short.")
    digests = models.TextField(null=True, help_text="Digests of the last batches, newest last.")
    halves = models.TextField(null=True, help_text="JSON: halves of surrogate pairs that wait for the next batch.")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        indexes = [
            # Workers look for the oldest that waits; the lease check looks for those of a dead worker.
            models.Index(fields=["created_at"], condition=Q(status="waiting"), name="run_waiting"),
            models.Index(fields=["worker"], condition=Q(status="running"), name="run_running"),
            # A signal looks for what is at work in its session; a worker, whether it may claim there.
            models.Index(fields=["session", "status"], name="run_session_status"),
            # A purge: what ended before the cut-off.
            models.Index(fields=["session", "ended_at"], name="run_session_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.agent or 'agent elsewhere'} {self.id}"

    @property
    def place(self) -> Place | None:
        """Where its response is to stand; None for one that nobody asked for: it follows the last message."""
        if not self.prompt:
            return None
        parent = self.parent or self.prompt  # runs of before they had one
        if self.mode == self.Mode.CONTINUE:
            return Place(self.earlier, continues=True)
        return Place(parent, instead_of=self.earlier if self.mode == self.Mode.REGENERATE else "")
