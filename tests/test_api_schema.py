"""The API's schema, which includes the transports outside the REST framework."""

import json
import re

import pytest
from django.test import Client
from django.urls import resolve
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from sessions_app import urls
from sessions_app.api import document
from sessions_app.api.schema import CURL_POLL, TAG
from sessions_app.transports import http_views, long_poll, sse, worker_views
from sessions_app.transports.ai_sdk import views as chat

pytestmark = pytest.mark.django_db


def address(path: str) -> str:
    """An address of this path, of a session that isn't there."""
    return re.sub(r"\{(session|id)\}", "A" * 22, path)


def test_the_schema_is_valid_and_has_every_transport(client: Client) -> None:
    schema = client.get("/api/schema/?format=json").json()
    validate_schema(schema)
    described = {
        resolve(address(path)).func
        for path, operations in schema["paths"].items()
        if any(operation["tags"] == [TAG] for operation in operations.values())
    }
    views = {
        sse.stream, sse.session_stream, long_poll.poll, long_poll.session_poll, urls.signals,
        http_views.begin_run, http_views.publish, http_views.beat, worker_views.ask, worker_views.claim,
        chat.submit, chat.resume, chat.stop,
    }  # fmt: skip
    assert described == views


def test_each_transport_is_described_with_its_method(client: Client) -> None:
    schema = client.get("/api/schema/?format=json").json()
    for described, operations in schema["paths"].items():
        for method, operation in operations.items():
            if operation["tags"] == [TAG]:
                answer = getattr(client, method)(address(described))
                assert answer.status_code == 401  # not 405: it is the door that is shut
                assert "401" in operation["responses"]


def test_signals_are_sent_and_read_at_one_path(client: Client) -> None:
    paths = client.get("/api/schema/?format=json").json()["paths"]
    (path,) = [path for path in paths if path.endswith("/signals/")]
    assert set(paths[path]) == {"get", "post"}


def test_the_api_page_shows_how_to_poll(client: Client) -> None:
    described = client.get("/api/schema/?format=json").json()["paths"]["/api/sessions/{session}/poll/"]["get"]
    assert re.search(r"```sh\n(.*)\n```", described["description"], re.DOTALL)[1] == CURL_POLL  # type: ignore[index]


def test_paths_include_the_apis_mount_point() -> None:
    at_the_root = json.dumps(document.generate("/"))
    assert json.dumps(document.generate("/chat/")) == at_the_root.replace('"/api/', '"/chat/api/')
    assert at_the_root.count("/api/") == len(json.loads(at_the_root)["paths"])  # no text names an address


def test_the_projects_own_schema_has_none_of_its_operations() -> None:
    schema = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    assert (schema["paths"], schema["components"]) == ({}, {})


def test_the_schema_is_generated_without_warnings() -> None:
    document.generate("/")
    assert not GENERATOR_STATS


def test_every_transports_request_body_is_required(client: Client) -> None:
    for operations in client.get("/api/schema/?format=json").json()["paths"].values():
        for method, operation in operations.items():
            if operation["tags"] == [TAG]:
                assert operation.get("requestBody", {"required": False})["required"] == (method == "post")
