"""The API's operations. Who may do what is decided here and in `store.readable`; the log is read through `store`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db.models import Count, Exists, OuterRef, ProtectedError, QuerySet
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins, permissions, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from sessions_app import conf
from sessions_app.api import pagination
from sessions_app.api.base import HoldfastView
from sessions_app.api.pagination import SessionPages
from sessions_app.api.permissions import ISSUE_FOR_OTHERS, ModelPermissions, TokenPermissions, require
from sessions_app.api.schema_serializers import (
    ChangesSerializer,
    ErrorSerializer,
    HistorySerializer,
    InvalidSerializer,
    IssuedTokenSerializer,
    ResetSerializer,
    SignalsSerializer,
)
from sessions_app.api.serializers import (
    HistoryQuery,
    PartQuery,
    PolicySerializer,
    SessionSerializer,
    TokenSerializer,
)
from sessions_app.auth import tokens
from sessions_app.core.cursor import Cursor
from sessions_app.core.frames import SESSION_ID
from sessions_app.core.tokens import ALL
from sessions_app.delivery import catchup
from sessions_app.event_log import queries
from sessions_app.http.authentication import IsAuthenticatedOrGuest, identity_of
from sessions_app.http.errors import ApiError
from sessions_app.models import Message, RetentionPolicy, RevokedToken, Session
from sessions_app.retention import purge

logger = logging.getLogger(__name__)


def _responses(*statuses: int, **answers: object) -> dict[int, object]:
    """What an operation may answer, for its description: `ok`, `created` or `gone`, and these refusals."""
    described = {200: answers.get("ok"), 201: answers.get("created"), 204: answers.get("gone"), **_always()}
    described |= {status: _REFUSALS[status] for status in statuses}
    return {status: answer for status, answer in described.items() if answer is not None}


def _always() -> dict[int, object]:
    return {
        401: OpenApiResponse(ErrorSerializer, "Nobody is there, or the token can't be taken."),
        403: OpenApiResponse(ErrorSerializer, "The token lacks the scope that this needs."),
        429: OpenApiResponse(ErrorSerializer, "Too often: `Retry-After` says for how many seconds to wait."),
    }


_REFUSALS = {
    400: OpenApiResponse(InvalidSerializer, "What was sent can't be taken; `fields` says why."),
    403: OpenApiResponse(ErrorSerializer, "The CSRF token, a scope or a permission is missing; the message names it."),
    404: OpenApiResponse(ErrorSerializer, "There is none, or it is somebody else's: nobody can tell which."),
    409: OpenApiResponse(ErrorSerializer, "It can't be done as things are; the message says why."),
    410: OpenApiResponse(ResetSerializer, "It has expired, or the cursor can't be continued: `reset`, and why."),
}
_NOTHING = OpenApiResponse(description="Gone.")


@extend_schema_view(
    list=extend_schema(
        summary="List your sessions",
        description="Those that haven't expired, the last active first.",
        responses=_responses(404, ok=SessionSerializer),
    ),
    create=extend_schema(
        summary="Create a session",
        description="It is yours, and empty. Its agent begins when you send a message into it.",
        responses=_responses(400, 403, 409, created=SessionSerializer),
    ),
    retrieve=extend_schema(
        summary="Read a session",
        description="What the list says of it.",
        responses=_responses(404, 410, ok=SessionSerializer),
    ),
    partial_update=extend_schema(
        summary="Rename a session, or change its retention",
        description="A shorter retention takes effect at once, on what is there too.",
        responses=_responses(400, 403, 404, 410, ok=SessionSerializer),
    ),
    destroy=extend_schema(
        summary="Delete a session",
        description="With all its messages, at once and for good. Refused while it is on hold.",
        responses=_responses(403, 404, 409, 410, gone=_NOTHING),
    ),
)
class SessionViewSet(
    HoldfastView,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet[Session],
):
    """The sessions of whoever asks. By a token, reading needs the scope `read`, changing anything `send`."""

    serializer_class = SessionSerializer
    pagination_class = SessionPages
    http_method_names = ["get", "post", "patch", "delete", "head"]
    lookup_value_regex = "[^/]+"
    queryset = Session.objects.none()

    def get_queryset(self) -> QuerySet[Session]:
        who = identity_of(self.request)
        who.require("read")
        streaming = Message.objects.streaming().filter(session=OuterRef("pk"))
        owned = Session.objects.visible().filter(owner=who.owner)
        if who.grant is not None:
            owned = owned.fitting(who.grant.sessions)
        return owned.annotate(streaming=Exists(streaming)).select_related("policy")

    def get_object(self) -> Session:
        session = self._readable()
        session.streaming = session.messages.streaming().exists()  # type: ignore[attr-defined]
        return session

    def _readable(self) -> Session:
        pk, who = self.kwargs["pk"], identity_of(self.request)
        if not SESSION_ID.match(pk):
            raise ApiError("not_found")
        who.check("read" if self.request.method in permissions.SAFE_METHODS else "send", pk)
        queries.readable(pk, who.owner)
        return Session.objects.select_related("policy").get(pk=pk)

    def perform_create(self, serializer: Any) -> None:
        who = identity_of(self.request)
        who.require("send")
        if who.grant is not None and not who.grant.covers(ALL):
            raise ApiError("forbidden_scope", "a new session needs a token for all sessions, `*`")
        if Session.objects.visible().filter(owner=who.owner).count() >= conf.settings.sessions_per_owner:
            raise ApiError("session_limit", f"at most {conf.settings.sessions_per_owner}")
        serializer.save(owner=who.owner)

    def destroy(self, request: Request, *args: object, **kwargs: object) -> Response:
        session = self._readable()
        if session.held:
            raise ApiError("session_held")
        purge.delete_sessions([session.pk])
        return Response(status=204)

    @extend_schema(
        summary="Read messages",
        description=(
            "Pages of history in both directions, each message whole, the one in progress as far as it is. "
            "With `since`, what changed since a cursor, as attaching with it gives; 410 if it can't be continued."
        ),
        parameters=[HistoryQuery],
        responses=_responses(
            400,
            404,
            410,
            ok=PolymorphicProxySerializer(
                "HistoryOrChanges", [HistorySerializer, ChangesSerializer], resource_type_field_name=None
            ),
        ),
        filters=False,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def messages(self, request: Request, pk: str) -> Response:
        session = self._readable()
        where = _asked(HistoryQuery, request)
        since = where.pop("since", None)
        if since is not None:
            return Response(self._changes(session, since))
        return Response(pagination.history_page(request.path, partial(pagination.messages, session.pk), **where))

    def _changes(self, session: Session, since: Cursor) -> dict[str, object]:
        attached = catchup.read(session.pk, session.owner, cursor=since)
        if not attached["resumed"]:
            reason = attached["reason"] or ""
            raise ApiError("reset", reason, reason=reason, cursor=attached["cursor"])
        return {name: value for name, value in attached.items() if name != "type"}

    @extend_schema(
        summary="Read signals",
        description=(
            "Pages of what was sent into the session, in both directions: each signal's record as it is now. What has "
            "expired is left out; what is still open never is."
        ),
        parameters=[PartQuery],
        responses=_responses(400, 404, 410, ok=SignalsSerializer),
        filters=False,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def signals(self, request: Request, pk: str) -> Response:
        """Served by `urls.signals`, which shares the address with sending."""
        session = self._readable()
        where = _asked(PartQuery, request)
        return Response(pagination.history_page(request.path, partial(pagination.signals, session.pk), **where))


def _asked(query: type[Serializer[object]], request: Request) -> dict[str, Any]:
    """The checked parameters of an address."""
    asked = query(data=request.query_params.dict())
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


@extend_schema_view(
    list=extend_schema(
        summary="List retention policies",
        description="All of them, the shortest first. Requires the permission `sessions_app.view_retentionpolicy`.",
        responses=_responses(403, ok=PolicySerializer),
    ),
    create=extend_schema(
        summary="Create a retention policy",
        description=(
            "If it is the default, new sessions get it instead of the one before. "
            "Requires the permission `sessions_app.add_retentionpolicy`."
        ),
        responses=_responses(400, 403, created=PolicySerializer),
    ),
    retrieve=extend_schema(
        summary="Read a retention policy",
        description="And how many sessions have it. Requires the permission `sessions_app.view_retentionpolicy`.",
        responses=_responses(403, 404, ok=PolicySerializer),
    ),
    partial_update=extend_schema(
        summary="Change a retention policy",
        description=(
            "Takes effect at once, for all its sessions. Requires the permission `sessions_app.change_retentionpolicy`."
        ),
        responses=_responses(400, 403, 404, ok=PolicySerializer),
    ),
    destroy=extend_schema(
        summary="Delete a retention policy",
        description=(
            "Refused while sessions have it, and for the default. "
            "Requires the permission `sessions_app.delete_retentionpolicy`."
        ),
        responses=_responses(403, 404, 409, gone=_NOTHING),
    ),
)
class PolicyViewSet(HoldfastView, viewsets.ModelViewSet[RetentionPolicy]):
    """Retention policies, for staff with the admin's permissions for them."""

    serializer_class = PolicySerializer
    permission_classes = [IsAuthenticatedOrGuest, ModelPermissions]
    pagination_class = None
    http_method_names = ["get", "post", "patch", "delete", "head"]
    lookup_value_regex = "[0-9]{1,18}"
    queryset = RetentionPolicy.objects.annotate(session_count=Count("sessions")).order_by("hours", "name")

    def get_object(self) -> RetentionPolicy:
        policy = self.get_queryset().filter(pk=self.kwargs["pk"]).first()
        if policy is None:
            raise ApiError("no_such_policy")
        return policy

    def perform_destroy(self, policy: RetentionPolicy) -> None:
        if policy.is_default:
            raise ApiError("policy_is_default")
        try:
            policy.delete()
        except ProtectedError:
            raise ApiError("policy_in_use") from None


