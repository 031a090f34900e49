"""Attach requests: the attach frames in the body or the address of a request over HTTP."""

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
    asked = body.get("attach")
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise HoldfastError("bad_frame", "`attach` is a list of attach frames.")
    if len(asked) > conf.settings.sessions_per_connection:
        raise HoldfastError("too_many_sessions", f"at most {conf.settings.sessions_per_connection}")
    attaches = [attach_frame(one) for one in asked]
    if len({attach.session for attach in attaches}) < len(attaches):
        raise HoldfastError("bad_frame", "`attach` names a session twice.")
    return attaches


def attach_frame(fields: Mapping[str, object]) -> ClientFrame:
    """Return one attach frame, checked."""
    if fields.get("type", "attach") != "attach":
        raise HoldfastError("bad_frame", "`attach` takes attach frames only.")
    return frames.read({**fields, "type": "attach"})


def attach_query(request: HttpRequest, session: str) -> JsonObject:
    """Return the fields of an attach frame in a request's address."""
    return {"session": session, "cursor": request.GET.get("cursor") or None, "rewind": whole_number(request, "rewind")}


def whole_number(request: HttpRequest, name: str) -> int | str | None:
    """Return a parameter as a number if it is one. Anything else is refused where its frame is read."""
    text = request.GET.get(name) or None
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 20 else text
