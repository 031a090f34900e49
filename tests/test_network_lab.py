"""The network lab: a setting enables it, and only a developer at the machine can restart its server."""

from typing import Any

import pytest
from django.test import Client

PATH = "/lab/restart/"


@pytest.fixture
def developing(settings: Any) -> None:
    settings.DEBUG = True


@pytest.mark.django_db
@pytest.mark.parametrize("lab", [True, False])
def test_the_page_has_the_lab_if_the_setting_is_on(client: Client, settings: Any, lab: bool) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"LAB": lab}
    page = client.get("/").content.decode()
    assert ("network-lab/" in page) == lab
    assert 'data-once="restart"' not in page  # not without DEBUG


def test_a_production_site_never_restarts_on_request(client: Client) -> None:
    assert client.post(PATH).status_code == 404


@pytest.mark.usefixtures("developing")
def test_another_sites_page_restarts_nothing() -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post(PATH, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get(PATH).status_code == 405


@pytest.mark.usefixtures("developing")
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"])
def test_another_machine_restarts_nothing(client: Client, address: str) -> None:
    assert client.post(PATH, REMOTE_ADDR=address).status_code == 403


@pytest.mark.usefixtures("developing")
@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For"])
def test_a_proxied_request_restarts_nothing(client: Client, header: str) -> None:
    assert client.post(PATH, headers={header: "127.0.0.1"}).status_code == 403


@pytest.mark.usefixtures("developing")
def test_a_server_that_cannot_restart_itself_says_so(client: Client) -> None:
    assert client.post(PATH).status_code == 501
