"""Factories of rows without a running writer: sessions and messages, at given times."""

from datetime import datetime, timedelta
from typing import Any

import orjson
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db.models import F
from django.test import Client
from django.utils import timezone

from sessions_app.models import Approval, JournalEntry, Message, RetentionPolicy, Run, Session, Signal


def default_policy() -> RetentionPolicy:
    """Three days."""
    return RetentionPolicy.objects.default()


def hours_ago(hours: float) -> datetime:
    return timezone.now() - timedelta(hours=hours)


def a_session(owner: str, *, hours: float = 0.0, **fields: Any) -> Session:
    """A session that was last active so many hours ago."""
    moment = hours_ago(hours)
    fields.setdefault("policy", default_policy())
    return Session.objects.create(owner=owner, **{"created_at": moment, "active_at": moment} | fields)


def a_message(session: Session, text: str = "Hello", *, hours: float = 0.0, **fields: Any) -> Message:
    """A complete message at the session's end; the session's tail goes along."""
    serial = session.tail + 1
    moment = hours_ago(hours)
    values: dict[str, Any] = {
        "uid": f"m{serial}", "role": "user", "status": "complete", "first_serial": serial, "last_serial": serial,
        "created_at": moment, "updated_at": moment, "marks": orjson.dumps([[serial, serial]]).decode(),
        "parts": orjson.dumps([{"type": "text", "text": text}]).decode(),
    }  # fmt: skip
    message = Message.objects.create(session=session, **values | fields)
    session.tail = message.last_serial
    session.save(update_fields=["tail"])
    return message


def a_streaming_message(session: Session, begun: str, rest: str, **fields: Any) -> Message:
    """A response in progress: `begun` is in its row, `rest` in the journal."""
    serial = session.tail + 1
    message = a_message(
        session,
        role="assistant",
        status="streaming",
        parts=orjson.dumps([{"type": "text", "text": begun, "state": "streaming"}]).decode(),
        open='{"text":{"t":0},"reasoning":{},"tools":{}}',
        **fields,
    )
    chunk = {"type": "text-delta", "id": "t", "delta": rest}
    event = {"serial": serial + 1, "message": message.uid, "chunk": chunk}
    text = orjson.dumps(event).decode()
    entry = JournalEntry.objects.create(message=message, serial=serial + 1, event=text, previous=session.journal)
    session.tail, session.journal = serial + 1, entry.pk
    session.save(update_fields=["tail", "journal"])
    return message


def unfolded() -> int:
    """The number of events in the journal that their messages' rows don't hold."""
    return JournalEntry.objects.filter(message__status="streaming", message__last_serial__lt=F("serial")).count()


def a_signal(session: Session, *, hours: float = 0.0, **fields: Any) -> Signal:
    """A steer that was applied at the session's end; the session's tail goes along."""
    serial = session.tail + 1
    moment = hours_ago(hours)
    values: dict[str, Any] = {
        "uid": f"signal-{serial}", "kind": "steer", "actor": session.owner, "status": "applied",
        "payload": orjson.dumps({"parts": [{"type": "text", "text": "Hello"}]}).decode(),
        "serial": serial, "last_serial": serial, "created_at": moment, "changed_at": moment,
    }  # fmt: skip
    signal = Signal.objects.create(session=session, **values | fields)
    session.tail = signal.last_serial
    session.save(update_fields=["tail"])
    return signal


def an_approval(run: Run, **fields: Any) -> Approval:
    """A call of a run's that waits for a decision."""
    number = run.approvals.count() + 1
    values: dict[str, Any] = {
        "uid": f"approval-{run.pk}-{number}", "call": f"call_{number}", "tool": "send_mail", "input_hash": "sha256:0",
        "input": orjson.dumps({"to": "ann@example.com"}).decode(),
    }  # fmt: skip
    return Approval.objects.create(session=run.session, run=run, **values | fields)


def an_ended_run(session: Session, cause: Signal | None = None, *, hours: float = 0.0, approvals: int = 0) -> Run:
    """A run that ended so many hours ago, with approvals that have expired."""
    moment = hours_ago(hours)
    run = Run.objects.create(
        session=session, agent="demo", status="ended", cause=cause, created_at=moment, ended_at=moment
    )
    for _ in range(approvals):
        an_approval(run, status="expired")
    return run


def guest() -> Client:
    """A browser that has opened a page. `owner` is who it is."""
    client = Client()
    client.get("/login/")
    client.owner = owner_of(client)  # type: ignore[attr-defined]
    return client


def staff_with(*permissions: str) -> Client:
    """A browser in which Sam is logged in, of the staff, with these permissions alone, by codename."""
    user = get_user_model().objects.create_user("sam", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    client.owner = f"user:{user.pk}"  # type: ignore[attr-defined]
    return client


def owner_of(client: Client) -> str:
    return "guest:" + client.cookies["holdfast_guest"].value.split(":")[0]
