"""Attach requests: attach frames in the body or the query of an HTTP request."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest

from sessions_app import conf
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.wire_types import JsonObject


def attaches_in(body: Mapping[str, object]) -> list[ClientFrame]:
    """Return the attach frames of a body. Raises bad_frame and too_many_sessions."""
    given = body.get("attach")
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise HoldfastError("bad_frame", "`attach` must be a list of attach frames")
    if len(given) > conf.settings.sessions_per_connection:
        raise HoldfastError("too_many_sessions", f"at most {conf.settings.sessions_per_connection}")
    attaches = [attach_frame(one) for one in given]
    if len({attach.session for attach in attaches}) < len(attaches):
        raise HoldfastError("bad_frame", "`attach` has a session twice")
    return attaches


def attach_frame(fields: Mapping[str, object]) -> ClientFrame:
    """Validate an attach frame and return it."""
    if fields.get("type", "attach") != "attach":
        raise HoldfastError("bad_frame", "`attach` may have attach frames only")
    return frames.read({**fields, "type": "attach"})


def attach_query(request: HttpRequest, session: str) -> JsonObject:
    """Return the fields of an attach frame from a request's query."""
    return {
        "session": session,
        "cursor": request.GET.get("cursor") or None,
        "rewind": whole_number(request, "rewind"),
        "replaced": truth(request, "replaced"),
    }


def truth(request: HttpRequest, name: str) -> bool | str | None:
    """Return a query parameter as true or false if it is one. `frames.read` refuses anything else."""
    text = request.GET.get(name) or None
    return {"true": True, "false": False}.get(text, text) if text else None


def whole_number(request: HttpRequest, name: str) -> int | str | None:
    """Return a query parameter as a number if it is one. `frames.read` refuses anything else."""
    text = request.GET.get(name) or None
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 20 else text
