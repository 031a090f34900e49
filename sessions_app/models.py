"""What is stored: sessions, their messages, the journal, and who is writing to them."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Left
from django.db.models.lookups import Exact
from django.utils import timezone

from sessions_app import conf
from sessions_app.core import proxies, retention, signals
from sessions_app.core.tokens import ALL

ID_BYTES = 16  # 128 random bits: an id can't be guessed, though knowing one opens nothing
CLOCKS_S = 60  # by which the clocks of those who issue tokens may differ from ours, and more
EPOCH_BYTES = 6  # only has to differ from the same session's earlier epochs and from other sessions'


def new_id() -> str:
    """Return 22 characters of `A-Za-z0-9_-`; the first is no dash, since commands take ids as arguments."""
    while (id_ := secrets.token_urlsafe(ID_BYTES)).startswith("-"):
        pass
    return id_


def derived_id(*parts: str | int) -> str:
    """Return an id as `new_id` makes them that is always the same for these."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return base64.urlsafe_b64encode(digest[:ID_BYTES]).decode().rstrip("=").replace("-", "_")


def new_uid() -> str:
    """Return the message id of a response."""
    return f"m_{new_id()}"


def new_epoch() -> str:
    """Return 12 hexadecimal characters, so that a cursor splits at its only dash."""
    return secrets.token_hex(EPOCH_BYTES)


class RetentionPolicy(models.Model):
    """How long a session's messages are kept after they last changed."""

    name = models.CharField(max_length=64, unique=True)
    hours = models.PositiveIntegerField(validators=[MinValueValidator(retention.MIN_HOURS)])
    is_default = models.BooleanField(default=False, help_text="New sessions get this policy.")

    class Meta:
        ordering = ["hours", "name"]
        verbose_name_plural = "retention policies"
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="one_default_retention_policy"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.hours} h)"

    def cutoff(self, now: datetime) -> datetime:
        """What last changed before this moment has expired."""
        return now - timedelta(hours=self.hours)


class SessionQuerySet(models.QuerySet["Session"]):
    def expired(self, now: datetime | None = None) -> SessionQuerySet:
        """Sessions that nobody may read any more and that a purge will delete."""
        return self.filter(self._is_expired(now or timezone.now()))

    def visible(self, now: datetime | None = None) -> SessionQuerySet:
        """Sessions that are not expired: readers see these only, purged or not."""
        return self.exclude(self._is_expired(now or timezone.now()))

    def fitting(self, patterns: Collection[str]) -> SessionQuerySet:
        """Sessions whose ids fit one of a token's patterns."""
        return self.all() if ALL in patterns else self.filter(Q(*map(_fits, patterns), _connector=Q.OR))

    @staticmethod
    def _is_expired(now: datetime) -> Q:
        # One term per policy, and policies are few: a policy that is changed takes effect at once, without
        # rewriting its sessions, and each term is a range of the index (policy, active_at).
        terms = [Q(policy=policy, active_at__lt=policy.cutoff(now)) for policy in RetentionPolicy.objects.all()]
        return Q(held=False) & Q(*terms, _connector=Q.OR) if terms else Q(pk__in=[])


def _fits(pattern: str) -> Q:
    if not pattern.endswith("*"):
        return Q(pk=pattern)
    # Not `startswith`, which is LIKE: SQLite's doesn't tell upper from lower case.
    return Q(Exact(Left("id", len(pattern) - 1), pattern[:-1]))


class Session(models.Model):
    """A durable conversation. `tail` and `epoch` are written by `ingest` alone."""

    id = models.CharField(primary_key=True, max_length=22, default=new_id, editable=False)
    owner = models.CharField(max_length=80, help_text="user:<id>, guest:<id>, or whom a token acts as.")
    title = models.CharField(max_length=200, blank=True)
    agent = models.CharField(max_length=64, blank=True, help_text="Which agent answers here; none if empty.")
    policy = models.ForeignKey(RetentionPolicy, on_delete=models.PROTECT, related_name="sessions")
    held = models.BooleanField(default=False, help_text="On hold: nothing of it expires.")
    epoch = models.CharField(max_length=12, default=new_epoch, editable=False)
    tail = models.BigIntegerField(default=0, editable=False)
    trimmed = models.BigIntegerField(
        default=0, editable=False, help_text="The highest last serial of what retention removed: messages, signals."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    active_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="When a message last began or ended."
    )

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ["-active_at"]
        indexes = [
            # The list of an owner's conversations, newest first.
            models.Index(fields=["owner", "-active_at"], name="session_owner_active"),
            # What has expired: see SessionQuerySet.
            models.Index(fields=["policy", "active_at"], name="session_policy_active"),
        ]

    def __str__(self) -> str:
        return self.title or self.id

    @property
    def expires_at(self) -> datetime | None:
        """When it expires if nothing more happens; None while on hold."""
        return None if self.held else self.active_at + timedelta(hours=self.policy.hours)


