"""Everything stored: sessions, messages, the journal, runs, signals, connections, revocations, sign-ins, the clock."""

from sessions_app.models.connection_records import ConnectionRecord
from sessions_app.models.ids import derived_id, new_epoch, new_id, new_uid
from sessions_app.models.revoked_tokens import RevokedSubject, RevokedToken, when_all_have_expired
from sessions_app.models.runs import RemoteAgent, Run, RunQuerySet, Worker
from sessions_app.models.sessions import JournalEntry, Message, RetentionPolicy, Session, SessionQuerySet
from sessions_app.models.sign_ins import SignInAddress, SignInFailures
from sessions_app.models.signals import Approval, ApprovalQuerySet, Signal
from sessions_app.models.site import ClockReading, WriteProbe

__all__ = [
    "Approval",
    "ApprovalQuerySet",
    "ClockReading",
    "ConnectionRecord",
    "JournalEntry",
    "Message",
    "RemoteAgent",
    "RetentionPolicy",
    "RevokedSubject",
    "RevokedToken",
    "Run",
    "RunQuerySet",
    "Session",
    "SessionQuerySet",
    "SignInAddress",
    "SignInFailures",
    "Signal",
    "Worker",
    "WriteProbe",
    "derived_id",
    "new_epoch",
    "new_id",
    "new_uid",
    "when_all_have_expired",
]
