"""Every refusal of the API in one shape: `{"code", "message", "retryable"}`, as error frames have it."""

from __future__ import annotations

import logging

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from sessions_app.core.errors import ERRORS, ErrorKind, Fault, HoldfastError
from sessions_app.models import Session

logger = logging.getLogger(__name__)


def _kind(status: int, message: str) -> ErrorKind:
    return ErrorKind(message, None, status, False, Fault.CLIENT)


# What only HTTP can get wrong; the rest is in core/errors.py.
HTTP_ERRORS: dict[str, ErrorKind] = {
    "invalid": _kind(400, "Some of what was sent can't be taken: see `fields`"),
    "csrf_failed": _kind(403, "The CSRF token is missing or wrong: send the csrftoken cookie's value as X-CSRFToken"),
    "forbidden": _kind(403, "Only staff with the required permission may do this"),
    "no_such_address": _kind(404, "There is nothing at this address; the API's addresses end with a slash"),
    "no_such_policy": _kind(404, "There is no such retention policy"),
    "bad_page": _kind(404, "That isn't a page of this list: follow its `next` and `previous`"),
    "method_not_allowed": _kind(405, "This address doesn't take that method"),
    "not_acceptable": _kind(406, "The API answers in application/json only"),
    "policy_in_use": _kind(409, "Sessions have this policy: give them another one first"),
    "policy_is_default": _kind(409, "New sessions get this policy: make another one the default first"),
    "tokens_off": _kind(409, "Tokens are off on this site: set HOLDFAST_TOKEN_KEYS"),
    "session_limit": _kind(409, "You have as many sessions as one may have: delete some"),
    "session_held": _kind(409, "The session is on hold: nothing of it may be removed"),
    "body_too_large": _kind(413, "The request's body is too large"),
    "unsupported_media_type": _kind(415, "Send JSON, as Content-Type: application/json"),
}


class ApiError(Exception):
    """A refusal with a code of either table. `detail` says what and where; `more` are further fields of the body."""

    def __init__(self, code: str, detail: str = "", **more: object) -> None:
        self.kind = ERRORS.get(code) or HTTP_ERRORS[code]
        self.code = code
        self.detail = detail
        self.more = more
        super().__init__(code, detail)

    def as_dict(self) -> dict[str, object]:
        message = f"{self.kind.message}: {self.detail}" if self.detail else self.kind.message
        return {"code": self.code, "message": message, "retryable": self.kind.retryable, **self.more}


Refusal = ApiError | HoldfastError


def handle(error: Exception, context: dict[str, object]) -> Response | None:
    """The REST framework's exception handler. None: a bug of ours, which Django logs and answers."""
    refusal = refusal_of(error)
    if refusal is None:
        return None
    return Response(refusal.as_dict(), status=refusal.kind.status, headers=headers_of(error, refusal))


def headers_of(error: Exception, refusal: Refusal) -> dict[str, str]:
    """What HTTP wants beside a status."""
    headers = {}
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(getattr(error, "wait", 1))
    if refusal.kind.status == 401:
        headers["WWW-Authenticate"] = "Cookie" if refusal.code == "signed_out" else 'Bearer error="invalid_token"'
    return headers


_CODES: dict[type[Exception], str] = {
    exceptions.NotAuthenticated: "signed_out",
    exceptions.AuthenticationFailed: "signed_out",
    exceptions.PermissionDenied: "forbidden",
    PermissionDenied: "forbidden",
    exceptions.NotFound: "bad_page",  # what the REST framework itself raises it for
    Http404: "no_such_address",
    Session.DoesNotExist: "not_found",  # deleted while the request was on its way
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "rate_limited",
}


def refusal_of(error: Exception) -> Refusal | None:
    """The refusal that an exception stands for; None: a bug of ours."""
    if isinstance(error, (ApiError, HoldfastError)):
        return error
    if isinstance(error, exceptions.ValidationError):
        return ApiError("invalid", fields=error.detail)
    if isinstance(error, DatabaseError):
        logger.error("a request failed: %s", error)
        return ApiError("storage_unavailable")
    code = _CODES.get(type(error))
    return ApiError(code) if code else None