class Message(models.Model):
    """One user turn or one response, folded up to `last_serial`. JSON is kept as text: it is sent as it is."""

    class Status(models.TextChoices):
        STREAMING = "streaming"
        COMPLETE = "complete"
        CANCELLED = "cancelled"
        FAILED = "failed"
        INTERRUPTED = "interrupted"

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="messages")
    uid = models.CharField(max_length=64, help_text="Its id on the wire, unique in its session.")
    role = models.CharField(max_length=16)
    status = models.CharField(max_length=16, choices=Status)
    reason = models.TextField(null=True, help_text="Why it failed, was cancelled or was interrupted: a JSON string.")
    metadata = models.TextField(null=True)
    parts = models.TextField(default="[]")
    open = models.TextField(default="{}", help_text="What the fold needs to go on; see PROTOCOL.md §3.")
    marks = models.TextField(default="[]", help_text="Per part: the serials at which it began and last changed.")
    first_serial = models.BigIntegerField()
    last_serial = models.BigIntegerField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["session", "first_serial"]
        constraints = [
            models.UniqueConstraint(fields=["session", "uid"], name="message_uid_in_session"),
            # Also the order of the history pages.
            models.UniqueConstraint(fields=["session", "first_serial"], name="message_first_serial_in_session"),
        ]
        indexes = [
            # A resume: what has changed since the cursor.
            models.Index(fields=["session", "last_serial"], name="message_session_last"),
            # A purge: what has not changed since the cut-off.
            models.Index(fields=["session", "updated_at"], name="message_session_updated"),
            # An attach reads the few messages that still have journal rows.
            models.Index(fields=["session"], condition=Q(status="streaming"), name="message_session_streaming"),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.uid}"


class JournalEntry(models.Model):
    """One event that is not yet folded into its message's row. Written and removed by `ingest` alone."""

    # Neither an index nor a constraint of its own: each would cost every token a page of the log, or a look-up. The
    # unique constraint below begins with the session too, and `ingest` writes only under the lock of the session's row.
    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, related_name="journal", db_index=False, db_constraint=False
    )
    serial = models.BigIntegerField()
    uid = models.CharField(max_length=64, help_text="The message's.")
    event = models.TextField(help_text="The event as it is sent: JSON.")

    class Meta:
        verbose_name_plural = "journal"
        constraints = [models.UniqueConstraint(fields=["session", "serial"], name="journal_serial_in_session")]


class Worker(models.Model):
    """Who writes responses: a process, or a producer elsewhere in one of its epochs. It lives while `beats` goes up."""

    id = models.CharField(primary_key=True, max_length=22, default=new_id, editable=False)
    name = models.CharField(max_length=160, help_text="Host and process id, or whose producer it is: for people.")
    producer = models.CharField(
        max_length=160, blank=True, help_text="Of one elsewhere: whom it acts as, and its name."
    )
    epoch = models.BigIntegerField(default=0, help_text="Of one elsewhere: a higher one fences it.")
    beats = models.BigIntegerField(default=0)
    alive = models.BooleanField(default=True)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now, help_text="For people: leases never compare clocks.")

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


class Signal(models.Model):
    """What somebody sent into a session, and what became of it. Written in `ingest`'s transactions alone."""

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
    payload = models.TextField(default="{}", help_text="As it was checked: JSON.")
    target = models.CharField(max_length=256, blank=True, help_text="The approval or tool call that it is about.")
    status = models.CharField(max_length=16, choices=Status, default=Status.ACCEPTED)
    code = models.CharField(max_length=32, blank=True, help_text="The error that rejected it.")
    reason = models.TextField(blank=True, help_text="Why it has this status, for people.")
    run = models.ForeignKey("Run", on_delete=models.SET_NULL, null=True, related_name="signals")
    message = models.CharField(max_length=64, blank=True, help_text="The response that it is about.")
    serial = models.BigIntegerField(help_text="Where it was stored: its receipt's.")
    last_serial = models.BigIntegerField(help_text="Of its latest change.")
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["session", "serial"]
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


