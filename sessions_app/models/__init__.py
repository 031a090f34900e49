"""What is stored: sessions, their messages, the journal, and who is writing to them."""

from sessions_app.models.connections import ConnectionRecord, RevokedSubject, RevokedToken, when_all_have_expired
from sessions_app.models.ids import derived_id, new_epoch, new_id, new_uid
from sessions_app.models.runs import Approval, ApprovalQuerySet, Run, RunQuerySet, Signal, Worker
from sessions_app.models.sessions import JournalEntry, Message, RetentionPolicy, Session, SessionQuerySet

__all__ = [
    "Approval",
    "ApprovalQuerySet",
    "ConnectionRecord",
    "JournalEntry",
    "Message",
    "RetentionPolicy",
    "RevokedSubject",
    "RevokedToken",
    "Run",
    "RunQuerySet",
    "Session",
    "SessionQuerySet",
    "Signal",
    "Worker",
    "derived_id",
    "new_epoch",
    "new_id",
    "new_uid",
    "when_all_have_expired",
]
