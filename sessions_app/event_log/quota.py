"""The quota of stored bytes per owner, read from the sessions' rows."""

from __future__ import annotations

from django.db.models import Sum

from sessions_app import conf, models
from sessions_app.core.errors import HoldfastError


def stored_bytes(owner: str) -> int:
    """Return the bytes that an owner's sessions hold: a sum over at most SESSIONS_PER_OWNER rows."""
    return models.Session.objects.present().filter(owner=owner).aggregate(sum=Sum("stored"))["sum"] or 0


def check_room(owner: str) -> None:
    """Raise storage_full if an owner has stored as much as they may."""
    check(stored_bytes(owner))


def check(stored: int) -> None:
    """Raise storage_full if these are as many bytes as an owner may store."""
    most = conf.settings.stored_bytes_per_owner
    if stored >= most:
        raise HoldfastError("storage_full", f"at most {most} bytes")
