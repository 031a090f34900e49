"""What the API takes and gives, field by field. What isn't named here is refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from sessions_app import conf
from sessions_app.core import tokens
from sessions_app.core.cursor import Cursor
from sessions_app.event_log.moments import milliseconds
from sessions_app.models import RetentionPolicy, Session

T = TypeVar("T")

MOST_SERIAL = 2**53  # where JavaScript's whole numbers end


class Strict(serializers.Serializer[Any]):
    """Refuses fields that it doesn't take, instead of ignoring a misspelt one."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            taken = {name for name, field in self.fields.items() if not field.read_only}
            unknown = {name: [f"Not taken here. These are: {', '.join(taken)}."] for name in data if name not in taken}
            if unknown:
                raise serializers.ValidationError(unknown)
        return super().to_internal_value(data)


@extend_schema_field({"type": "integer", "format": "int64", "description": "Milliseconds since 1970, UTC."})
class MillisecondsField(serializers.Field[Any, Any, int, datetime]):
    """A moment as the wire has it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: datetime) -> int:
        return milliseconds(value)


class PolicyNameField(serializers.SlugRelatedField[RetentionPolicy]):
    default_error_messages = {"does_not_exist": "There is no such policy. There are: {names}."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="name", queryset=RetentionPolicy.objects.none(), **kwargs)

    def get_queryset(self) -> QuerySet[RetentionPolicy]:
        return RetentionPolicy.objects.allowed()

    def to_internal_value(self, data: Any) -> RetentionPolicy:
        policies = {policy.name: policy for policy in self.get_queryset()}
        if not isinstance(data, str) or data not in policies:
            self.fail("does_not_exist", names=", ".join(policies))
        return policies[data]


class SessionSerializer(Strict, serializers.ModelSerializer[Session]):
    title = serializers.CharField(
        max_length=200, allow_blank=True, required=False, help_text="Its first message's beginning, until it is set."
    )
    agent = serializers.CharField(
        max_length=64,
        allow_blank=True,
        required=False,
        help_text="Who answers: the site's default if left out, nobody if empty. It can't be changed.",
    )
    policy = PolicyNameField(required=False, help_text="The name of its retention policy.")
    cursor = serializers.SerializerMethodField(help_text="Its end; opaque. For `?since=` and for attaching.")
    streaming = serializers.BooleanField(read_only=True, help_text="Whether a response is in progress.")
    held = serializers.BooleanField(read_only=True, help_text="On hold: nothing of it expires.")
    created_at = MillisecondsField()
    active_at = MillisecondsField(help_text="When a message last began or ended.")
    expires_at = MillisecondsField(allow_null=True, help_text="If nothing more happens; null while on hold.")

    class Meta:
        model = Session
        fields = [
            "id", "title", "agent", "policy", "cursor", "streaming", "held", "created_at", "active_at", "expires_at",
        ]  # fmt: skip
        read_only_fields = ["id"]

    def get_cursor(self, session: Session) -> str:
        return str(Cursor(session.epoch, session.tail))

    def validate_agent(self, agent: str) -> str:
        if agent and agent not in conf.settings.agents:
            raise serializers.ValidationError(f"There is no such agent. There are: {', '.join(conf.settings.agents)}.")
        if self.instance is not None and agent != self.instance.agent:
            raise serializers.ValidationError("A session's agent can't be changed.")
        return agent

    def create(self, validated_data: dict[str, Any]) -> Session:
        validated_data.setdefault("agent", conf.settings.default_agent)
        if "policy" not in validated_data:
            validated_data["policy"] = RetentionPolicy.objects.default()
        session = Session.objects.create(**validated_data)
        session.streaming = False  # type: ignore[attr-defined]  # as the list has it
        return session

    def update(self, session: Session, validated_data: dict[str, Any]) -> Session:
        for name, value in validated_data.items():
            setattr(session, name, value)
        # These fields only: the tail and the epoch belong to the writer of the log, which may be at work.
        session.save(update_fields=list(validated_data))
        return session


class PolicySerializer(Strict, serializers.ModelSerializer[RetentionPolicy]):
    hours = serializers.IntegerField(min_value=1, max_value=10**6, help_text="After the last change, at least 24.")
    is_default = serializers.BooleanField(
        required=False, help_text="New sessions get it. The one that was the default before no longer is."
    )
    sessions = serializers.IntegerField(read_only=True, source="session_count", help_text="How many have it.")

    class Meta:
        model = RetentionPolicy
        fields = ["id", "name", "hours", "is_default", "sessions"]
        validators: list[Any] = []  # not the constraint's: a new default takes the old one's place

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        current = self.instance or RetentionPolicy()
        fields = {name: attrs.get(name, getattr(current, name)) for name in ("name", "hours", "is_default")}
        RetentionPolicy(pk=current.pk, **fields).clean()
        return attrs

    def create(self, validated_data: dict[str, Any]) -> RetentionPolicy:
        policy = self.update(RetentionPolicy(), validated_data)
        policy.session_count = 0  # type: ignore[attr-defined]  # as the list has it
        return policy

    def update(self, policy: RetentionPolicy, validated_data: dict[str, Any]) -> RetentionPolicy:
        for name, value in validated_data.items():
            setattr(policy, name, value)
        policy.save()
        return policy


class TokenSerializer(Strict):
    """A token to be issued: what PROTOCOL.md §13 says of its claims."""

    sub = serializers.CharField(help_text="Whom it acts as: user:5, ext:alice, agent:billing.")
    scope = serializers.CharField(help_text="Some of read, send, approve, cancel, publish, with a space between.")
    sessions = serializers.ListField(
        child=serializers.CharField(), help_text="Ids of sessions, or beginnings of ids that end in *."
    )
    life_s = serializers.IntegerField(
        min_value=1, required=False, help_text="For how many seconds: if left out, as many as the site allows."
    )

    def validate_sub(self, sub: str) -> str:
        return _taken(sub, tokens.subject_problem(sub))

    def validate_scope(self, scope: str) -> str:
        return _taken(scope, tokens.scope_problem(scope))

    def validate_sessions(self, sessions: list[str]) -> list[str]:
        return _taken(sessions, tokens.sessions_problem(sessions))

    def validate_life_s(self, life_s: int) -> int:
        return _taken(life_s, "" if life_s <= conf.settings.token_max_s else f"At most {conf.settings.token_max_s}.")


def _taken(value: T, problem: str) -> T:
    if problem:
        raise serializers.ValidationError(problem)
    return value


class PageQuery(Strict):
    """Which page of a list."""

    limit = serializers.IntegerField(min_value=1, max_value=200, required=False)
    cursor = serializers.CharField(max_length=1000, required=False)


class PartQuery(Strict):
    """Which part of a session's history. `before` and `after` exclude each other.

    A message's serial is its `first_serial`, a signal's the one in its receipt.
    """

    EXCLUSIVE: tuple[str, ...] = ("before", "after")

    before = serializers.IntegerField(
        min_value=1, max_value=MOST_SERIAL, required=False, help_text="Those next before this serial."
    )
    after = serializers.IntegerField(
        min_value=0, max_value=MOST_SERIAL, required=False, help_text="Those next after this serial."
    )
    limit = serializers.IntegerField(min_value=1, required=False, help_text="At most so many.")
    order = serializers.ChoiceField(
        choices=["newest", "oldest"],
        default="newest",
        help_text="Which comes first; without `before` and `after` also from which end.",
    )

    def validate_limit(self, limit: int) -> int:
        if limit > conf.settings.history_max:
            raise serializers.ValidationError(f"At most {conf.settings.history_max}.")
        return limit

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        if len(attrs.keys() & set(self.EXCLUSIVE)) > 1:
            raise serializers.ValidationError(f"Give only one of {', '.join(self.EXCLUSIVE)}.")
        attrs.setdefault("limit", conf.settings.history_default)
        return attrs


class HistoryQuery(PartQuery):
    """`before`, `after` and `since` exclude each other."""

    EXCLUSIVE = ("before", "after", "since")

    since = serializers.CharField(max_length=100, required=False, help_text="A cursor: what changed since, instead.")

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        attrs = super().validate(attrs)
        if "since" in attrs:
            attrs["since"] = Cursor.parse(attrs["since"])
        return attrs
