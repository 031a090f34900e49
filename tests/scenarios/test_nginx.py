"""The test proxies behave as their names say; their idle limits are tested in `test_proxies`."""

import httpx
import pytest

from tests.support.harness import DEADLINE_S, Server, StartServer
from tests.support.nginx import CONFIGURATIONS, Nginx
from tests.support.raw_socket import TEXT, RawSocket, Refused

UPGRADES = ["alb", "cloudflare", "strips_headers"]
REFUSALS = {"no_upgrade_400": 400, "no_upgrade_403": 403, "no_upgrade_426": 426, "no_upgrade_502": 502}


@pytest.fixture(scope="module")
def echo(start_shared_server: StartServer) -> Server:
    return start_shared_server("daphne", application="tests.support.echo_application:application")


@pytest.mark.parametrize("name", UPGRADES)
def test_a_proxy_that_supports_websockets(echo: Server, name: str) -> None:
    with Nginx(name, echo.port) as proxy:
        socket = RawSocket(proxy.port)
        socket.send_text("through nginx")
        assert socket.read_until(TEXT).text == "through nginx"
        socket.close()


@pytest.mark.parametrize(("name", "status"), REFUSALS.items())
def test_a_proxy_that_refuses_upgrades(echo: Server, name: str, status: int) -> None:
    with Nginx(name, echo.port) as proxy:
        with pytest.raises(Refused) as refused:
            RawSocket(proxy.port)
        assert refused.value.status == status
        assert httpx.get(f"{proxy.url}/other", timeout=DEADLINE_S).text == "ok"


def test_a_proxy_that_hangs_on_upgrades(echo: Server) -> None:
    with Nginx("no_upgrade_hangs", echo.port) as proxy:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{proxy.url}/ws/", timeout=httpx.Timeout(DEADLINE_S, read=1))
        assert httpx.get(f"{proxy.url}/other", timeout=DEADLINE_S).text == "ok"


@pytest.mark.parametrize("name", ["strips_upgrade", "buffers"])
def test_a_proxy_that_drops_the_upgrade_headers(echo: Server, name: str) -> None:
    with Nginx(name, echo.port) as proxy:
        with pytest.raises(Refused) as refused:
            RawSocket(proxy.port)
        assert refused.value.status == 200
        assert "upgrade" not in asked_with(proxy, Upgrade="websocket")


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if name != "buffers"])
def test_a_proxy_that_forwards_each_piece_of_a_response(echo: Server, name: str) -> None:
    with Nginx(name, echo.port) as proxy, httpx.stream("GET", f"{proxy.url}/forever", timeout=DEADLINE_S) as answer:
        assert next(answer.iter_bytes()) == b"ok"


def test_a_proxy_that_buffers_responses(echo: Server) -> None:
    with Nginx("buffers", echo.port) as proxy:
        with (
            pytest.raises(httpx.ReadTimeout),
            httpx.stream("GET", f"{proxy.url}/forever", timeout=httpx.Timeout(DEADLINE_S, read=1)),
        ):
            pass
        assert httpx.get(f"{proxy.url}/other", timeout=DEADLINE_S).text == "ok"


def test_a_proxy_that_adds_a_ray_id(echo: Server) -> None:
    with Nginx("cloudflare", echo.port) as proxy:
        answer = httpx.get(f"{proxy.url}/headers", timeout=DEADLINE_S)
        ray = answer.headers["CF-Ray"]
        assert f"cf-ray: {ray}" in answer.text
        assert ray != httpx.get(f"{proxy.url}/headers", timeout=DEADLINE_S).headers["CF-Ray"]


def test_a_proxy_that_strips_headers_both_ways(echo: Server) -> None:
    with Nginx("strips_headers", echo.port) as proxy:
        assert "cache-control" not in httpx.get(f"{proxy.url}/headers", timeout=DEADLINE_S).headers
        assert not {"last-event-id", "accept", "user-agent"} & asked_with(proxy, **{"Last-Event-ID": "9"}).keys()
    with Nginx("alb", echo.port) as proxy:
        assert "cache-control" in httpx.get(f"{proxy.url}/headers", timeout=DEADLINE_S).headers
        assert {"last-event-id", "accept", "user-agent"} <= asked_with(proxy, **{"Last-Event-ID": "9"}).keys()


def asked_with(proxy: Nginx, **headers: str) -> dict[str, str]:
    """The headers that the server gets for a request with these."""
    lines = httpx.get(f"{proxy.url}/headers", headers=headers, timeout=DEADLINE_S).text.splitlines()
    return dict(line.split(": ", 1) for line in lines)