@extend_schema_view(
    create=extend_schema(
        summary="Issue a token",
        description=(
            "For an agent or a back end elsewhere; one that has a key may sign its own. "
            "Requires the permission `sessions_app.issue_token`; for any `sub` but your own `user:<id>`, "
            "and for the scope `publish`, which writes into other people's sessions, "
            "also `sessions_app.issue_token_for_others`."
        ),
        request=TokenSerializer,
        responses=_responses(400, 403, 409, created=IssuedTokenSerializer),
    ),
    destroy=extend_schema(
        summary="Revoke a token",
        description=(
            "By its `jti`, whoever signed it. Open sockets and streams end within seconds. "
            "Requires the permission `sessions_app.add_revokedtoken`."
        ),
        parameters=[OpenApiParameter("jti", str, OpenApiParameter.PATH)],
        responses=_responses(403, gone=_NOTHING),
    ),
)
class TokenViewSet(HoldfastView, viewsets.ViewSet):
    """Tokens, for staff who are logged in and have the permission: no token can issue another."""

    permission_classes = [IsAuthenticatedOrGuest, TokenPermissions]
    http_method_names = ["post", "delete"]
    queryset = RevokedToken.objects.none()  # whose model's permissions are asked for
    lookup_field = "jti"
    lookup_value_regex = "[A-Za-z0-9_.:-]{1,64}"

    def create(self, request: Request) -> Response:
        if not conf.settings.token_keys:
            raise ApiError("tokens_off")
        asked = TokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        who = identity_of(request)
        if _reaches_others(asked.validated_data, who.owner):
            require(request.user, ISSUE_FOR_OTHERS)
        token, grant = tokens.issue(**{"life_s": conf.settings.token_max_s, **asked.validated_data})
        logger.info("%s issued token %s for %s", who.owner, grant.jti, asked.validated_data["sub"])
        issued = {"token": token, "jti": grant.jti, "expires_at": grant.expires_at * 1000}
        return Response(issued, status=201)

    def destroy(self, request: Request, jti: str) -> Response:
        tokens.revoke(jti)
        logger.info("%s revoked token %s", identity_of(request).owner, jti)
        return Response(status=204)


def _reaches_others(asked: Mapping[str, Any], owner: str) -> bool:
    """Return whether a token acts as another identity, or writes into sessions that aren't its owner's: `publish`."""
    return asked["sub"] != owner or "publish" in asked["scope"].split()


@extend_schema(exclude=True)
class NoSuchAddress(HoldfastView):
    """Everything below the API's address that is nothing: told in the API's form, to anyone."""

    permission_classes: list[Any] = []

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        raise ApiError("no_such_address")
