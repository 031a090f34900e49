"""Guessing passwords: by address, by name, over time and under load. People get in meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import User
from django.test import AsyncClient, Client, RequestFactory
from django.utils import timezone

from sessions_app.auth import backends, sign_ins
from sessions_app.auth.backends import MOST_WAITING, HashingThread
from sessions_app.auth.sign_ins import ADDRESS_DAYS, ADDRESSES_PER_PERSON, TooManySignIns
from sessions_app.core.limits import RateLimiter
from sessions_app.models import SignInAddress, SignInFailures
from tests.support.stored import guest

pytestmark = pytest.mark.django_db

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.1"
PATHS = ["/login/", "/admin/login/"]
PASSWORD = "a password"


@pytest.fixture(autouse=True)
def limits(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_refusals_logged", RateLimiter.per_minute(1, 1000))
    settings.HOLDFAST = settings.HOLDFAST | {
        "SIGN_IN_FAILURES_PER_ADDRESS": 4, "SIGN_IN_FAILURES_PER_NAME": 2, "SIGN_IN_PAUSE_S": 30,
    }  # fmt: skip


@pytest.fixture
def alice() -> User:
    return get_user_model().objects.create_superuser("alice", password=PASSWORD)


def sign_in(name: str, password: str, address: str, path: str = "/login/", **headers: str) -> Any:
    return Client().post(path, {"username": name, "password": password}, REMOTE_ADDR=address, headers=headers)


def outcomes(*attempts: Any) -> list[int]:
    """302: signed in. 200: wrong. 429: not even looked at."""
    return [response.status_code for response in attempts]


def pass_time(seconds: float) -> None:
    for row in SignInFailures.objects.all():
        row.changed_at -= timedelta(seconds=seconds)
        row.save()


@pytest.mark.parametrize("path", PATHS)
def test_guesses_from_one_address_have_to_wait_whatever_name_they_try(alice: User, path: str) -> None:
    tried = [sign_in(f"name-{number}", "x", ELSEWHERE, path) for number in range(6)]
    assert outcomes(*tried) == [200] * 4 + [429] * 2
    assert 0 < int(tried[-1]["Retry-After"]) <= 30 and "Try again in" in tried[-1].content.decode()
    assert outcomes(sign_in("alice", PASSWORD, ELSEWHERE, path), sign_in("alice", PASSWORD, HOME, path)) == [429, 302]


@pytest.mark.parametrize("path", PATHS)
def test_guesses_at_one_name_from_many_addresses_have_to_wait(alice: User, path: str) -> None:
    tried = [sign_in("alice", "x", f"198.51.100.{number}", path) for number in range(4)]
    assert outcomes(*tried) == [200, 200, 429, 429]
    assert outcomes(sign_in("Alice", "x", "198.51.100.99", path)) == [429]  # the same name to a guesser
    pass_time(int(tried[-1]["Retry-After"]))  # a delay: one attempt each 30 s, for anyone
    assert outcomes(sign_in("alice", PASSWORD, ELSEWHERE, path)) == [302]


def test_the_two_logins_share_their_limits(alice: User) -> None:
    tried = [sign_in("alice", "x", f"198.51.100.{number}", PATHS[number % 2]) for number in range(3)]
    assert outcomes(*tried) == [200, 200, 429]


def test_an_address_that_a_person_has_signed_in_from_is_never_locked_out(alice: User) -> None:
    assert outcomes(sign_in("alice", PASSWORD, HOME)) == [302]
    for number in range(20):
        sign_in("alice", "x", f"198.51.100.{number}")
    for number in range(20):  # and somebody behind the same address tries others' names
        sign_in(f"name-{number}", "x", HOME)
    assert outcomes(sign_in("alice", PASSWORD, ELSEWHERE), sign_in("bob", "x", HOME)) == [429, 429]
    assert outcomes(*(sign_in("alice", PASSWORD, HOME) for _ in range(10))) == [302] * 10


def test_a_known_address_cannot_guess_without_end_either(alice: User) -> None:
    assert outcomes(sign_in("alice", PASSWORD, HOME)) == [302]
    assert outcomes(*(sign_in("alice", "x", HOME) for _ in range(6))) == [200] * 4 + [429] * 2


def test_one_persons_address_is_not_known_for_another(alice: User) -> None:
    get_user_model().objects.create_user("bob", password="his")
    assert outcomes(sign_in("bob", "his", ELSEWHERE)) == [302]  # a guesser has an account of their own
    assert outcomes(*(sign_in("alice", "x", ELSEWHERE) for _ in range(3))) == [200, 200, 429]


def test_signing_in_to_ones_own_account_forgives_no_guesses(alice: User) -> None:
    get_user_model().objects.create_user("bob", password="his")
    tried = []
    for number in range(8):
        tried.append(sign_in(f"name-{number}", "x", ELSEWHERE))
        sign_in("bob", "his", ELSEWHERE)
    assert outcomes(*tried) == [200] * 4 + [429] * 4


def test_an_unknown_name_costs_and_looks_the_same(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    run = HashingThread.run
    monkeypatch.setattr(HashingThread, "run", lambda *all: (called.append(all[1].__name__), run(*all))[1])
    pages = [sign_in(name, "x", ELSEWHERE).content for name in ("alice", "nobody")]
    assert called == ["verify_password", "make_password"]
    assert len({page.partition(b"<h1>")[2].replace(b"nobody", b"alice").partition(b"csrf")[0] for page in pages}) == 1


def test_an_inactive_user_does_not_get_in_and_is_counted(alice: User) -> None:
    get_user_model().objects.update(is_active=False)
    tried = [sign_in("alice", PASSWORD, ELSEWHERE) for _ in range(3)]
    assert outcomes(*tried) == [200, 200, 429] and not SignInAddress.objects.exists()


@pytest.mark.parametrize("host", ["2001:db8:1:2:{0:x}::1", "2001:db8:1:2::{0:x}"])
def test_addresses_of_one_ipv6_network_are_one(host: str) -> None:
    assert outcomes(*(sign_in(f"name-{number}", "x", host.format(number + 1)) for number in range(5)))[-1] == 429


def test_a_forged_forwarded_address_is_not_another_address(settings: Any) -> None:
    tried = [sign_in(f"name-{n}", "x", ELSEWHERE, **{"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(5)]
    assert outcomes(*tried)[-1] == 429


def test_behind_a_proxy_people_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_app.auth.addresses.api_settings.NUM_PROXIES", 1, raising=False)
    tried = [sign_in(f"name-{n}", "x", "127.0.0.1", **{"X-Forwarded-For": f"1.1.1.1, 10.0.0.{n}"}) for n in range(6)]
    assert set(outcomes(*tried)) == {200}


def test_without_an_address_nothing_is_known_and_names_are_limited(alice: User) -> None:
    assert outcomes(sign_in("alice", PASSWORD, "")) == [302] and not SignInAddress.objects.exists()
    assert outcomes(*(sign_in("alice", "x", "") for _ in range(3))) == [200, 200, 429]
    assert outcomes(sign_in("bob", "x", "")) == [200]  # the address of everyone here


def test_failures_drain(alice: User) -> None:
    for number in range(4):
        sign_in(f"name-{number}", "x", ELSEWHERE)
    assert outcomes(sign_in("n", "x", ELSEWHERE)) == [429]
    pass_time(31)
    assert outcomes(sign_in("n", "x", ELSEWHERE), sign_in("m", "x", ELSEWHERE)) == [200, 429]


def test_a_clock_that_is_set_back_locks_nobody_out_for_long(alice: User) -> None:
    sign_in("alice", "x", ELSEWHERE)
    pass_time(-3600)
    assert outcomes(sign_in("alice", "x", ELSEWHERE), sign_in("alice", "x", ELSEWHERE)) == [200, 429]
    assert int(sign_in("alice", "x", ELSEWHERE)["Retry-After"]) <= 30


def test_a_refused_sign_in_writes_nothing_and_hashes_nothing(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        sign_in(f"name-{number}", "x", ELSEWHERE)
    before = list(SignInFailures.objects.order_by("key").values())
    monkeypatch.setattr(HashingThread, "run", lambda *all: pytest.fail("hashed"))
    assert outcomes(sign_in("alice", PASSWORD, ELSEWHERE)) == [429]
    assert list(SignInFailures.objects.order_by("key").values()) == before


# What is kept


def test_neither_names_nor_addresses_nor_passwords_are_stored_or_logged(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sessions_app"):
        sign_in("my secret, typed as a name", "my secret", ELSEWHERE)
        sign_in("alice", PASSWORD, HOME)
        for _ in range(6):
            sign_in("alice", "my secret", ELSEWHERE)
    rows = str([*SignInFailures.objects.values(), *SignInAddress.objects.values()])
    assert not [word for word in ("secret", "alice", HOME, ELSEWHERE) if word in rows]
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("sessions_app.auth")]
    assert not [line for line in lines if "secret" in line or PASSWORD in line]
    assert f"a sign-in as an unknown name from {ELSEWHERE} failed" in lines
    assert f"user:{alice.pk} signed in from {HOME}" in lines
    assert f"a sign-in as user:{alice.pk} from {ELSEWHERE} failed" in lines
    assert len([line for line in lines if "have to wait" in line]) == 1  # of four: a flood doesn't flood the log


def test_a_persons_known_addresses_are_bounded_and_expire(alice: User) -> None:
    for number in range(ADDRESSES_PER_PERSON + 5):
        sign_ins.succeed(sign_ins.attempt("alice", "user:1", f"10.0.0.{number}"))
    assert SignInAddress.objects.count() == ADDRESSES_PER_PERSON
    assert not sign_ins.attempt("alice", "user:1", "10.0.0.0").is_from_known_address
    assert sign_ins.attempt("alice", "user:1", "10.0.0.50").is_from_known_address
    SignInAddress.objects.update(seen_at=timezone.now() - timedelta(days=ADDRESS_DAYS))
    assert not sign_ins.attempt("alice", "user:1", "10.0.0.50").is_from_known_address


def test_rows_that_limit_nobody_are_forgotten() -> None:
    for number in range(10):
        sign_in("a", "x", f"10.0.{number}.1")
    sign_ins.succeed(sign_ins.attempt("alice", "user:1", HOME))
    assert SignInFailures.objects.count() == 3 and SignInAddress.objects.count() == 1  # refused ones have none
    pass_time(4 * 30 + 1)
    SignInAddress.objects.update(seen_at=timezone.now() - timedelta(days=ADDRESS_DAYS + 1))
    sign_in("b", "x", ELSEWHERE)
    assert SignInFailures.objects.count() == 2 and not SignInAddress.objects.exists()


# Hashing


def test_passwords_are_hashed_one_at_a_time_and_few_wait() -> None:
    thread, free, running, most = HashingThread(), threading.Event(), [0], [0]

    def slow() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        free.wait(10)
        running[0] -= 1

    callers = [threading.Thread(target=thread.run, args=(slow,)) for _ in range(MOST_WAITING)]
    for caller in callers:
        caller.start()
    deadline = time.monotonic() + 10
    while thread._places._value and time.monotonic() < deadline:
        time.sleep(0.001)
    with pytest.raises(TooManySignIns):
        thread.run(slow)
    free.set()
    for caller in callers:
        caller.join(10)
    assert most == [1] and thread.run(lambda: 7) == 7


def test_a_sign_in_that_finds_no_room_is_refused_and_not_counted(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcomes(sign_in("alice", PASSWORD, HOME)) == [302]
    full = HashingThread()
    monkeypatch.setattr(full, "_places", threading.BoundedSemaphore(1))
    full._places.acquire()
    monkeypatch.setattr(backends, "_for_others", full)
    assert outcomes(*(sign_in("alice", PASSWORD, ELSEWHERE) for _ in range(5))) == [429] * 5
    assert outcomes(sign_in("alice", PASSWORD, HOME)) == [302]  # has the other thread
    monkeypatch.undo()
    assert outcomes(sign_in("alice", PASSWORD, ELSEWHERE)) == [302]


def test_no_password_is_hashed_in_the_requests_thread(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    monkeypatch.setattr(backends, "verify_password", lambda *_: (threads.append(threading.current_thread().name), 0))
    sign_in("alice", "x", ELSEWHERE)
    assert [name.rpartition("_")[0] for name in threads] == ["passwords"]


def test_a_password_with_an_old_hash_gets_todays(alice: User, settings: Any) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher", "django.contrib.auth.hashers.MD5PasswordHasher",
    ]  # fmt: skip
    assert alice.password.startswith("md5$")
    assert outcomes(sign_in("alice", PASSWORD, HOME)) == [302]
    alice.refresh_from_db()
    assert alice.password.startswith("pbkdf2_sha256$") and alice.check_password(PASSWORD)


# Other ways to sign in


def test_async_code_is_limited_too(alice: User) -> None:
    async def try_often() -> list[int]:
        client = AsyncClient()
        form = {"username": "alice", "password": "x"}
        return [(await client.post("/login/", form)).status_code for _ in range(3)]

    async def try_directly() -> None:
        await backends.ThrottledBackend().aauthenticate(RequestFactory().get("/"), username="alice", password="x")

    assert async_to_sync(try_often)() == [200, 200, 429]
    with pytest.raises(TooManySignIns):
        async_to_sync(try_directly)()


def test_a_wrong_password_asks_no_further_backend(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.contrib.auth.backends.ModelBackend.authenticate", lambda *_, **__: pytest.fail("asked"))
    assert authenticate(RequestFactory().post("/"), username="alice", password="x") is None


@pytest.mark.parametrize("credentials", [{}, {"username": "alice"}, {"password": "x"}, {"token": "x"}])
def test_credentials_without_name_or_password_are_left_to_others(credentials: dict[str, str]) -> None:
    assert authenticate(RequestFactory().post("/"), **credentials) is None and not SignInFailures.objects.exists()


def test_the_sites_own_code_is_not_limited(alice: User) -> None:
    assert [authenticate(None, username="alice", password="x") for _ in range(5)] == [None] * 5
    assert authenticate(None, username="alice", password=PASSWORD) == alice


@pytest.mark.parametrize("name", ["\x00", "a\x00b", "é" * 5000, "' OR 1=1 --", "alice\nuser:1", ""])
def test_an_odd_name_is_only_wrong(name: str) -> None:
    assert outcomes(sign_in(name, "x", ELSEWHERE)) == [200]
    assert authenticate(RequestFactory().post("/"), username=name, password="x") is None


def test_logins_from_before_the_upgrade_remain(alice: User) -> None:
    client = Client()
    client.force_login(alice, "django.contrib.auth.backends.ModelBackend")
    assert client.get("/admin/").status_code == 200 and client.get("/api/sessions/").status_code == 200


def test_a_guest_who_is_refused_stays_the_guest(alice: User) -> None:
    client = guest()
    for _ in range(3):
        response = client.post("/login/", {"username": "alice", "password": "x"}, REMOTE_ADDR=ELSEWHERE)
    assert response.status_code == 429
    assert client.get("/api/sessions/").status_code == 200
