"""The request to a provider's address: TLS, public addresses, no redirects, and limits of time and size."""

import datetime
import gzip
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sessions_app.auth import jwks_request
from sessions_app.auth.jwks_request import RequestRefused, is_public, read, url_problem
from tests.support.identity_provider import Provider, provider, serving

__all__ = ["provider"]  # a fixture


@pytest.fixture
def plain(provider: Provider, settings: Any) -> Iterator[str]:
    """The address of a server without TLS, on a development site."""
    settings.DEBUG = True
    with serving(provider) as port:
        yield f"http://127.0.0.1:{port}"


def refusal(url: str) -> str:
    with pytest.raises(RequestRefused) as refused:
        read(url, allows_private=True)
    return str(refused.value)


# Addresses


@pytest.mark.parametrize(
    "url",
    ["http://id.example.com/keys", "ftp://id.example.com/", "//id.example.com/keys", "https:///keys", "https://",
     "https://user:secret@id.example.com/keys", "https://@id.example.com/", "https://id.example.com/#keys",
     "https://id.example.com:port/", "https://id.example.com:0/", "https://[::1/", "https://äid.example.com/",
     "file:///etc/passwd", "id.example.com"],
)  # fmt: skip
def test_other_addresses_than_https_are_refused(url: str) -> None:
    assert url_problem(url)
    with pytest.raises(RequestRefused):
        read(url, allows_private=True)


def test_http_is_for_development(settings: Any) -> None:
    settings.DEBUG = True
    assert url_problem("http://localhost:8080/realms/x/protocol/openid-connect/certs") == ""
    settings.DEBUG = False
    assert url_problem("http://localhost:8080/realms/x/protocol/openid-connect/certs") != ""


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
     "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::",
     "2001:db8::1"],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1", "64:ff9b::101:101", "2002:101:101::"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0", "2130706433", "127.1", "0x7f.1"])
def test_a_name_of_this_machine_or_network_is_refused(host: str, provider: Provider, settings: Any) -> None:
    settings.DEBUG = True
    with serving(provider) as port, pytest.raises((RequestRefused, OSError)):
        read(f"http://{host}:{port}/", allows_private=False)
    assert provider.requests == []


def test_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "1.1.1.1", "10.0.0.1")
    with pytest.raises(RequestRefused, match=r"10\.0\.0\.1, which isn't public"):
        read("https://id.example.com/keys", allows_private=False)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name have these addresses; return the names that are asked for."""
    names: list[str] = []

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        names.append(host)
        is_literal = str(host).replace(".", "").isdigit()
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ([host] if is_literal else addresses)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names


def test_the_checked_address_is_the_one_that_is_asked(
    provider: Provider, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = resolve_to(monkeypatch, "127.0.0.1")
    port = plain.rpartition(":")[2]
    assert read(f"http://id.example.com:{port}/a?b=c", allows_private=True) == provider.body
    assert names.count("id.example.com") == 1
    [(path, headers)] = provider.requests
    assert (path, headers["host"]) == ("/a?b=c", f"id.example.com:{port}")


def test_the_next_address_is_asked_if_one_does_not_answer(
    provider: Provider, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, "127.0.0.9", "127.0.0.1")  # nothing listens at the first
    assert read(f"http://id.example.com:{plain.rpartition(':')[2]}/", allows_private=True) == provider.body


def test_proxies_of_the_environment_are_not_used(
    provider: Provider, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert read(plain, allows_private=True) == provider.body


# Answers


def test_redirects_are_not_followed(provider: Provider, plain: str) -> None:
    for status in (301, 302, 307):
        provider.status, provider.headers = status, {"Location": f"{plain}/elsewhere"}
        assert str(status) in refusal(f"{plain}/keys")
    assert {path for path, _ in provider.requests} == {"/keys"}


@pytest.mark.parametrize("status", [204, 206, 401, 404, 500])
def test_other_answers_are_refused(provider: Provider, plain: str, status: int) -> None:
    provider.status, provider.body = status, b""
    assert str(status) in refusal(plain)


def test_a_large_answer_is_not_read_to_its_end(provider: Provider, plain: str) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        while sent < 100_000_000:
            sent += handler.wfile.write(b" " * 10_000)

    provider.answer = endless
    assert "more than" in refusal(plain)
    assert sent < 50_000_000


def test_a_compressed_answer_is_refused(provider: Provider, plain: str) -> None:
    provider.body, provider.headers = gzip.compress(b" " * 10_000_000), {"Content-Encoding": "gzip"}
    assert "compressed" in refusal(plain)


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["none", "head", "body"]
)
def test_a_slow_answer_ends_with_the_time_for_all_of_it(
    provider: Provider, plain: str, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        for _ in range(200):
            if head:
                handler.wfile.write(b"x")
            time.sleep(0.05)

    provider.answer = drip
    monkeypatch.setattr(jwks_request, "TIMEOUT_S", 0.4)
    began = time.monotonic()
    with pytest.raises((TimeoutError, httpx.TimeoutException)):
        read(plain, allows_private=True)
    assert time.monotonic() - began < 3


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of `localhost` and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


@pytest.fixture
def secure(provider: Provider, certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(provider, lambda server: context.wrap_socket(server, server_side=True)) as port:
        yield port


def test_a_certificate_of_the_name_is_accepted(
    provider: Provider, secure: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert read(f"https://localhost:{secure}/keys", allows_private=True) == provider.body
    [(_, headers)] = provider.requests
    assert headers["host"] == f"localhost:{secure}"


def test_an_unknown_certificate_is_refused(provider: Provider, secure: int) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        read(f"https://localhost:{secure}/keys", allows_private=True)
    assert provider.requests == []


def test_a_certificate_of_another_name_is_refused(
    provider: Provider, secure: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    resolve_to(monkeypatch, "127.0.0.1")
    for host in ("id.example.com", str(ipaddress.ip_address("127.0.0.1"))):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            read(f"https://{host}:{secure}/keys", allows_private=True)
    assert provider.requests == []
