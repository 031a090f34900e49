"""The request to an identity provider's JWKS address: bounded in time and size, and to public addresses alone.

Without that, a wrong or taken-over address would make this server ask its own network. The address that is connected to
is the one that was checked, so that a second answer of the DNS changes nothing. Redirects and proxies of the
environment are not followed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

import httpx
from django.conf import settings

TIMEOUT_S = 5
MAX_BYTES = 262_144
NAT64 = IPv6Network("64:ff9b::/96")
PORTS = {"https": 443, "http": 80}


class RequestRefused(Exception):
    """The address may not be asked, or its answer can't be used."""


def url_problem(url: str) -> str:
    """Return the problem of a JWKS address; empty if it may be asked, as far as its text says."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.DEBUG):
        return "it isn't https"
    if not parts.hostname or not url.isascii() or port == 0:
        return "it has no host"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "it has a user or a fragment"
    return ""


def read(url: str, *, allows_private: bool) -> bytes:
    """Return the document at the address. Raises RequestRefused, OSError, TimeoutError and httpx's errors."""
    if problem := url_problem(url):
        raise RequestRefused(problem)
    return asyncio.run(_read(urlsplit(url), allows_private))


async def _read(url: SplitResult, allows_private: bool) -> bytes:
    async with asyncio.timeout(TIMEOUT_S):
        addresses = await _addresses(url, allows_private)
        async with _client() as client:
            for address in addresses[:-1]:
                try:
                    return await _get(client, url, address)
                except httpx.ConnectError:
                    continue
            return await _get(client, url, addresses[-1])


async def _addresses(url: SplitResult, allows_private: bool) -> list[str]:
    """Return the host's addresses. Raises RequestRefused if one isn't public."""
    found = await asyncio.get_running_loop().getaddrinfo(
        url.hostname or "", url.port or PORTS[url.scheme], type=socket.SOCK_STREAM
    )
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    private = [] if allows_private else [address for address in addresses if not is_public(address)]
    if private:
        raise RequestRefused(
            f"{url.hostname} is at {private[0]}, which isn't public. HOLDFAST_JWKS_PRIVATE_ADDRESSES allows it"
        )
    return addresses


def is_public(address: str) -> bool:
    """Return True for an address on the public Internet, also of what an IPv6 address leads to over IPv4."""
    parsed = ip_address(address)
    if not parsed.is_global or parsed.is_multicast:
        return False
    inner = _inner(parsed) if isinstance(parsed, IPv6Address) else None
    return inner is None or is_public(str(inner))


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=ssl.create_default_context(), trust_env=False, timeout=TIMEOUT_S)


async def _get(client: httpx.AsyncClient, url: SplitResult, address: str) -> bytes:
    host = f"[{address}]" if ":" in address else address
    target = url._replace(netloc=f"{host}:{url.port or PORTS[url.scheme]}").geturl()
    headers = {"Host": url.netloc, "Accept": "application/json", "Accept-Encoding": "identity"}
    # The certificate is checked against the name that was asked for.
    async with client.stream("GET", target, headers=headers, extensions={"sni_hostname": url.hostname}) as response:
        if response.status_code != 200:
            raise RequestRefused(f"the answer's status is {response.status_code}, not 200")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise RequestRefused("the answer is compressed")
        body = b""
        async for part in response.aiter_raw():
            body += part
            if len(body) > MAX_BYTES:
                raise RequestRefused(f"the answer has more than {MAX_BYTES} bytes")
        return body
