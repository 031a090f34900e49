"""Serializers for the OpenAPI document only: the API's responses and the bodies of the transports."""

from __future__ import annotations

import re
from typing import Any

from rest_framework import serializers

from sessions_app.api.serializers import MillisecondsField
from sessions_app.core import signals
from sessions_app.core.frames import RESPONSE_UID, SIGNAL_ID
from sessions_app.models import Message, Signal

# The REST API


class IssuedTokenSerializer(serializers.Serializer[None]):
    token = serializers.CharField(help_text="For the header `Authorization: Bearer …`. Shown only once.")
    jti = serializers.CharField(help_text="Token id, used to revoke it.")
    expires_at = MillisecondsField()


class MessageSerializer(serializers.Serializer[None]):
    """A message (PROTOCOL.md §3): an AI SDK UIMessage plus Holdfast's own fields."""

    id = serializers.CharField()
    role = serializers.CharField()
    status = serializers.ChoiceField(choices=Message.Status.choices)
    reason = serializers.CharField(allow_null=True)
    metadata = serializers.JSONField(allow_null=True)
    first_serial = serializers.IntegerField()
    last_serial = serializers.IntegerField()
    created_at = MillisecondsField()
    continues = serializers.CharField(allow_null=True, help_text="Id of the answer that it goes on with.")
    replaced_by = serializers.CharField(
        allow_null=True, help_text="Id of the message that took its place; null while it is on show."
    )
    parts = serializers.ListField(child=serializers.DictField())
    open = serializers.DictField(help_text="State needed to continue the fold while the message is streaming.")

    def get_fields(self) -> dict[str, Any]:
        # Declared here, since a serializer has an attribute of this name.
        parent = serializers.CharField(allow_null=True, help_text="Id of the message that it follows.")
        return {**super().get_fields(), "parent": parent}


class HistorySerializer(serializers.Serializer[None]):
    """A page of messages. Links follow the page's order; null where there is no further page yet."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = MessageSerializer(many=True)


class SignalSerializer(serializers.Serializer[None]):
    """A signal and its status, as in the signal events of PROTOCOL.md §5."""

    id = serializers.CharField(help_text="Id chosen by the sender.")
    kind = serializers.ChoiceField(choices=[(kind, kind) for kind in signals.KINDS])
    status = serializers.ChoiceField(choices=Signal.Status.choices)
    code = serializers.CharField(allow_null=True, help_text="Code of the error that rejected it.")
    reason = serializers.CharField(allow_null=True, help_text="Human-readable reason for the status.")
    actor = serializers.CharField(help_text="Identity of the sender.")
    issued_by = serializers.CharField(
        required=False, help_text="Identity that had the sender's token issued, if the token says so."
    )
    at = MillisecondsField()
    message = serializers.CharField(allow_null=True, help_text="Id of the response it refers to.")
    payload = serializers.DictField(help_text="The part of the payload that is visible to every reader.")


class SignalsSerializer(serializers.Serializer[None]):
    """A page of signals. Links follow the page's order; null where there is no further page yet."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = SignalSerializer(many=True)


class MessageChangeSerializer(MessageSerializer):
    """A changed message: keep the first `from` parts, then append `parts` (PROTOCOL.md §6)."""

    at = serializers.IntegerField(help_text="UTF-16 code units to keep of the text of the part at `from`.")

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.IntegerField(help_text="Number of parts to keep.")}


class ChangesSerializer(serializers.Serializer[None]):
    """Changes since a cursor, as in the reply to an attach with it."""

    session = serializers.CharField()
    cursor = serializers.CharField(help_text="For the next `?since=`.")
    resumed = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True)
    older = serializers.BooleanField()
    title = serializers.CharField()
    messages = MessageChangeSerializer(many=True)
    replaced = serializers.ListField(
        child=serializers.CharField(), help_text="Ids of messages that others have taken the place of since: drop them."
    )


class ErrorSerializer(serializers.Serializer[None]):
    code = serializers.CharField()
    message = serializers.CharField(help_text="Human-readable message.")
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
    cursor = serializers.CharField(required=False, help_text="The session's current cursor; not for `expired`.")


# The HTTP transports (PROTOCOL.md §4 and §5)


def _matching(pattern: re.Pattern[str], help_text: str) -> serializers.RegexField:
    return serializers.RegexField(rf"\A{pattern.pattern}", help_text=help_text)


class AttachSerializer(serializers.Serializer[None]):
    session = serializers.CharField()
    cursor = serializers.CharField(required=False, allow_null=True, help_text="The client's position.")
    rewind = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, help_text="Without a cursor, the number of messages."
    )
    held = serializers.DictField(
        child=serializers.ListField(child=serializers.IntegerField()),
        required=False,
        allow_null=True,
        help_text="Lengths of the parts of each message that was streaming at the cursor.",
    )
    replaced = serializers.BooleanField(
        required=False, allow_null=True, help_text="Also returns messages that others have taken the place of."
    )


class FollowSerializer(serializers.Serializer[None]):
    attach = AttachSerializer(many=True, help_text="The sessions to follow, each with the client's cursor.")


