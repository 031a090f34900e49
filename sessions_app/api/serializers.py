"""Serializers of the API. Fields that aren't declared here are rejected."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from sessions_app import conf
from sessions_app.core import tokens
from sessions_app.core.cursor import Cursor
from sessions_app.core.external_ids import EXTERNAL_ID, EXTERNAL_ID_LENGTH
from sessions_app.event_log.moments import milliseconds
from sessions_app.models import RetentionPolicy, Session

T = TypeVar("T")

MAX_SERIAL = 2**53  # the largest exact integer in JavaScript


class Strict(serializers.Serializer[T]):
    """Serializer that rejects unknown fields, so that a misspelt one isn't ignored."""

    def to_internal_value(self, data: object) -> Any:
        if isinstance(data, dict):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = {
                name: [f"Unknown field. Known fields: {', '.join(known)}."] for name in data if name not in known
            }
            if unknown:
                raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


@extend_schema_field({"type": "integer", "format": "int64", "description": "Milliseconds since 1970, UTC."})
class MillisecondsField(serializers.Field[datetime, object, int, datetime]):
    """A time as milliseconds since 1970, as on the wire."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: datetime) -> int:
        return milliseconds(value)


class PolicyNameField(serializers.SlugRelatedField[RetentionPolicy]):
    default_error_messages = {"does_not_exist": "Unknown policy. Available: {names}."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="name", queryset=RetentionPolicy.objects.none(), **kwargs)

    def get_queryset(self) -> QuerySet[RetentionPolicy]:
        return RetentionPolicy.objects.allowed()

    def to_internal_value(self, data: object) -> RetentionPolicy:
        policies = {policy.name: policy for policy in self.get_queryset()}
        if not isinstance(data, str) or data not in policies:
            self.fail("does_not_exist", names=", ".join(policies))
        return policies[data]


class ExternalIdField(serializers.RegexField):
    """A client's own id of a session."""

    default_error_messages = {"invalid": f"Use 1 to {EXTERNAL_ID_LENGTH} characters of A-Z a-z 0-9 _ . : -."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(EXTERNAL_ID, trim_whitespace=False, required=False, **kwargs)


class SessionSerializer(Strict[Session], serializers.ModelSerializer[Session]):
    external_id = ExternalIdField(
        allow_null=True, help_text="Your own id of the session, unique among yours. Can't be changed."
    )
    title = serializers.CharField(
        max_length=200, allow_blank=True, required=False, help_text="Until it is set, the start of the first message."
    )
    agent = serializers.CharField(
        max_length=64,
        allow_blank=True,
        required=False,
        help_text="The agent that answers. Omitted: the site's default. Empty: none. Can't be changed.",
    )
    policy = PolicyNameField(required=False, help_text="Name of the retention policy.")
    cursor = serializers.SerializerMethodField(
        help_text="The session's current position (opaque), for `?since=` and for attaching."
    )
    streaming = serializers.BooleanField(read_only=True, help_text="A response is in progress.")
    held = serializers.BooleanField(read_only=True, help_text="On hold: the session doesn't expire.")
    created_at = MillisecondsField()
    active_at = MillisecondsField(help_text="Time when a message last began or ended.")
    expires_at = MillisecondsField(
        allow_null=True, help_text="Expiry time if there is no further activity; null while on hold."
    )

    class Meta:
        model = Session
        fields = [
            "id", "external_id", "title", "agent", "policy", "cursor", "streaming", "held", "created_at", "active_at",
            "expires_at",
        ]  # fmt: skip
        read_only_fields = ["id"]

    def get_cursor(self, session: Session) -> str:
        return str(Cursor(session.epoch, session.tail))

    def validate_agent(self, agent: str) -> str:
        if agent and agent not in conf.settings.agents:
            raise serializers.ValidationError(f"Unknown agent. Available: {', '.join(conf.settings.agents)}.")
        if self.instance is not None and agent != self.instance.agent:
            raise serializers.ValidationError("A session's agent can't be changed.")
        return agent

    def validate_external_id(self, external_id: str | None) -> str | None:
        if self.instance is not None and external_id != self.instance.external_id:
            raise serializers.ValidationError("A session's external id can't be changed.")
        return external_id

    def update(self, session: Session, validated_data: dict[str, Any]) -> Session:
        for name, value in validated_data.items():
            setattr(session, name, value)
        # Only the changed fields: tail and epoch belong to the log writer, which may be changing them now.
        session.save(update_fields=list(validated_data))
        return session


class PolicySerializer(Strict[RetentionPolicy], serializers.ModelSerializer[RetentionPolicy]):
    hours = serializers.IntegerField(
        min_value=1, max_value=10**6, help_text="Hours to keep a session after its last change, at least 24."
    )
    is_default = serializers.BooleanField(
        required=False, help_text="New sessions get this policy. It replaces the previous default."
    )
    sessions = serializers.IntegerField(
        read_only=True, source="session_count", help_text="Number of sessions with this policy."
    )

    class Meta:
        model = RetentionPolicy
        fields = ["id", "name", "hours", "is_default", "sessions"]
        validators: list[object] = []  # without the unique constraint's: a new default replaces the old one

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        current = self.instance or RetentionPolicy()
        fields = {name: attrs.get(name, getattr(current, name)) for name in ("name", "hours", "is_default")}
        RetentionPolicy(pk=current.pk, **fields).clean()
        return attrs

    def create(self, validated_data: dict[str, Any]) -> RetentionPolicy:
        policy = self.update(RetentionPolicy(), validated_data)
        policy.session_count = 0  # type: ignore[attr-defined]  # annotated in lists
        return policy

    def update(self, policy: RetentionPolicy, validated_data: dict[str, Any]) -> RetentionPolicy:
        for name, value in validated_data.items():
            setattr(policy, name, value)
        policy.save()
        return policy


class TokenSerializer(Strict[None]):
    """Request for a token (claims: PROTOCOL.md §13)."""

    sub = serializers.CharField(help_text="Identity that the token acts as: user:5, ext:alice, agent:billing.")
    scope = serializers.CharField(help_text="Space-separated: read, send, approve, cancel, publish, work.")
    sessions = serializers.ListField(
        child=serializers.CharField(), help_text="Session ids, or id prefixes that end in *."
    )
    agents = serializers.ListField(
        child=serializers.CharField(trim_whitespace=False),
        required=False,
        help_text="Names of agents to work as, with the scope `work`; `*` alone is any.",
    )
    life_s = serializers.IntegerField(
        min_value=1, required=False, help_text="Lifetime in seconds. Default: the site's maximum."
    )

    def validate_sub(self, sub: str) -> str:
        return _valid(sub, tokens.subject_problem(sub))

    def validate_scope(self, scope: str) -> str:
        return _valid(scope, tokens.scope_problem(scope))

    def validate_sessions(self, sessions: list[str]) -> list[str]:
        return _valid(sessions, tokens.sessions_problem(sessions))

    def validate_life_s(self, life_s: int) -> int:
        return _valid(life_s, "" if life_s <= conf.settings.token_max_s else f"At most {conf.settings.token_max_s}.")

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if problem := tokens.agents_problem(asked.get("agents"), asked["scope"]):
            raise serializers.ValidationError({"agents": problem})
        return asked


def _valid(value: T, problem: str) -> T:
    if problem:
        raise serializers.ValidationError(problem)
    return value


class PageQuery(Strict[None]):
    """Query parameters of a list page."""

    limit = serializers.IntegerField(min_value=1, max_value=200, required=False)
    cursor = serializers.CharField(max_length=1000, required=False)
    external_id = ExternalIdField()


class PartQuery(Strict[None]):
    """Query parameters of a history page. `before` and `after` exclude each other.

    A message's serial is its `first_serial`; a signal's is the serial in its receipt.
    """

    EXCLUSIVE: tuple[str, ...] = ("before", "after")

    before = serializers.IntegerField(
        min_value=1, max_value=MAX_SERIAL, required=False, help_text="Items directly before this serial."
    )
    after = serializers.IntegerField(
        min_value=0, max_value=MAX_SERIAL, required=False, help_text="Items directly after this serial."
    )
    limit = serializers.IntegerField(min_value=1, required=False, help_text="Maximum number of items.")
    order = serializers.ChoiceField(
        choices=["newest", "oldest"],
        default="newest",
        help_text="Sort order. Without `before` and `after`, also the end to start from.",
    )

    def validate_limit(self, limit: int) -> int:
        if limit > conf.settings.history_max:
            raise serializers.ValidationError(f"At most {conf.settings.history_max}.")
        return limit

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs.keys() & set(self.EXCLUSIVE)) > 1:
            raise serializers.ValidationError(f"Give only one of {', '.join(self.EXCLUSIVE)}.")
        attrs.setdefault("limit", conf.settings.history_default)
        return attrs


class HistoryQuery(PartQuery):
    """Query parameters of a message history. `before`, `after` and `since` exclude each other."""

    EXCLUSIVE = ("before", "after", "since")

    since = serializers.CharField(
        max_length=100, required=False, help_text="A cursor. Returns the changes since then instead of a page."
    )

    replaced = serializers.BooleanField(
        default=False,
        help_text="Also returns replaced messages: alternatives that aren't on show, and what followed them.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if "since" in attrs:
            attrs["since"] = Cursor.parse(attrs["since"])
        return attrs