class Run(models.Model):
    """One agent at work on one response of a session. Its fence is its worker: an id that is never given twice."""

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
    agent = models.CharField(max_length=64, blank=True, help_text="Who of this site answers; empty for one elsewhere.")
    status = models.CharField(max_length=16, choices=Status, default=Status.WAITING)
    worker = models.ForeignKey(Worker, on_delete=models.SET_NULL, null=True, related_name="runs")
    uid = models.CharField(max_length=64, default=new_uid, help_text="The message id of its response.")
    prompt = models.CharField(max_length=64, blank=True, help_text="The message id that it answers.")
    mode = models.CharField(
        max_length=16, choices=Mode, default=Mode.ANSWER, help_text="Answer, or go on with or repeat an earlier answer."
    )
    earlier = models.CharField(max_length=64, blank=True, help_text="The message id of that earlier answer.")
    cause = models.ForeignKey(
        Signal, on_delete=models.SET_NULL, null=True, related_name="caused", help_text="The signal that it answers."
    )
    cancel = models.ForeignKey(
        Signal, on_delete=models.SET_NULL, null=True, related_name="cancels", help_text="The signal that stops it."
    )
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    # Of a producer elsewhere; see `publishing`.
    sequence = models.BigIntegerField(default=0, help_text="The number of its last batch.")
    serial = models.BigIntegerField(default=0, help_text="The serial of that batch's last chunk.")
    refusal = models.CharField(max_length=32, blank=True, help_text="The error that cut that batch short.")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

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


class Approval(models.Model):
    """A tool call that a person has to decide about, with the exact arguments, and what is known of its execution."""

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
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="approvals")
    uid = models.CharField(max_length=64, help_text="Its id on the wire.")
    call = models.CharField(max_length=256, help_text="The tool call's id.")
    tool = models.CharField(max_length=128)
    input = models.TextField(help_text="The arguments: JSON.")
    input_hash = models.CharField(max_length=80)
    editable = models.BooleanField(default=False)
    reason = models.TextField(blank=True, help_text="What the agent says about it.")
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    expires_at = models.DateTimeField(null=True)
    decision = models.ForeignKey(Signal, on_delete=models.SET_NULL, null=True, related_name="decides")
    decided_at = models.DateTimeField(null=True)
    execution = models.CharField(max_length=8, choices=Execution, default=Execution.NONE, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["session", "uid"], name="approval_uid_in_session")]

    def __str__(self) -> str:
        return f"{self.tool} {self.uid}"


class ConnectionRecord(models.Model):
    """How one connection ended, kept for a while to find out what cuts connections. Nothing in it says whose it was."""

    class Ended(models.TextChoices):
        BY_CLIENT = "client", "closed by client"
        BY_SERVER = "server", "closed by server"
        CUT = "cut", "cut"
        LOST = "lost", "lost"
        LEFT = "left", "client left"

    transport = models.CharField(max_length=16, help_text="websocket, stream or poll.")
    process = models.CharField(max_length=128, help_text="Host and process id of the server process.")
    ended_at = models.DateTimeField(db_index=True)
    ended = models.CharField(
        max_length=8,
        choices=Ended,
        help_text="Cut: without a close frame. Lost: without an answer to a ping. Client left: over HTTP, where a "
        "closed tab and a cut look the same.",
    )
    code = models.PositiveSmallIntegerField(
        null=True, help_text="WebSocket close code; 1006 stands for no close frame."
    )
    life_s = models.FloatField(help_text="Seconds from its beginning to its end.")
    idle_s = models.FloatField(
        null=True, help_text="Seconds between its end and what was last sent or received on it before."
    )
    exact = models.BooleanField(
        default=False, help_text="Idle time by the kernel, pings included; else since the last frame that is known."
    )
    headers = models.CharField(
        max_length=proxies.HEADERS_LENGTH, blank=True, help_text="Which headers of proxies its request carried."
    )
    hops = models.PositiveSmallIntegerField(default=0, help_text="Addresses in X-Forwarded-For; they are not kept.")
    ray = models.CharField("Ray id", max_length=proxies.RAY_LENGTH, blank=True, help_text="Cloudflare's CF-Ray.")

    class Meta:
        ordering = ["-ended_at"]

    def __str__(self) -> str:
        return f"{self.transport} {self.get_ended_display()} after {self.life_s:.1f} s"

    @property
    def began_at(self) -> datetime:
        return self.ended_at - timedelta(seconds=self.life_s)


# Tokens that have ended early


def when_all_have_expired() -> datetime:
    """When every token that there is now has expired by itself: of another back end's nobody here knows more."""
    return timezone.now() + timedelta(seconds=conf.TOKEN_MAX_S + CLOCKS_S)


class RevokedToken(models.Model):
    """One token that is valid no more."""

    jti = models.CharField("token id", primary_key=True, max_length=64, help_text="Its `jti` claim.")
    expires_at = models.DateTimeField(default=when_all_have_expired, help_text="When this row is needed no more.")

    class Meta:
        ordering = ["-expires_at"]

    def __str__(self) -> str:
        return self.jti


class RevokedSubject(models.Model):
    """All tokens of somebody that were issued before a moment."""

    sub = models.CharField("subject", max_length=80, db_index=True, help_text="Whom they act as: their `sub` claim.")
    issued_before = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(default=when_all_have_expired, help_text="When this row is needed no more.")

    class Meta:
        ordering = ["-issued_before"]

    def __str__(self) -> str:
        return f"{self.sub} before {self.issued_before:%Y-%m-%d %H:%M:%S}"
