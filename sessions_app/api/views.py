"""Views of the REST API. Access is checked here and in `queries.readable`; the log is read through `queries`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db.models import Count, Exists, OuterRef, ProtectedError, QuerySet
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema_view,
)
from rest_framework import mixins, permissions, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, SerializerMetaclass

from sessions_app import conf
from sessions_app.api import pagination
from sessions_app.api.base import HoldfastView, extend_schema
from sessions_app.api.pagination import SessionPages
from sessions_app.api.permissions import (
    ISSUE_FOR_ALL_AGENTS,
    ISSUE_FOR_OTHERS,
    ModelPermissions,
    TokenPermissions,
    require,
)
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
    Strict,
    TokenSerializer,
)
from sessions_app.auth import tokens
from sessions_app.core.cursor import Cursor
from sessions_app.core.frames import SESSION_ID
from sessions_app.core.tokens import ALL, BACKEND_SCOPES
from sessions_app.delivery import catchup
from sessions_app.event_log import queries
from sessions_app.http.authentication import IsAuthenticatedOrGuest, identity_of
from sessions_app.http.errors import ApiError
from sessions_app.http.own_sessions import own_or_new_session
from sessions_app.http.throttling import request_payer
from sessions_app.models import Message, RetentionPolicy, RevokedToken, Session
from sessions_app.models.subjects import subject_problem
from sessions_app.retention import purge
from sessions_app.telemetry import audit

Answer = OpenApiResponse | PolymorphicProxySerializer | SerializerMetaclass


def _responses(*statuses: int, **answers: Answer) -> dict[int, Answer]:
    """Return an operation's OpenAPI responses: `ok`, `created` or `deleted`, and errors with these statuses."""
    described = {200: answers.get("ok"), 201: answers.get("created"), 204: answers.get("deleted")}
    described |= _common_responses() | {status: _REFUSALS[status] for status in statuses}
    return {status: answer for status, answer in described.items() if answer is not None}


def _common_responses() -> dict[int, OpenApiResponse]:
    return {
        401: OpenApiResponse(ErrorSerializer, "Not authenticated, or the token is invalid."),
        403: OpenApiResponse(ErrorSerializer, "The token lacks a required scope."),
        429: OpenApiResponse(ErrorSerializer, "Too many requests. Wait for the seconds in `Retry-After`."),
    }


_REFUSALS = {
    400: OpenApiResponse(InvalidSerializer, "The request is invalid; `fields` says why."),
    403: OpenApiResponse(ErrorSerializer, "The CSRF token, a scope or a permission is missing; the message names it."),
    404: OpenApiResponse(ErrorSerializer, "Not found, or another owner has it; the response doesn't say which."),
    409: OpenApiResponse(ErrorSerializer, "Conflict with the current state; the message says why."),
    410: OpenApiResponse(ResetSerializer, "The session has expired, or the cursor can't be resumed (`reset`)."),
}
_DELETED = OpenApiResponse(description="Deleted.")


