"""The table of doors: who has which limit, and what is checked before a body is read."""

from typing import Any

import pytest

from sessions_app import conf
from sessions_app.http.doors import DOORS, UPLOAD, body_rule, check_media_type, door_of
from sessions_app.http.errors import ApiError

PUBLISH = f"/api/sessions/{'A' * 22}/publish/"


def scope(method: str, path: str, content_type: bytes = b"application/json") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": [(b"content-type", content_type)]}


def test_a_door_with_a_larger_limit_authenticates_first() -> None:
    for door in DOORS:
        assert door.max_bytes <= conf.settings.body_bytes or door.authenticate is not None, door.name


def test_every_limit_is_a_setting() -> None:
    assert {door.setting.upper() for door in DOORS} <= conf.DECLARED.keys()
    assert len({door.name for door in DOORS}) == len(DOORS)


@pytest.mark.parametrize(
    ("method", "path", "type_", "name"),
    [
        ("POST", PUBLISH, b"application/x-ndjson", "upload"),
        ("POST", PUBLISH, b"Application/X-NDJSON ; charset=utf-8", "upload"),
        ("POST", PUBLISH, b"application/json", "other"),
        ("PUT", PUBLISH, b"application/x-ndjson", "other"),
        ("POST", PUBLISH + "x", b"application/x-ndjson", "other"),
        ("POST", PUBLISH + "\n", b"application/x-ndjson", "other"),
        ("POST", "/admin/login/", b"application/x-ndjson", "other"),
    ],
)
def test_a_requests_door(method: str, path: str, type_: bytes, name: str) -> None:
    assert door_of(scope(method, path, type_)).name == name


def test_a_body_has_twice_the_room_of_a_frame_unless_it_is_set(settings: Any) -> None:
    settings.HOLDFAST = {"FRAME_BYTES": 100_000}
    assert conf.settings.body_bytes == 200_000
    settings.HOLDFAST = {"FRAME_BYTES": 100_000, "BODY_BYTES": 150_000}
    assert conf.settings.body_bytes == 150_000


def test_uploads_and_the_projects_other_pages_have_no_time_limit_for_the_whole_body() -> None:
    assert body_rule(scope("POST", PUBLISH, b"application/x-ndjson")) == (UPLOAD.max_bytes, None, True)
    assert body_rule(scope("POST", "/api/sessions/")).timeout_s == conf.settings.request_body_s
    assert body_rule(scope("POST", "elsewhere")).timeout_s is None


@pytest.mark.parametrize(
    "type_",
    [
        b"", b"application/json", b"application/json; charset=utf-8", b'text/plain; charset="UTF-8"',
        b"multipart/form-data; boundary=b", b"a/b;;;=", b"\xe9/\xe9",
    ],
)  # fmt: skip
def test_media_types_that_are_accepted(type_: bytes) -> None:
    check_media_type(scope("POST", "/", type_))


@pytest.mark.parametrize(
    "type_",
    [
        b"text/plain; charset=hex", b"text/plain; charset=utf-16", b"application/json; charset=undefined",
        b"a/b; charset=x; charset=utf-7", b"text/plain; x*=bogus''y", b"a/b; charset*=utf-16''utf-16",
    ],
)  # fmt: skip
def test_other_charsets_and_malformed_types_are_refused(type_: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        check_media_type(scope("POST", "/", type_))
    assert refused.value.code == "unsupported_media_type"
