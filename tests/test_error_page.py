"""The page of a request that failed: 503 if the database did, 500 otherwise."""

from collections.abc import Callable

import pytest
from django.contrib.auth.views import LoginView
from django.db import OperationalError
from django.test import Client


def fail(error: Exception) -> Callable[..., object]:
    def view(*_: object, **__: object) -> object:
        raise error

    return view


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (OperationalError("database or disk is full"), 503, "Nothing can be saved at the moment"),
        (RuntimeError("a bug"), 500, "Something went wrong"),
    ],
)
@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_the_page_says_whether_the_database_failed(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, title: str, path: str
) -> None:
    monkeypatch.setattr(LoginView, "form_valid", fail(error))
    monkeypatch.setattr("django.contrib.auth.forms.AuthenticationForm.is_valid", lambda form: True)
    response = Client(raise_request_exception=False).post(path, {"username": "ann", "password": "pw"})
    assert (response.status_code, f"<h1>{title}</h1>" in response.text) == (status, True)
    assert "full" not in response.text and "bug" not in response.text
