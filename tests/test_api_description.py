"""The API describes itself: also the transports, which aren't the REST framework's."""

import json
import re

import pytest
from django.test import Client
from django.urls import include, path, resolve
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from sessions_app import urls
from sessions_app.api.schema import CURL_POLL, TAG
from sessions_app.transports import http_views, long_poll, sse

pytestmark = pytest.mark.django_db


def address(path: str) -> str:
    """An address of this path, of a session that isn't there."""
    return re.sub(r"\{(session|id)\}", "A" * 22, path)


def test_it_is_valid_and_has_every_transport(client: Client) -> None:
    schema = client.get("/api/schema/?format=json").json()
    validate_schema(schema)
    described = {
        resolve(address(path)).func
        for path, operations in schema["paths"].items()
        if any(operation["tags"] == [TAG] for operation in operations.values())
    }
    views = {
        sse.stream, sse.session_stream, long_poll.poll, long_poll.session_poll, urls.signals,
        http_views.publish, http_views.beat,
    }  # fmt: skip
    assert described == views


def test_each_is_described_with_the_method_that_it_takes(client: Client) -> None:
    schema = client.get("/api/schema/?format=json").json()
    for described, operations in schema["paths"].items():
        for method, operation in operations.items():
            if operation["tags"] == [TAG]:
                answer = getattr(client, method)(address(described))
                assert answer.status_code == 401  # not 405: it is the door that is shut
                assert "401" in operation["responses"]


def test_signals_are_sent_and_read_at_one_address(client: Client) -> None:
    paths = client.get("/api/schema/?format=json").json()["paths"]
    (path,) = [path for path in paths if path.endswith("/signals/")]
    assert set(paths[path]) == {"get", "post"}


def test_the_page_of_the_api_shows_how_to_poll(client: Client) -> None:
    described = client.get("/api/schema/?format=json").json()["paths"]["/api/sessions/{session}/poll/"]["get"]
    assert re.search(r"```sh\n(.*)\n```", described["description"], re.DOTALL)[1] == CURL_POLL  # type: ignore[index]


def test_addresses_are_those_at_which_the_api_is_mounted() -> None:
    def described(prefix: str) -> str:
        return json.dumps(SchemaGenerator(patterns=[path(prefix, include(urls))]).get_schema(public=True))

    document = described("")
    assert described("chat/") == document.replace('"/api/', '"/chat/api/')
    assert document.count("/api/") == len(json.loads(document)["paths"])  # no text names an address


def test_nothing_is_left_to_guess() -> None:
    SchemaGenerator().get_schema(public=True)
    assert not GENERATOR_STATS


def test_every_body_of_a_transport_is_required(client: Client) -> None:
    for operations in client.get("/api/schema/?format=json").json()["paths"].values():
        for method, operation in operations.items():
            if operation["tags"] == [TAG]:
                assert operation.get("requestBody", {"required": False})["required"] == (method == "post")
