"""nginx's limits per address: floods are refused in the client's format, and one page with all its scripts never is."""

import re
from collections import Counter

import httpx
import pytest

from tests.support.deployed_nginx import DEPLOY, DeployedNginx
from tests.support.harness import DEADLINE_S

SCRIPTS = 100  # more than a page has
PATTERNS = re.findall(r'"~(\^[^"]+)" \$network;', (DEPLOY / "nginx.conf").read_text())


def asked(url: str, count: int) -> list[httpx.Response]:
    with httpx.Client(timeout=DEADLINE_S) as client:
        return [client.get(url) for _ in range(count)]


def statuses(url: str, count: int) -> Counter[int]:
    return Counter(response.status_code for response in asked(url, count))


def test_twenty_page_loads_at_once_are_not_limited() -> None:
    with DeployedNginx([1]) as nginx:  # no server: what nginx lets through is answered 502 or 503
        assert statuses(f"{nginx.insecure_url}/", 20) == {502: 20}
        assert statuses(f"{nginx.insecure_url}/static/holdfast/index.js", 5 * SCRIPTS) == {200: 5 * SCRIPTS}
        assert statuses(f"{nginx.insecure_url}/api/sessions/", 20 * 10) == {503: 200}
        assert statuses(f"{nginx.insecure_url}/ws/", 20) == {502: 20}


def test_a_flood_of_pages_is_refused() -> None:
    with DeployedNginx([1]) as nginx:
        assert statuses(f"{nginx.insecure_url}/", 400)[429] > 50


def test_a_flood_of_requests_to_the_api_is_refused_in_its_format() -> None:
    with DeployedNginx([1], changes={"rate=200r/s": "rate=1r/m", "burst=1000": "burst=5"}) as nginx:
        *through, last = asked(f"{nginx.insecure_url}/api/sessions/", 7)
        assert [response.status_code for response in through] == [503] * 6
        assert (last.status_code, last.headers["Retry-After"]) == (429, "5")
        assert (last.json()["code"], last.json()["retryable"]) == ("rate_limited", True)


def test_publishing_is_not_limited_by_nginx() -> None:
    with DeployedNginx([1], changes={"rate=200r/s": "rate=1r/m", "burst=1000": "burst=1"}) as nginx:
        assert statuses(f"{nginx.insecure_url}/api/sessions/{'A' * 22}/publish/", 20) == {503: 20}


def test_a_back_end_of_the_site_is_not_limited() -> None:
    changes = {"# 192.0.2.10 yes;": "127.0.0.1 yes;", "rate=10r/s": "rate=1r/m", "burst=100": "burst=1"}
    with DeployedNginx([1], changes=changes) as nginx:
        assert statuses(f"{nginx.insecure_url}/", 20) == {502: 20}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::1"),
        ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6"),
        ("2001:db8:1::1", "2001:db8:1::2:3"),
        ("2001:db8::1", "2001:db8::2:3"),
    ],
)
def test_an_ipv6_address_is_limited_by_its_network(one: str, other: str) -> None:
    assert network(one) == network(other) != network("2001:db8:1:3:3:4:5:6")


def test_an_ipv4_address_is_limited_whole() -> None:
    assert network("203.0.113.7") == "203.0.113.7"


def network(address: str) -> str:
    """Return what the configuration's map makes of an address."""
    found = (re.match(pattern.replace("?<", "?P<"), address) for pattern in PATTERNS)
    return next((match["network"] for match in found if match), address)