@extend_schema_view(
    list=extend_schema(
        summary="List your sessions",
        description="Sessions that haven't expired, most recently active first.",
        parameters=[OpenApiParameter("external_id", str, description="Only the session with this id of your own.")],
        responses=_responses(404, ok=SessionSerializer),
    ),
    create=extend_schema(
        summary="Create a session",
        description=(
            "Creates an empty session that you own. Its agent starts when you send a message. If you have a session "
            "with this `external_id`, or with this id, it is returned as it is: other fields are for a new one."
        ),
        responses=_responses(400, 403, 409, 410, ok=SessionSerializer, created=SessionSerializer),
    ),
    retrieve=extend_schema(
        summary="Read a session",
        description="The same fields as in the list.",
        responses=_responses(404, 410, ok=SessionSerializer),
    ),
    partial_update=extend_schema(
        summary="Rename a session, or change its retention",
        description="A shorter retention applies immediately, to existing messages too.",
        responses=_responses(400, 403, 404, 410, ok=SessionSerializer),
    ),
    destroy=extend_schema(
        summary="Delete a session",
        description="Deletes it and all its messages, immediately and permanently. Refused while it is on hold.",
        responses=_responses(403, 404, 409, 410, deleted=_DELETED),
    ),
)
class SessionViewSet(
    HoldfastView,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    viewsets.GenericViewSet[Session],
):
    """Sessions of the current identity. With a token, reads need the scope `read`, changes the scope `send`."""

    serializer_class = SessionSerializer
    pagination_class = SessionPages
    http_method_names = ["get", "post", "patch", "delete", "head"]
    lookup_value_regex = "[^/]+"
    queryset = Session.objects.none()

    def get_queryset(self) -> QuerySet[Session]:
        identity = identity_of(self.request)
        identity.require("read")
        streaming = Message.objects.streaming().filter(session=OuterRef("pk"))
        owned = Session.objects.visible().filter(owner=identity.owner)
        if identity.grant is not None:
            owned = owned.fitting(identity.grant.sessions)
        if external_id := self.request.query_params.get("external_id"):
            owned = owned.filter(external_id=external_id)
        return owned.annotate(streaming=Exists(streaming)).select_related("policy")

    def get_object(self) -> Session:
        session = self._readable()
        session.streaming = session.messages.streaming().exists()  # type: ignore[attr-defined]
        return session

    def _readable(self) -> Session:
        pk, identity = self.kwargs["pk"], identity_of(self.request)
        if not SESSION_ID.match(pk):
            raise ApiError("not_found")
        identity.check("read" if self.request.method in permissions.SAFE_METHODS else "send", pk)
        queries.readable(pk, identity.owner)
        return Session.objects.select_related("policy").get(pk=pk)

    def create(self, request: Request, *args: object, **kwargs: object) -> Response:
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values, identity = dict(asked.validated_data), identity_of(request)
        external_id = values.pop("external_id", None)
        session, is_new = own_or_new_session(identity, external_id, request_payer(request, identity), **values)
        session.streaming = not is_new and session.messages.streaming().exists()  # type: ignore[attr-defined]
        return Response(self.get_serializer(session).data, status=201 if is_new else 200)

    def destroy(self, request: Request, *args: object, **kwargs: object) -> Response:
        session = self._readable()
        if session.held:
            raise ApiError("session_held")
        purge.delete_sessions([session.pk])
        return Response(status=204)

    @extend_schema(
        summary="Read messages",
        description=(
            "Pages of history in both directions. Messages are complete; one in progress is as far as it has come. "
            "With `since`, the changes since a cursor, as in the reply to an attach; 410 if it can't be resumed. "
            "Messages that others have taken the place of are left out unless `replaced` asks for them; "
            "`limit` doesn't count them."
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
        where = _query(HistoryQuery, request)
        since, with_replaced = where.pop("since", None), where.pop("replaced")
        if since is not None:
            return Response(self._changes(session, since, with_replaced))
        read = partial(pagination.messages, session.pk, with_replaced=with_replaced)
        kept = {"replaced": "true"} if with_replaced else {}
        return Response(pagination.history_page(request.path, read, kept, **where))

    def _changes(self, session: Session, since: Cursor, with_replaced: bool) -> dict[str, object]:
        attached = catchup.read(session.pk, session.owner, cursor=since, with_replaced=with_replaced)
        if not attached["resumed"]:
            reason = attached["reason"] or ""
            raise ApiError("reset", reason, reason=reason, cursor=attached["cursor"])
        return {name: value for name, value in attached.items() if name != "type"}

    @extend_schema(
        summary="Read signals",
        description=(
            "Pages of the session's signals in both directions, each with its current status. Signals past their "
            "retention are left out, except open ones."
        ),
        parameters=[PartQuery],
        responses=_responses(400, 404, 410, ok=SignalsSerializer),
        filters=False,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def signals(self, request: Request, pk: str) -> Response:
        """List signals. `urls.signals` routes to it, because sending uses the same address."""
        session = self._readable()
        where = _query(PartQuery, request)
        return Response(pagination.history_page(request.path, partial(pagination.signals, session.pk), {}, **where))


def _query(query: type[Strict[None]], request: Request) -> dict[str, Any]:
    """Return the validated query parameters."""
    asked = query(data=request.query_params.dict())
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


@extend_schema_view(
    list=extend_schema(
        summary="List retention policies",
        description="All policies, the shortest first. Requires the permission `sessions_app.view_retentionpolicy`.",
        responses=_responses(403, ok=PolicySerializer),
    ),
    create=extend_schema(
        summary="Create a retention policy",
        description=(
            "A new default replaces the previous one for new sessions. "
            "Requires the permission `sessions_app.add_retentionpolicy`."
        ),
        responses=_responses(400, 403, created=PolicySerializer),
    ),
    retrieve=extend_schema(
        summary="Read a retention policy",
        description="Includes its number of sessions. Requires the permission `sessions_app.view_retentionpolicy`.",
        responses=_responses(403, 404, ok=PolicySerializer),
    ),
    partial_update=extend_schema(
        summary="Change a retention policy",
        description=(
            "Applies immediately to all its sessions. Requires the permission `sessions_app.change_retentionpolicy`."
        ),
        responses=_responses(400, 403, 404, ok=PolicySerializer),
    ),
    destroy=extend_schema(
        summary="Delete a retention policy",
        description=(
            "Refused for the default policy, and while sessions use it. "
            "Requires the permission `sessions_app.delete_retentionpolicy`."
        ),
        responses=_responses(403, 404, 409, deleted=_DELETED),
    ),
)
class PolicyViewSet(HoldfastView, viewsets.ModelViewSet[RetentionPolicy]):
    """Retention policies, for staff with the model's permissions."""

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

    def perform_create(self, serializer: BaseSerializer[RetentionPolicy]) -> None:
        super().perform_create(serializer)
        self._record("created", serializer.instance)

    def perform_update(self, serializer: BaseSerializer[RetentionPolicy]) -> None:
        super().perform_update(serializer)
        self._record("changed", serializer.instance)

    def perform_destroy(self, policy: RetentionPolicy) -> None:
        if policy.is_default:
            raise ApiError("policy_is_default")
        described = policy.described()
        try:
            policy.delete()
        except ProtectedError:
            raise ApiError("policy_in_use") from None
        audit.record(identity_of(self.request).owner, f"deleted {described}")

    def _record(self, verb: str, policy: RetentionPolicy | None) -> None:
        assert policy is not None  # it was saved
        audit.record(identity_of(self.request).owner, f"{verb} {policy.described()}")


@extend_schema_view(
    create=extend_schema(
        summary="Issue a token",
        description=(
            "For external agents and back ends; those that hold a key can sign their own. "
            "Requires the permission `sessions_app.issue_token`. A `sub` other than your own `user:<id>`, "
            "or the scopes `publish` and `work`, which reach other people's sessions, "
            "also require `sessions_app.issue_token_for_others`; `agents` with `*` requires "
            "`sessions_app.issue_token_for_all_agents` as well."
        ),
        request=TokenSerializer,
        responses=_responses(400, 403, 409, created=IssuedTokenSerializer),
    ),
    destroy=extend_schema(
        summary="Revoke a token",
        description=(
            "Revokes by `jti`, whichever key signed it. Its open sockets and streams end within seconds. "
            "Requires the permission `sessions_app.add_revokedtoken`."
        ),
        parameters=[OpenApiParameter("jti", str, OpenApiParameter.PATH)],
        responses=_responses(403, deleted=_DELETED),
    ),
)
class TokenViewSet(HoldfastView, viewsets.ViewSet):
    """Tokens, for logged-in staff with the permission. A token can't issue another."""

    permission_classes = [IsAuthenticatedOrGuest, TokenPermissions]
    http_method_names = ["post", "delete"]
    queryset = RevokedToken.objects.none()  # its model's permissions are checked
    lookup_field = "jti"
    lookup_value_regex = "[A-Za-z0-9_.:-]{1,64}"

    def create(self, request: Request) -> Response:
        if not conf.settings.token_keys:
            raise ApiError("tokens_off")
        asked = TokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        identity = identity_of(request)
        if _reaches_others(asked.validated_data, identity.owner):
            require(request.user, ISSUE_FOR_OTHERS)
        if ALL in asked.validated_data.get("agents", ()):
            require(request.user, ISSUE_FOR_ALL_AGENTS)
        if problem := subject_problem(asked.validated_data["sub"]):
            raise ValidationError({"sub": [problem]})
        token, grant = tokens.issue(**{"life_s": conf.settings.token_max_s, **asked.validated_data}, by=identity.owner)
        audit.record(identity.owner, f"issued token {grant.jti}: {_described(asked.validated_data)}")
        issued = {"token": token, "jti": grant.jti, "expires_at": grant.expires_at * 1000}
        return Response(issued, status=201)

    def destroy(self, request: Request, jti: str) -> Response:
        tokens.revoke(jti)
        audit.record(identity_of(request).owner, f"revoked token {jti}")
        return Response(status=204)


def _described(asked: Mapping[str, Any]) -> str:
    agents = f", agents {', '.join(asked['agents'])}" if "agents" in asked else ""
    return f"sub {asked['sub']}, scope {asked['scope']}, sessions {' '.join(asked['sessions'])}{agents}"


def _reaches_others(asked: Mapping[str, str], owner: str) -> bool:
    """Return True if the token acts as another identity, or reaches others' sessions (scopes `publish` and `work`)."""
    return asked["sub"] != owner or not BACKEND_SCOPES.isdisjoint(asked["scope"].split())


@extend_schema(exclude=True)
class NoSuchAddress(HoldfastView):
    """404 in the API's error format for unknown addresses below the API, for any client."""

    permission_classes = []

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        raise ApiError("no_such_address")