class PollSerializer(FollowSerializer):
    wait_ms = serializers.IntegerField(
        required=False, min_value=0, help_text="Time to wait for a change. The default, and the maximum, is 25 seconds."
    )


class ChatSerializer(serializers.Serializer[None]):
    id = serializers.CharField(help_text="The chat's id: a session's.")
    messages = serializers.ListField(child=serializers.DictField(), help_text="The conversation; the last one counts.")
    trigger = serializers.ChoiceField(["submit-message", "regenerate-message"])
    messageId = serializers.CharField(required=False, help_text="The answer that is decided about or regenerated.")
    agent = serializers.CharField(required=False, help_text="Of a session that doesn't exist yet.")


class FrameSerializer(serializers.Serializer[None]):
    """A frame (PROTOCOL.md §5). Its other fields depend on its type."""

    type = serializers.CharField(help_text="`connected`, `attached`, `events`, `detached`, `error`, `heartbeat`, …")


class FramesSerializer(serializers.Serializer[None]):
    frames = FrameSerializer(many=True, help_text="`connected`, `attached` for each session, then changes.")


class SessionFramesSerializer(FramesSerializer):
    cursor = serializers.CharField(help_text="Cursor for the next poll.")


class SignalRequestSerializer(serializers.Serializer[None]):
    id = _matching(SIGNAL_ID, "Id chosen by the sender. A repeated id counts once.")
    kind = serializers.ChoiceField(choices=[(kind, kind) for kind in signals.KINDS])
    payload = serializers.DictField(help_text="Fields of PROTOCOL.md §8 for the kind.")


class ReceiptSerializer(serializers.Serializer[None]):
    type = serializers.ChoiceField(choices=["receipt"])
    session = serializers.CharField()
    id = serializers.CharField()
    status = serializers.ChoiceField(choices=["accepted", "rejected"])
    serial = serializers.IntegerField(required=False, help_text="Serial of an accepted signal.")
    error = ErrorSerializer(required=False, help_text="Reason for a rejection.")


class TurnSerializer(serializers.Serializer[None]):
    id = _matching(SIGNAL_ID, "Chosen by the back end; makes the turn idempotent.")
    parts = serializers.ListField(child=serializers.JSONField(), help_text="What the agent is asked: text parts.")
    metadata = serializers.JSONField(required=False, help_text="An object of the application's own.")


class BegunSerializer(serializers.Serializer[None]):
    session = serializers.CharField()
    id = serializers.CharField()
    serial = serializers.IntegerField(help_text="Of the turn's message.")
    run = serializers.CharField(allow_null=True)
    message = serializers.CharField(help_text="The id of the answer.")


class ProducerSerializer(serializers.Serializer[None]):
    producer = _matching(SIGNAL_ID, "Name chosen by the publisher.")
    epoch = serializers.IntegerField(min_value=0, help_text="Increases with each process that takes over the name.")


class ChunkSerializer(serializers.Serializer[None]):
    """An AI SDK UI message chunk. Its other fields depend on its type."""

    type = serializers.CharField()


class BatchSerializer(ProducerSerializer):
    message = _matching(RESPONSE_UID, "The response's id.")
    sequence = serializers.IntegerField(min_value=1, help_text="1 for a response's first batch, 2 for the next.")
    chunks = ChunkSerializer(many=True)


class PublishedSerializer(serializers.Serializer[None]):
    type = serializers.ChoiceField(choices=["published"])
    session = serializers.CharField()
    message = serializers.CharField()
    serial = serializers.IntegerField()
    sequence = serializers.IntegerField(required=False, help_text="Sequence number of a batch.")
    status = serializers.CharField(required=False, help_text="Final status of a response sent as NDJSON.")


class ClaimSerializer(ProducerSerializer):
    id = _matching(SIGNAL_ID, "Of the request.")
    agents = serializers.ListField(child=serializers.CharField(), help_text="Names of the agents that it runs.")
    most = serializers.IntegerField(min_value=0, max_value=1000, help_text="How many runs it takes at once.")
    runs = serializers.ListField(child=serializers.CharField(), required=False, help_text="Runs that it has.")
    signals = serializers.ListField(child=serializers.CharField(), required=False, help_text="Signals that it has.")
    wait_ms = serializers.IntegerField(min_value=0, required=False, help_text="Time to wait for news. Default: 25 s.")


class WorkSerializer(ProducerSerializer):
    type = serializers.ChoiceField(choices=["history", "begin", "expire", "hand-back"])
    id = _matching(SIGNAL_ID, "Of the request; a repeat has the same.")
    session = serializers.CharField(help_text="The run's session.")
    run = serializers.CharField(help_text="The run.")
    approval = serializers.CharField(required=False, help_text="Of `begin` and `expire`.")
    before = serializers.CharField(required=False, help_text="Of `history`: the oldest message that it has.")
    limit = serializers.IntegerField(min_value=1, required=False, help_text="Of `history`: messages in the page.")


class AnswerSerializer(serializers.Serializer[None]):
    type = serializers.ChoiceField(choices=["answer"])
    id = serializers.CharField()
    result = serializers.JSONField()
