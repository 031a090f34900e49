"""Sessions, their retention policies, their messages, and the journal of events not yet folded."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Left
from django.db.models.lookups import Exact
from django.utils import timezone

from sessions_app import conf
from sessions_app.core import retention
from sessions_app.core.external_ids import EXTERNAL_ID_LENGTH
from sessions_app.core.tokens import ALL
from sessions_app.models.ids import new_epoch, new_id


class RetentionPolicyQuerySet(models.QuerySet["RetentionPolicy"]):
    def allowed(self) -> RetentionPolicyQuerySet:
        """Policies that an owner may choose from."""
        return self.filter(hours__lte=conf.settings.retention_max_hours)

    def default(self) -> RetentionPolicy:
        """The policy of new sessions."""
        return self.get(is_default=True)


class RetentionPolicy(models.Model):
    """A retention policy: how long messages are kept after they last changed."""

    name = models.CharField(max_length=64, unique=True)
    hours = models.PositiveIntegerField()
    is_default = models.BooleanField(default=False, help_text="Policy of new sessions.")

    objects = RetentionPolicyQuerySet.as_manager()

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

    def described(self) -> str:
        """Return it for the audit log, its name quoted."""
        default = ", the default" if self.is_default else ""
        return f"retention policy {self.pk} {self.name!r}: {self.hours} h{default}"

    def clean(self) -> None:
        """Check the bounds of the hours, and that there is a default. Raises ValidationError by field."""
        super().clean()
        found = {}
        # Hours that are no number have a message of their own field's by now.
        if self.hours is not None and (
            problem := retention.hours_problem(self.hours, most=conf.settings.retention_max_hours)
        ):
            found["hours"] = problem
        if not self.is_default and RetentionPolicy.objects.filter(pk=self.pk, is_default=True).exists():
            found["is_default"] = "New sessions need a policy: make another one the default instead."
        if found:
            raise ValidationError(found)

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """All but the constraint of one default: `save` makes room for a new one."""
        super().validate_constraints({*(exclude or ()), "is_default"})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it; if it is the default, clear the flag of the previous default."""
        with transaction.atomic():
            if self.is_default:
                RetentionPolicy.objects.exclude(pk=self.pk).filter(is_default=True).update(is_default=False)
            super().save(*args, **kwargs)

    def cutoff(self, now: datetime) -> datetime:
        """Return the moment before which a last change has expired."""
        return now - timedelta(hours=self.hours)


class SessionQuerySet(models.QuerySet["Session"]):
    def present(self) -> SessionQuerySet:
        """Sessions that are not being removed."""
        return self.filter(removed_at=None)

    def removed(self) -> SessionQuerySet:
        """Sessions that are being removed: hidden, and not yet empty."""
        return self.filter(removed_at__isnull=False)

    def expired(self, now: datetime | None = None) -> SessionQuerySet:
        """Present sessions that have expired: hidden from readers, to be removed by a purge."""
        return self.present().filter(self._is_expired(now or timezone.now()))

    def visible(self, now: datetime | None = None) -> SessionQuerySet:
        """Present sessions that are not expired: readers see these only, purged or not."""
        return self.present().exclude(self._is_expired(now or timezone.now()))

    def named(self, id_: str) -> SessionQuerySet:
        """Sessions with this id, the server's or their owner's own. Only for the sessions of one owner."""
        return self.filter(Q(pk=id_) | Q(external_id=id_))

    def give_to(self, owner: str) -> None:
        """Change the owner. A session whose external id the new owner already uses loses it."""
        used = Session.objects.present().filter(owner=owner, external_id__isnull=False).values("external_id")
        self.filter(external_id__in=used).update(external_id=None)
        self.update(owner=owner)

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
    """A durable conversation. `tail`, `epoch` and `leaf` are written by `LogWriter` alone."""

    id = models.CharField(primary_key=True, max_length=22, default=new_id, editable=False)
    owner = models.CharField(max_length=80, help_text="`user:<id>`, `guest:<id>`, or the identity of a token.")
    # Null, not empty: only then is the column added to a large table of SQLite's without writing it again.
    external_id = models.CharField(
        max_length=EXTERNAL_ID_LENGTH, null=True, editable=False, help_text="The owner's own id of it, if it has one."
    )
    title = models.CharField(max_length=200, blank=True)
    agent = models.CharField(max_length=64, blank=True, help_text="Name of the agent that answers. Empty for none.")
    policy = models.ForeignKey(RetentionPolicy, on_delete=models.PROTECT, related_name="sessions")
    held = models.BooleanField(default=False, help_text="A session on hold never expires.")
    epoch = models.CharField(max_length=12, default=new_epoch, editable=False)
    tail = models.BigIntegerField(default=0, editable=False)
    trimmed = models.BigIntegerField(
        default=0, editable=False, help_text="Highest serial of messages and signals removed by retention."
    )
    # Written with the tail. An id is never used again, so this may name a row that is gone.
    journal = models.BigIntegerField(
        default=0, db_default=0, editable=False, help_text="Id of its last row in the journal."
    )
    # Likewise. Added up, it is what an owner has stored (`event_log.quota`).
    stored = models.BigIntegerField(
        default=0, db_default=0, editable=False, help_text="Bytes of its messages and signals."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    active_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="When a message last began or ended."
    )
    leaf = models.CharField(
        max_length=64,
        null=True,
        editable=False,
        help_text="Message id that the next message follows; it may be a response that is still to come.",
    )
    removed_at = models.DateTimeField(
        null=True, editable=False, help_text="When removal began. Hidden since then, and emptied in steps."
    )

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ["-active_at"]
        constraints = [
            # A removed session gives its id free.
            models.UniqueConstraint(
                fields=["owner", "external_id"],
                condition=Q(external_id__isnull=False, removed_at__isnull=True),
                name="session_external_id",
            ),
        ]
        indexes = [
            # The list of an owner's conversations, newest first.
            models.Index(fields=["owner", "-active_at"], name="session_owner_active"),
            # What has expired: see SessionQuerySet.
            models.Index(fields=["policy", "active_at"], name="session_policy_active"),
            # A purge of living sessions: only one that is older than its policy has something to lose.
            models.Index(fields=["policy", "created_at"], name="session_policy_created"),
            # What a purge has begun to remove.
            models.Index(fields=["removed_at"], condition=Q(removed_at__isnull=False), name="session_removed"),
        ]

    def __str__(self) -> str:
        return self.title or self.id

    @property
    def expires_at(self) -> datetime | None:
        """When it expires if nothing more happens; None while on hold."""
        return None if self.held else self.active_at + timedelta(hours=self.policy.hours)


