"""Serializers that only describe, for the API's OpenAPI document: what it answers, and the bodies of the transports."""

from __future__ import annotations

import re
from typing import Any

from rest_framework import serializers

from sessions_app.api.serializers import MillisecondsField
from sessions_app.core import signals
from sessions_app.core.frames import RESPONSE_UID, SIGNAL_ID
from sessions_app.models import Message, Signal

# The REST API


class IssuedTokenSerializer(serializers.Serializer[object]):
    token = serializers.CharField(help_text="For the header `Authorization: Bearer …`. It is shown this once.")
    jti = serializers.CharField(help_text="Its id, to revoke it by.")
    expires_at = MillisecondsField()


class MessageSerializer(serializers.Serializer[object]):
    """A message as PROTOCOL.md §3 has it: an AI SDK UIMessage and Holdfast's own fields."""

    id = serializers.CharField()
    role = serializers.CharField()
    status = serializers.ChoiceField(choices=Message.Status.choices)
    reason = serializers.CharField(allow_null=True)
    metadata = serializers.JSONField(allow_null=True)
    first_serial = serializers.IntegerField()
    last_serial = serializers.IntegerField()
    created_at = MillisecondsField()
    parts = serializers.ListField(child=serializers.DictField())
    open = serializers.DictField(help_text="What a fold needs to go on while it is streaming.")


class HistorySerializer(serializers.Serializer[object]):
    """Links go on in the page's order; null where there is no more at the moment."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = MessageSerializer(many=True)


class SignalSerializer(serializers.Serializer[object]):
    """What somebody sent, and what became of it, as the events of PROTOCOL.md §5 tell of it."""

    id = serializers.CharField(help_text="Its sender's.")
    kind = serializers.ChoiceField(choices=[(kind, kind) for kind in signals.KINDS])
    status = serializers.ChoiceField(choices=Signal.Status.choices)
    code = serializers.CharField(allow_null=True, help_text="Of the error that rejected it.")
    reason = serializers.CharField(allow_null=True, help_text="Why it has this status, for people.")
    actor = serializers.CharField(help_text="Who sent it.")
    at = MillisecondsField()
    message = serializers.CharField(allow_null=True, help_text="The id of the response that it is about.")
    payload = serializers.DictField(help_text="What everybody is told of it.")


class SignalsSerializer(serializers.Serializer[object]):
    """Links go on in the page's order; null where there is no more at the moment."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = SignalSerializer(many=True)


class MessageChangeSerializer(MessageSerializer):
    """What changed of a message: keep the first `from` parts, append `parts`; see PROTOCOL.md §6."""

    at = serializers.IntegerField(help_text="UTF-16 units to keep of the text of the part at `from`.")

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.IntegerField(help_text="Parts to keep.")}


class ChangesSerializer(serializers.Serializer[object]):
    """The state since a cursor, as an attach with it gives."""

    session = serializers.CharField()
    cursor = serializers.CharField(help_text="For the next `?since=`.")
    resumed = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True)
    older = serializers.BooleanField()
    title = serializers.CharField()
    messages = MessageChangeSerializer(many=True)


class ErrorSerializer(serializers.Serializer[object]):
    code = serializers.CharField()
    message = serializers.CharField(help_text="For people.")
    retryable = serializers.BooleanField(help_text="The same request may succeed later.")


class InvalidSerializer(ErrorSerializer):
    fields_ = serializers.DictField()

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {**fields, "fields": fields.pop("fields_")}


class ResetSerializer(ErrorSerializer):
    reason = serializers.CharField(
        required=False, help_text="epoch-changed, trimmed, ahead or too-far; not for `expired`."
    )
    cursor = serializers.CharField(required=False, help_text="Where the session is now; not for `expired`.")


# The transports over HTTP: PROTOCOL.md §4 and §5


def _matching(pattern: re.Pattern[str], help_text: str) -> serializers.RegexField:
    return serializers.RegexField(rf"\A{pattern.pattern}", help_text=help_text)


class AttachSerializer(serializers.Serializer[object]):
    session = serializers.CharField()
    cursor = serializers.CharField(required=False, allow_null=True, help_text="Where the client is.")
    rewind = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, help_text="Without a cursor, how many messages."
    )
    held = serializers.DictField(
        child=serializers.ListField(child=serializers.IntegerField()),
        required=False,
        allow_null=True,
        help_text="The lengths of the parts of each message that was streaming at the cursor.",
    )


class FollowSerializer(serializers.Serializer[object]):
    attach = AttachSerializer(many=True, help_text="The sessions to follow, each with the client's cursor.")


class PollSerializer(FollowSerializer):
    wait_ms = serializers.IntegerField(
        required=False, min_value=0, help_text="How long to wait for news; 25 seconds at most, and by default."
    )


class FrameSerializer(serializers.Serializer[object]):
    """A frame of PROTOCOL.md §5: the other fields depend on its type."""

    type = serializers.CharField(help_text="`connected`, `attached`, `events`, `detached`, `error`, `heartbeat`, …")


class FramesSerializer(serializers.Serializer[object]):
    frames = FrameSerializer(many=True, help_text="`connected`, `attached` for each session, then what is new.")


class SessionFramesSerializer(FramesSerializer):
    cursor = serializers.CharField(help_text="For the next poll.")


class SignalRequestSerializer(serializers.Serializer[object]):
    id = _matching(SIGNAL_ID, "The sender's; repeated, it counts once.")
    kind = serializers.ChoiceField(choices=[(kind, kind) for kind in signals.KINDS])
    payload = serializers.DictField(help_text="What PROTOCOL.md §8 names for its kind.")


class ReceiptSerializer(serializers.Serializer[object]):
    type = serializers.ChoiceField(choices=["receipt"])
    session = serializers.CharField()
    id = serializers.CharField()
    status = serializers.ChoiceField(choices=["accepted", "rejected"])
    serial = serializers.IntegerField(required=False, help_text="Of an accepted signal.")
    error = ErrorSerializer(required=False, help_text="Why it was rejected.")


class ProducerSerializer(serializers.Serializer[object]):
    producer = _matching(SIGNAL_ID, "The publisher's own name.")
    epoch = serializers.IntegerField(min_value=0, help_text="Higher in each process that takes the name.")


class ChunkSerializer(serializers.Serializer[object]):
    """An AI SDK UI message chunk: the other fields depend on its type."""

    type = serializers.CharField()


class BatchSerializer(ProducerSerializer):
    message = _matching(RESPONSE_UID, "The response's id.")
    sequence = serializers.IntegerField(min_value=1, help_text="1 for a response's first batch, 2 for the next.")
    chunks = ChunkSerializer(many=True)


class PublishedSerializer(serializers.Serializer[object]):
    type = serializers.ChoiceField(choices=["published"])
    session = serializers.CharField()
    message = serializers.CharField()
    serial = serializers.IntegerField()
    sequence = serializers.IntegerField(required=False, help_text="Of a batch.")
    status = serializers.CharField(required=False, help_text="How a response that was sent as lines ended.")
