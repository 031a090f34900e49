"""The API describes itself: also the transports, which aren't the REST framework's."""

import re

import pytest
from django.test import Client
from django.urls import resolve
from drf_spectacular.validation import validate_schema

from sessions_app import streaming
from sessions_app.api.description import CURL_POLL, TAG

pytestmark = pytest.mark.django_db


def test_it_is_valid_and_has_every_transport(client: Client) -> None:
    schema = client.get("/api/schema/?format=json").json()
    validate_schema(schema)
    described = {
        resolve(path.replace("{session}", "A" * 22)).func
        for path, operations in schema["paths"].items()
        if any(operation["tags"] == [TAG] for operation in operations.values())
    }
    views = {
        streaming.stream, streaming.session_stream, streaming.poll, streaming.session_poll, streaming.signal,
        streaming.publish, streaming.beat,
    }  # fmt: skip
    assert described == views


def test_each_is_described_with_the_method_that_it_takes(client: Client) -> None:
    schema = client.get("/api/schema/?format=json").json()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if operation["tags"] == [TAG]:
                answer = getattr(client, method)(path.replace("{session}", "A" * 22))
                assert answer.status_code == 401  # not 405: it is the door that is shut
                assert "401" in operation["responses"]


def test_the_page_of_the_api_shows_how_to_poll(client: Client) -> None:
    described = client.get("/api/schema/?format=json").json()["paths"]["/api/sessions/{session}/poll/"]["get"]
    assert re.search(r"```sh\n(.*)\n```", described["description"], re.DOTALL)[1] == CURL_POLL  # type: ignore[index]
