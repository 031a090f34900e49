"""Authentication backend for passwords, with limits on guessing them and threads of its own to hash them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password, verify_password
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from sessions_app.auth import sign_ins
from sessions_app.auth.addresses import client_key
from sessions_app.auth.sign_ins import Attempt, TooManySignIns
from sessions_app.core.limits import RateLimiter

P = ParamSpec("P")
T = TypeVar("T")

MOST_WAITING = 8  # for a hashing thread: some 3 s, as a hash takes 0.2 to 0.5 s of a core
BUSY_WAIT_S = 5

logger = logging.getLogger(__name__)
_refusals_logged = RateLimiter.per_minute(1, 1000)  # by address: a flood of sign-ins doesn't flood the log
_lock = threading.Lock()


class HashingThread:
    """A thread that hashes passwords one after the other: at most one core, and never a thread that others need."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._places = threading.BoundedSemaphore(MOST_WAITING)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the thread and return its result. Raises TooManySignIns if too many wait."""
        if not self._places.acquire(blocking=False):
            raise TooManySignIns(BUSY_WAIT_S)
        try:
            return self._executor.submit(function, *args, **kwargs).result()
        finally:
            self._places.release()


# Guessers with many addresses keep the one busy; people at addresses that they have signed in from use the other.
_for_known, _for_others = HashingThread(), HashingThread()


class ThrottledBackend(ModelBackend):
    """Django's backend with limits. A wrong password is final: no further backend is asked, which would hash again."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the user with this password. Raises PermissionDenied without one, and TooManySignIns."""
        name = username if username is not None else kwargs.get(get_user_model().USERNAME_FIELD)
        if name is None or password is None:
            return None
        user = _user(name)
        one = sign_ins.attempt(name, f"user:{user.pk}" if user else "", _address(request))
        if request is not None:  # the site's own code, such as a command, guesses nothing
            _admit(one)
        is_right = _has_password(user, password, one)
        if user is None or not is_right or not self.user_can_authenticate(user):
            logger.warning("a sign-in as %s from %s failed", one.person or "an unknown name", _place(one))
            raise PermissionDenied
        if request is not None:
            sign_ins.succeed(one)
        logger.info("%s signed in from %s", one.person, _place(one))
        return user

    async def aauthenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        return await sync_to_async(self.authenticate)(request, username, password, **kwargs)


def _user(name: str) -> User | None:
    if "\x00" in name:  # PostgreSQL raises
        return None
    model = get_user_model()
    try:
        return model._default_manager.get_by_natural_key(name)
    except model.DoesNotExist:
        return None


def _address(request: HttpRequest | None) -> str:
    if request is None:
        return ""
    return client_key(request.META.get("REMOTE_ADDR"), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def _place(one: Attempt) -> str:
    return one.address or "an unknown address"


def _admit(one: Attempt) -> None:
    try:
        sign_ins.admit(one)
    except TooManySignIns as refusal:
        with _lock:
            is_news = _refusals_logged.take(one.address, time.monotonic()) == 0
        if is_news:
            who = one.person or "an unknown name"
            logger.warning("sign-ins as %s from %s have to wait %d s", who, _place(one), refusal.wait_s)
        raise


def _has_password(user: User | None, password: str, one: Attempt) -> bool:
    """Check a password. It takes as long for a user who doesn't exist. Raises TooManySignIns."""
    thread = _for_known if one.is_from_known_address else _for_others
    try:
        if user is None:
            thread.run(make_password, password)
            return False
        is_right, must_update = thread.run(verify_password, password, user.password)
        if is_right and must_update:  # hashed with fewer iterations than today's
            user.password = thread.run(make_password, password)
            user.save(update_fields=["password"])
    except TooManySignIns:
        sign_ins.refund(one)
        raise
    return is_right
