"""The admin's lists and pages with invented parameters, ids and selections: a notice, never a failure."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.test import Client

from sessions_app.models import Session
from tests.support.stored import a_message, a_session, a_signal, an_approval, an_ended_run

pytestmark = pytest.mark.django_db(transaction=True)  # PostgreSQL's errors end a transaction

OURS = [model for model in admin.site._registry if model._meta.app_label == "sessions_app"]
INVENTED = ["x", "-1", "9" * 30, "\x00", "0001-01-01T00:00:00+23:59"]
MOMENTS, NUMBERS = ("DateTimeField",), ("BigAutoField", "BigIntegerField", "PositiveIntegerField", "ForeignKey")


@pytest.fixture
def operator() -> Client:
    session = a_session("user:1")
    a_message(session)
    a_signal(session)
    an_approval(an_ended_run(session))
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    return client


def address(model: type[Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def parameters(model: type[Model]) -> list[tuple[str, str]]:
    """Return invented parameters of this list's columns, by the kinds of values that fail in the database."""
    found = []
    for field in model._meta.fields:
        kind = field.get_internal_type()
        value = INVENTED[4] if kind in MOMENTS else INVENTED[2] if kind in NUMBERS else INVENTED[3]
        found.append((field.name, value))
        if kind in (*MOMENTS, *NUMBERS):
            found.append((f"{field.name}__gte", value))
    return found


def check_list(operator: Client, model: type[Model], found: list[tuple[str, str]]) -> None:
    for name, value in found:
        response = operator.get(f"{address(model)}?{name}={quote(value)}", follow=True)
        assert response.status_code in (200, 400), (name, value)  # 400: a lookup that Django forbids
    assert operator.get(address(model)).status_code == 200


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_invented_filters_get_the_list_and_a_notice(operator: Client, model: type[Model]) -> None:
    check_list(operator, model, parameters(model))


def test_invented_pages_orders_and_searches_get_the_list_and_a_notice(operator: Client) -> None:
    check_list(operator, Session, [(name, value) for name in ("p", "o", "q", "unknown") for value in INVENTED[1:4]])


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_invented_ids_have_no_page(operator: Client, model: type[Model]) -> None:
    for value in INVENTED[:4]:
        for page in ("change/", "history/", "delete/"):
            response = operator.get(f"{address(model)}{quote(value)}/{page}", follow=True)
            assert response.status_code in (200, 403, 404), (page, value)


@pytest.mark.parametrize("model", [model for model in OURS if admin.site._registry[model].actions], ids=str)
@pytest.mark.parametrize("more", [{}, {"confirmed": "yes", "policy": "x"}, {"select_across": "1"}], ids=str)
def test_invented_selections_change_nothing(operator: Client, model: Any, more: dict[str, str]) -> None:
    before = list(model.objects.order_by("pk").values())
    for action in (*admin.site._registry[model].actions, "unknown"):
        for value in INVENTED[:4]:
            chosen = {"action": action, "_selected_action": value} | more
            if "select_across" in more:
                chosen["q"] = value
            response = operator.post(f"{address(model)}?q={quote(value)}", chosen, follow=True)
            assert response.status_code == 200, (action, value)
    assert list(model.objects.order_by("pk").values()) == before
