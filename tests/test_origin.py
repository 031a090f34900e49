"""Origins whose pages may use a visitor's cookies: the whole origin counts, behind proxies too."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from sessions_app.auth.origin import check_handshake, check_page
from sessions_app.core.errors import HoldfastError

PROXIED = {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}


@pytest.fixture(autouse=True)
def hosts(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["chat.example.com", ".example.org", "127.0.0.1", "[::1]"]


def handshake(origin: str | None, host: str | None, *, scheme: str | None = "ws", **headers: str) -> bool:
    """Return whether a WebSocket handshake may use cookies."""
    given = {"origin": origin, "host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "websocket",
        "path": "/ws/",
        "headers": [(name.encode(), value.encode("latin1")) for name, value in given.items() if value is not None],
    }
    return allowed(check_handshake, scope | ({"scheme": scheme} if scheme else {}))


def request(origin: str, host: str, *, secure: bool = False, **headers: str) -> bool:
    """Return whether a request over HTTP may use cookies."""
    named = {"Origin": origin, "Host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    return allowed(check_page, RequestFactory().get("/api/poll/", secure=secure, headers=named))


def allowed(check: Any, *arguments: Any) -> bool:
    try:
        check(*arguments)
    except HoldfastError as refusal:
        assert refusal.code == "forbidden_origin"
        return False
    return True


@pytest.mark.parametrize(
    ("origin", "host", "secure"),
    [
        ("http://chat.example.com", "chat.example.com", False),
        ("https://chat.example.com", "chat.example.com", True),
        ("https://chat.example.com:8443", "chat.example.com:8443", True),
        ("https://chat.example.com", "chat.example.com:443", True),
        ("http://chat.example.com:80", "chat.example.com", False),
        ("https://CHAT.example.com", "chat.example.com", True),
        ("https://a.example.org", "a.example.org", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", False),
        ("http://[::1]:8000", "[::1]:8000", False),
    ],
)
def test_the_sites_own_origin_may_use_cookies(origin: str, host: str, secure: bool) -> None:
    assert handshake(origin, host, scheme="wss" if secure else "ws")
    assert request(origin, host, secure=secure)


@pytest.mark.parametrize(
    "origin",
    [
        "http://chat.example.com",  # another scheme
        "https://chat.example.com:8443",  # another port
        "https://chat.example.com:80",
        "https://a.chat.example.com",
        "https://a.example.org",  # another host that the site has
        "https://chat.example.com.evil.example",
        "https://chat.example.com@evil.example",
        "https://evil.example#chat.example.com",
        "https://chat.example.com/",
        "https://chat.example.com:",
        "https://chat.example.com:443:443",
        "https://chat.example.com:0x1bb",
        "https://chat.example.com\x00",
        "https://chat.example.com, https://evil.example",
        " https://chat.example.com",
        "wss://chat.example.com",
        "chrome-extension://chat.example.com",
        "//chat.example.com",
        "chat.example.com",
        "null",
        "",
        "https://",
        "https://[::1",
        "https://chat.example.com:99999999999999999999",
        "https://\u00e7hat.example.com".encode().decode("latin1"),
    ],
)
def test_any_other_origin_may_not(origin: str) -> None:
    assert not handshake(origin, "chat.example.com", scheme="wss")
    assert not request(origin, "chat.example.com", secure=True)


@pytest.mark.parametrize("host", ["evil.example", "", None, "chat.example.com, evil.example", "evil.example:80"])
def test_a_host_that_is_not_the_sites_has_no_own_pages(host: str | None) -> None:
    assert not handshake(f"http://{host}", host)


def test_a_handshake_needs_an_origin_and_a_request_none_of_its_own() -> None:
    assert not handshake(None, "chat.example.com")
    plain = RequestFactory().get("/api/poll/", headers={"Host": "chat.example.com"})
    assert allowed(check_page, plain)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Same-Origin", ""])
def test_a_request_that_hides_its_origin_is_refused_by_its_fetch_metadata(site: str) -> None:
    assert not allowed(check_page, RequestFactory().get("/", headers={"Host": "127.0.0.1", "Sec-Fetch-Site": site}))


@pytest.mark.parametrize("forwarded", ["https", "wss", "https, http", " https", "wss,ws"])
def test_behind_a_trusted_proxy_the_scheme_is_the_one_it_forwards(settings: Any, forwarded: str) -> None:
    settings.SECURE_PROXY_SSL_HEADER = PROXIED["SECURE_PROXY_SSL_HEADER"]
    assert handshake("https://chat.example.com", "chat.example.com", x_forwarded_proto=forwarded)
    assert not handshake("http://chat.example.com", "chat.example.com", x_forwarded_proto=forwarded)


@pytest.mark.parametrize("forwarded", ["http", "ws", "http, https", ""])
def test_behind_a_trusted_proxy_plain_http_is_not_https(settings: Any, forwarded: str) -> None:
    settings.SECURE_PROXY_SSL_HEADER = PROXIED["SECURE_PROXY_SSL_HEADER"]
    assert handshake("http://chat.example.com", "chat.example.com", x_forwarded_proto=forwarded)
    assert not handshake("https://chat.example.com", "chat.example.com", scheme="wss", x_forwarded_proto=forwarded)


def test_without_a_trusted_proxy_nothing_forwarded_counts() -> None:
    for scheme in ("ws", None):
        named = {"x_forwarded_proto": "https", "x_forwarded_host": "evil.example", "x_forwarded_port": "443"}
        assert not handshake("https://chat.example.com", "chat.example.com", scheme=scheme, **named)
        assert not handshake("http://evil.example", "chat.example.com", scheme=scheme, **named)


def test_a_forwarded_host_counts_where_the_site_says_so(settings: Any) -> None:
    named = {"x_forwarded_host": "chat.example.com"}
    assert not handshake("http://chat.example.com", "127.0.0.1:8000", **named)
    settings.USE_X_FORWARDED_HOST = True
    assert handshake("http://chat.example.com", "127.0.0.1:8000", **named)
    assert request("http://chat.example.com", "127.0.0.1:8000", **named)
    assert not handshake("http://127.0.0.1:8000", "127.0.0.1:8000", **named)


@pytest.mark.parametrize(
    ("trusted", "origin", "fits"),
    [
        ("https://app.example.net", "https://app.example.net", True),
        ("https://app.example.net:443", "https://app.example.net", True),
        ("https://app.example.net", "http://app.example.net", False),
        ("https://app.example.net", "https://app.example.net:8443", False),
        ("https://app.example.net:8443", "https://app.example.net:8443", True),
        ("https://app.example.net", "https://a.app.example.net", False),
        ("https://*.example.net", "https://a.b.example.net", True),
        ("https://*.example.net", "https://example.net", True),  # as in Django's own check
        ("https://*.example.net", "https://evilexample.net", False),
        ("https://*.example.net", "http://a.example.net", False),
        ("https://*.example.net", "https://a.example.net:8443", False),
        ("https://*.example.net:8443", "https://a.example.net:8443", True),
        ("https://.example.net", "https://a.example.net", False),
        ("https://*", "https://evil.example", False),
        ("chrome-extension://abc", "chrome-extension://abc", False),
    ],
)
def test_trusted_origins_are_djangos(settings: Any, trusted: str, origin: str, fits: bool) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [trusted]
    assert handshake(origin, "chat.example.com", scheme="wss") is fits
    assert request(origin, "chat.example.com", secure=True) is fits