class MessageQuerySet(models.QuerySet["Message"]):
    def streaming(self) -> MessageQuerySet:
        """Messages that are being written."""
        return self.filter(status=Message.Status.STREAMING)

    def ended(self) -> MessageQuerySet:
        """Messages that will not change any more, except that others may take their place."""
        return self.exclude(status=Message.Status.STREAMING)

    def on_show(self) -> MessageQuerySet:
        """Messages whose place no other has taken: the conversation."""
        return self.filter(replaced_by=None)


class Message(models.Model):
    """One user turn or one response, folded up to `last_serial`. JSON is kept as text: it is sent as it is."""

    class Status(models.TextChoices):
        STREAMING = "streaming"
        COMPLETE = "complete"
        CANCELLED = "cancelled"
        FAILED = "failed"
        INTERRUPTED = "interrupted"

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="messages")
    uid = models.CharField("id", max_length=64, help_text="Id on the wire, unique within the session.")
    role = models.CharField(max_length=16)
    status = models.CharField(max_length=16, choices=Status)
    reason = models.TextField(
        null=True, help_text="JSON string: why the message failed, or was cancelled or interrupted."
    )
    metadata = models.TextField(null=True)
    parts = models.TextField(default="[]")
    open = models.TextField(default="{}", help_text="JSON: state of the fold between chunks; see PROTOCOL.md §3.")
    marks = models.TextField(default="[]", help_text="JSON: per part, the serials at which it began and last changed.")
    parent = models.CharField(max_length=64, null=True, help_text="Message id of the message before.")
    continues = models.CharField(
        max_length=64, null=True, help_text="Message id of the answer that this one continues."
    )
    replaced_by = models.CharField(
        max_length=64, null=True, help_text="Message id of the one that replaced it. Empty while it is on show."
    )
    first_serial = models.BigIntegerField()
    last_serial = models.BigIntegerField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["session_id", "first_serial"]  # by `session` it would be joined, for the order of sessions
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
    """One event, until it is folded into its message's row, and for a minute more.

    Written by `LogWriter` alone, removed by `retention.journal`.
    """

    # No index but that of its id: a commit of many responses adds a page at the table's end, where an index by message
    # would have it write a page for each. Instead a session names its last row, and each row the one before it.
    # The rows of a message that was deleted go in their turn.
    message = models.ForeignKey(
        Message, on_delete=models.DO_NOTHING, related_name="journal", db_index=False, db_constraint=False
    )
    serial = models.BigIntegerField()
    event = models.TextField(help_text="JSON of the event, as sent.")
    previous = models.BigIntegerField(
        db_default=0, help_text="Id of the row before, in the same session. That one may be gone."
    )

    class Meta:
        verbose_name_plural = "journal"
