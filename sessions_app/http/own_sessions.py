"""One's own sessions, by the server's id or one's own: found or created, for every door that names sessions so."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from sessions_app import conf
from sessions_app.auth.identity import Identity
from sessions_app.core.errors import HoldfastError
from sessions_app.core.external_ids import EXTERNAL_ID
from sessions_app.core.tokens import ALL
from sessions_app.event_log import quota
from sessions_app.fairness import rates
from sessions_app.fairness.payer import Payer
from sessions_app.http.errors import ApiError
from sessions_app.models import RetentionPolicy, Session


def own_session(identity: Identity, id_: str, scope: str = "read") -> Session:
    """Return the identity's own session. Raises not_found, for other people's too, expired and forbidden_scope.

    One query, whoever has the id. Call it in a thread.
    """
    identity.require(scope)
    session = _find(identity, id_)
    if session is None or not _covers(identity, session):
        raise HoldfastError("not_found")
    if _has_expired(session):
        raise HoldfastError("expired")
    return session


def own_or_new_session(identity: Identity, id_: str | None, payer: Payer, **values: Any) -> tuple[Session, bool]:
    """Return the identity's own session, or a new one with this external id and these values; True if it is new.

    Requests with one id get one session, however close they come. Raises as `own_session`, and what refuses a new one.
    """
    identity.require("send")
    found = _find(identity, id_) if id_ is not None else None
    if found is not None and _covers(identity, found) and not (found.pk != id_ and _has_expired(found)):
        return own_session(identity, found.pk, "send"), False
    _check_may_create(identity, payer)
    try:
        return _create(identity.owner, id_, values), True
    except IntegrityError:  # another request with this id came first
        winner = _find(identity, id_) if id_ is not None else None
        if winner is None:
            raise
        return winner, False


def _find(identity: Identity, id_: str) -> Session | None:
    if not EXTERNAL_ID.match(id_):
        return None
    own = Session.objects.present().filter(owner=identity.owner).named(id_).select_related("policy")
    return min(own, key=lambda session: session.pk != id_, default=None)  # the server's id comes first


def _covers(identity: Identity, session: Session) -> bool:
    return identity.grant is None or identity.grant.covers(session.pk)


def _has_expired(session: Session) -> bool:
    return session.expires_at is not None and session.expires_at < timezone.now()


def _check_may_create(identity: Identity, payer: Payer) -> None:
    if identity.grant is not None and not identity.grant.covers(ALL):
        raise HoldfastError("forbidden_scope", "a new session needs a token for all sessions, `*`")
    if Session.objects.visible().filter(owner=identity.owner).count() >= conf.settings.sessions_per_owner:
        raise ApiError("session_limit", f"at most {conf.settings.sessions_per_owner}")
    quota.check_room(identity.owner)
    if wait_s := rates.take("session", payer):
        raise HoldfastError(
            "rate_limited", f"at most {conf.settings.sessions_per_hour} sessions an hour", retry_after_s=wait_s
        )


def _create(owner: str, external_id: str | None, values: dict[str, Any]) -> Session:
    policy = values.pop("policy", None) or RetentionPolicy.objects.default()
    fields = {"agent": conf.settings.default_agent, **values}
    with transaction.atomic():
        if external_id is not None:  # as a purge will
            Session.objects.expired().filter(owner=owner, external_id=external_id).update(external_id=None)
        return Session.objects.create(owner=owner, external_id=external_id, policy=policy, **fields)
