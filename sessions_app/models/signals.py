"""Signals that people send into sessions, and the approvals that they decide."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from sessions_app.core import signals
from sessions_app.models.sessions import Session


class SignalQuerySet(models.QuerySet["Signal"]):
    def open(self) -> SignalQuerySet:
        """Signals that are not settled yet: accepted or delivered."""
        return self.filter(status__in=signals.OPEN)

    def settled(self) -> SignalQuerySet:
        """Signals with a final status."""
        return self.exclude(status__in=signals.OPEN)


class Signal(models.Model):
    """A signal sent into a session, with its status. Written in `LogWriter`'s transactions alone."""

    class Status(models.TextChoices):
        ACCEPTED = signals.ACCEPTED
        DELIVERED = signals.DELIVERED
        APPLIED = signals.APPLIED
        REJECTED = signals.REJECTED
        EXPIRED = signals.EXPIRED

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="signals")
    uid = models.CharField(max_length=64, help_text="Its id on the wire, given by its sender.")
    kind = models.CharField(max_length=16)
    actor = models.CharField(max_length=80, help_text="Who sent it.")
    issued_by = models.CharField(  # NULL, since a column with a default would rewrite the table on SQLite
        "token issued by", max_length=80, null=True, help_text="Who had the token issued that it was sent with."
    )
    payload = models.TextField(default="{}", help_text="As it was checked: JSON.")
    target = models.TextField(blank=True, help_text="The approval or tool call that it is about.")
    status = models.CharField(max_length=16, choices=Status, default=Status.ACCEPTED)
    code = models.CharField(max_length=32, blank=True, help_text="The error that rejected it.")
    reason = models.TextField(blank=True, help_text="Why it has this status, for people.")
    run = models.ForeignKey("Run", on_delete=models.SET_NULL, null=True, related_name="signals")
    message = models.CharField(max_length=64, blank=True, help_text="The response that it is about.")
    serial = models.BigIntegerField(help_text="Where it was stored: its receipt's.")
    last_serial = models.BigIntegerField(help_text="Of its latest change.")
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)

    objects = SignalQuerySet.as_manager()

    class Meta:
        ordering = ["session_id", "serial"]  # see Message
        constraints = [models.UniqueConstraint(fields=["session", "uid"], name="signal_uid_in_session")]
        indexes = [
            # A resume: what has changed since the cursor. A rewind: the newest.
            models.Index(fields=["session", "last_serial"], name="signal_session_last"),
            # A run's inbox, and what its end settles.
            models.Index(fields=["run"], condition=Q(status__in=signals.OPEN), name="signal_open_of_run"),
            # The order of the history pages.
            models.Index(fields=["session", "serial"], name="signal_session_serial"),
            # A purge: what has not changed since the cut-off.
            models.Index(fields=["session", "changed_at"], name="signal_session_changed"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.uid}"


class ApprovalQuerySet(models.QuerySet["Approval"]):
    def pending(self) -> ApprovalQuerySet:
        """Approvals that wait for a decision."""
        return self.filter(status=Approval.Status.PENDING)


class Approval(models.Model):
    """A tool call that a person has to approve, with its exact arguments and what is known of its execution."""

    class Status(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        DENIED = "denied"
        EXPIRED = "expired"

    class Execution(models.TextChoices):
        NONE = "", "not begun"
        BEGUN = "begun", "begun, outcome unknown"
        DONE = "done"
        FAILED = "failed"

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="approvals")
    run = models.ForeignKey("Run", on_delete=models.CASCADE, related_name="approvals")
    uid = models.CharField(max_length=64, help_text="Its id on the wire.")
    call = models.TextField(help_text="The tool call's id.")  # up to vocabulary.NAME_BYTES: in no index
    tool = models.TextField()
    input = models.TextField(help_text="The arguments: JSON.")
    input_hash = models.CharField(max_length=80)
    editable = models.BooleanField(default=False)
    reason = models.TextField(blank=True, help_text="What the agent says about it.")
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    expires_at = models.DateTimeField(null=True)
    decision = models.ForeignKey(Signal, on_delete=models.SET_NULL, null=True, related_name="decides")
    decided_at = models.DateTimeField(null=True)
    execution = models.CharField(max_length=8, choices=Execution, default=Execution.NONE, blank=True)
    attempt = models.CharField(
        max_length=22, null=True, editable=False, help_text="By which a repeated beginning of its execution is known."
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["session", "uid"], name="approval_uid_in_session")]

    def __str__(self) -> str:
        return f"{self.tool} {self.uid}"
