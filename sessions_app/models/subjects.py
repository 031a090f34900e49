"""Subjects of tokens: identities of this site's users, and of everything else that isn't a guest."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from sessions_app.core import tokens

NO_USER = "`sub` is not a user of this site"


def user_pk(subject: str) -> Any:
    """Return the primary key in a subject; None if it isn't a user's. Raises ValidationError if no user can have it."""
    kind, _, text = subject.partition(":")
    if kind != "user":
        return None
    pk = get_user_model()._meta.pk.clean(text, None)
    if str(pk) != text:  # only the canonical form, so that a user has exactly one `sub`
        raise ValidationError(NO_USER)
    return pk


def subject_problem(subject: str) -> str:
    """Return why no token of this site can have a subject; empty if one can."""
    if problem := tokens.subject_problem(subject):
        return problem
    try:
        user_pk(subject)
    except ValidationError:
        return NO_USER
    return ""
