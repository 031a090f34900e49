"""Errors of the API: `{"code", "message", "retryable"}`, the format of error frames."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, DataError
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions
from rest_framework.response import Response

from sessions_app.auth.identity import signed_out
from sessions_app.core.errors import ERRORS, ErrorKind, Fault, HoldfastError
from sessions_app.core.wire_types import JsonObject
from sessions_app.database.connection_failures import describe
from sessions_app.models import Session

logger = logging.getLogger(__name__)


def _kind(status: int, message: str, *, retryable: bool = False) -> ErrorKind:
    return ErrorKind(message, None, status, retryable, Fault.CLIENT)


# Errors that occur only over HTTP; the rest is in core/errors.py.
HTTP_ERRORS: dict[str, ErrorKind] = {
    "invalid": _kind(400, "Some fields are invalid. See `fields`"),
    "csrf_failed": _kind(403, "The CSRF token is missing or wrong. Send the CSRF cookie's value as X-CSRFToken"),
    "origin_not_allowed": _kind(403, "Pages of this origin may not use the API. HOLDFAST_ORIGINS lists those that may"),
    "bad_request": _kind(400, "The request is malformed"),
    "forbidden": _kind(403, "Only staff with the required permission may do this"),
    "no_such_address": _kind(404, "Address not found. The API's addresses end with a slash"),
    "no_such_policy": _kind(404, "Retention policy not found"),
    "bad_page": _kind(404, "Invalid page cursor. Follow `next` and `previous`"),
    "method_not_allowed": _kind(405, "Method not allowed"),
    "not_acceptable": _kind(406, "The API answers in application/json only"),
    "request_timeout": _kind(408, "The request did not arrive in time. Send it again", retryable=True),
    "policy_in_use": _kind(409, "Sessions use this policy. Give them another one first"),
    "policy_is_default": _kind(409, "This is the default policy. Make another one the default first"),
    "tokens_off": _kind(409, "Tokens are disabled on this site. Set HOLDFAST_TOKEN_KEYS"),
    "session_limit": _kind(409, "You have reached the maximum number of sessions. Delete some"),
    "session_held": _kind(409, "The session is on hold and can't be deleted"),
    "inexact_arguments": _kind(409, "This client can't show the call's arguments exactly. Decide at that address"),
    "turn_edited": _kind(409, "Turns can't be edited here. Send the new text as a new message"),
    "body_too_large": _kind(413, "The request body is too large"),
    "unsupported_media_type": _kind(415, "Unsupported media type. Send application/json"),
    "files_unsupported": _kind(415, "Files can't be sent here. Send text only"),
}


class ApiError(Exception):
    """An API error with a code of `ERRORS` or `HTTP_ERRORS`. `detail` extends its message, `more` its body."""

    def __init__(self, code: str, detail: str = "", **more: object) -> None:
        self.kind = ERRORS.get(code) or HTTP_ERRORS[code]
        self.code = code
        self.detail = detail
        self.more = more
        super().__init__(code, detail)

    def as_dict(self) -> JsonObject:
        message = self.kind.explain(self.detail)
        return {"code": self.code, "message": message, "retryable": self.kind.retryable, **self.more}


Refusal = ApiError | HoldfastError


def handle(error: Exception, context: Mapping[str, object]) -> Response | None:
    """Exception handler for the REST framework. Returns None for a bug, which Django then logs and answers."""
    refusal = refusal_of(error)
    if refusal is None:
        return None
    return Response(refusal.as_dict(), status=refusal.kind.status, headers=headers_of(error, refusal))


def headers_of(error: Exception, refusal: Refusal) -> dict[str, str]:
    """Return the headers that HTTP requires with the refusal's status."""
    headers = {}
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(getattr(error, "wait", 1))
    elif isinstance(error, HoldfastError) and error.retry_after_s:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if refusal.kind.status == 401:
        headers["WWW-Authenticate"] = "Cookie" if refusal.code == "signed_out" else 'Bearer error="invalid_token"'
    return headers


_CODES: dict[type[Exception], str] = {
    exceptions.PermissionDenied: "forbidden",
    PermissionDenied: "forbidden",
    exceptions.NotFound: "bad_page",  # the only case in which the REST framework raises it
    Http404: "no_such_address",
    Session.DoesNotExist: "not_found",  # deleted during the request
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "rate_limited",
}


def refusal_of(error: Exception) -> Refusal | None:
    """Return the refusal for an exception, or None if the exception is a bug."""
    if isinstance(error, (ApiError, HoldfastError)):
        return error
    if isinstance(error, exceptions.ValidationError):
        return ApiError("invalid", fields=error.detail)
    if isinstance(error, DataError):
        logger.error("a request holds what the database can't: %s", error)
        return ApiError("unstorable")
    if isinstance(error, DatabaseError):
        logger.error("a request failed: %s", describe(error))
        return ApiError("storage_unavailable")
    if isinstance(error, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        return signed_out()
    if isinstance(error, RequestDataTooBig):
        return ApiError("body_too_large")
    if isinstance(error, (BadRequest, MultiPartParserError, SuspiciousOperation)):
        return ApiError("bad_request")
    code = _CODES.get(type(error))
    return ApiError(code) if code else None
