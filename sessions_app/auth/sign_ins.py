"""Limits on guessing passwords: by address, and by name as a delay for addresses new to that person.

Failures are leaky buckets in the database, which all processes share; a cache need not be. Their number is bounded by
the rate at which passwords can be hashed. Keys are digests with the site's secret, as people type passwords into the
field for the name. Libraries such as django-axes lock names out, which lets anyone lock out anyone.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from sessions_app import conf
from sessions_app.models import SignInAddress, SignInFailures

ADDRESS_DAYS = 90  # for which an address is known since the person last signed in from it
ADDRESSES_PER_PERSON = 50  # the latest
FORGOTTEN_AT_ONCE = 20


class TooManySignIns(Exception):
    """A sign-in has to wait: its password was not looked at."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = math.ceil(wait_s)
        super().__init__(f"wait {self.wait_s} s")


class Attempt(NamedTuple):
    """An attempt to sign in. `person` is empty if nobody has the name, `address` if it isn't known."""

    name: str
    person: str
    address: str
    is_from_known_address: bool

    def buckets(self) -> dict[str, int]:
        """Return the failures that the attempt counts with, by key, and their limits.

        An address that the person has signed in from has a bucket for that person alone: neither failures with the name
        from elsewhere nor other people's from this address make the person wait.
        """
        per_address, per_name = conf.settings.sign_in_failures_per_address, conf.settings.sign_in_failures_per_name
        if self.is_from_known_address:
            return {digest("known", self.person, self.address): per_address}
        by_name = {digest("name", self.name): per_name}
        return by_name | ({digest("address", self.address): per_address} if self.address else {})


def digest(kind: str, *values: str) -> str:
    return salted_hmac(f"holdfast.sign_ins.{kind}", "\n".join(values), algorithm="sha256").hexdigest()


def attempt(name: str, person: str, address: str) -> Attempt:
    """Return an attempt to sign in, before it is admitted."""
    key = digest("seen", person, address)
    since = timezone.now() - timedelta(days=ADDRESS_DAYS)
    known = bool(person and address) and SignInAddress.objects.filter(key=key, seen_at__gt=since).exists()
    return Attempt(name.casefold(), person, address, known)


def admit(one: Attempt) -> None:
    """Count an attempt as a failure, which `succeed` and `refund` take back. Raises TooManySignIns."""
    buckets = one.buckets()
    if wait_s := _wait_s(SignInFailures.objects.filter(key__in=buckets), buckets):
        raise TooManySignIns(wait_s)  # writes nothing: a flood costs the others no commit
    with transaction.atomic():
        SignInFailures.objects.bulk_create([SignInFailures(key=key) for key in sorted(buckets)], ignore_conflicts=True)
        # In the order of their keys, so that no two transactions wait for each other.
        rows = SignInFailures.objects.select_for_update().filter(key__in=buckets).order_by("key")
        if wait_s := _wait_s(rows, buckets):
            raise TooManySignIns(wait_s)
        now = timezone.now()
        for row in rows:
            SignInFailures.objects.filter(key=row.key).update(level=_level(row, now) + 1, changed_at=now)
        _forget_outdated(now)


def _wait_s(rows: QuerySet[SignInFailures], limits: dict[str, int]) -> float:
    """Return the seconds until each of the buckets has room for one more failure."""
    now, pause_s = timezone.now(), conf.settings.sign_in_pause_s
    return max((max(0.0, (_level(row, now) + 1 - limits[row.key]) * pause_s) for row in rows), default=0.0)


def _level(row: SignInFailures, now: datetime) -> float:
    drained = (now - row.changed_at).total_seconds() / conf.settings.sign_in_pause_s
    return max(0.0, row.level - max(0.0, drained))  # a clock that was set back drains nothing


def refund(one: Attempt) -> None:
    """Take an attempt back that was no failure. Earlier failures still count."""
    SignInFailures.objects.filter(key__in=one.buckets()).update(level=Greatest(F("level") - 1.0, Value(0.0)))


def succeed(one: Attempt) -> None:
    """Take the attempt back, and remember its address as one of the person's."""
    refund(one)
    if not one.address:
        return
    person = digest("person", one.person)
    seen = {"person": person, "seen_at": timezone.now()}
    SignInAddress.objects.update_or_create(key=digest("seen", one.person, one.address), defaults=seen)
    kept = SignInAddress.objects.filter(person=person).order_by("-seen_at")
    old = list(kept.values_list("key", flat=True)[ADDRESSES_PER_PERSON:])
    if old:
        SignInAddress.objects.filter(key__in=old).delete()


def _forget_outdated(now: datetime) -> None:
    """Delete some rows that no longer limit or know anyone: more than an attempt adds, so that the tables are bounded.

    Call it in a transaction. Rows that another one has locked are left to it.
    """
    most = max(conf.settings.sign_in_failures_per_address, conf.settings.sign_in_failures_per_name)
    drained = SignInFailures.objects.filter(
        changed_at__lt=now - timedelta(seconds=most * conf.settings.sign_in_pause_s)
    )
    unknown = SignInAddress.objects.filter(seen_at__lt=now - timedelta(days=ADDRESS_DAYS))
    for rows in (drained, unknown):
        keys = list(rows.select_for_update(skip_locked=True).values_list("key", flat=True)[:FORGOTTEN_AT_ONCE])
        rows.filter(key__in=keys).delete()
