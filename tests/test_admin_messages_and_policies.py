"""Admin of messages, policies, workers and revoked tokens, and messages as text."""

import re
from typing import Any

import orjson
import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from sessions_app.admin import transcript
from sessions_app.core import fold
from sessions_app.models import RetentionPolicy, RevokedSubject, RevokedToken, Run, Worker
from sessions_app.runs import turns
from tests.support.stored import a_message, a_session, default_policy, hours_ago

pytestmark = pytest.mark.django_db
POLICIES = "/admin/sessions_app/retentionpolicy/"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    return client


def page(client: Client, path: str, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def test_the_list_of_messages_reads_no_content(operator: Client, django_assert_max_num_queries: Any) -> None:
    session = a_session("guest:1", title="Rome")
    for _ in range(20):
        a_message(session, "secret words")
    with django_assert_max_num_queries(8) as queries:
        shown = page(operator, "/admin/sessions_app/message/")
    assert shown.count(">Rome<") == 20
    assert not any('"parts", ' in query["sql"] for query in queries.captured_queries)


@pytest.mark.django_db(transaction=True)  # the transcript is read in a transaction of its own
def test_a_link_leads_to_a_session_whatever_is_in_its_id(operator: Client) -> None:
    session = a_session("guest:1", id="2VUppg_uVL_23bXSKxhX1A")  # Django's admin reads _23 as a number sign
    message = a_message(session, "In its transcript")
    shown = page(operator, f"/admin/sessions_app/message/{message.pk}/change/")
    [address] = re.findall(r'href="([^"]*/sessions_app/session/[^"]+/change/)"', shown)
    assert "In its transcript" in page(operator, address)


@pytest.mark.django_db(transaction=True)
def test_a_transcript_names_the_back_end_that_began_a_turn(operator: Client) -> None:
    session = a_session("guest:1", agent="demo")
    turns.begin(session.pk, "What happened?", id="daily-2026-12-01", by="agent:<b>cron</b>")
    shown = page(operator, f"/admin/sessions_app/session/{quote(session.pk)}/change/")
    assert "<h3>user · begun by agent:&lt;b&gt;cron&lt;/b&gt; · " in shown


def test_the_page_of_a_message_shows_its_text(operator: Client) -> None:
    message = a_message(a_session("guest:1"), "<i>Hello</i>")
    shown = page(operator, f"/admin/sessions_app/message/{quote(message.pk)}/change/")
    assert "&lt;i&gt;Hello&lt;/i&gt;" in shown
    assert 'type="submit"' not in shown.split('id="content"')[1]


@pytest.mark.parametrize("path", ["message", "worker", "run"])
def test_data_owned_by_the_writer_cannot_be_changed(operator: Client, path: str) -> None:
    session = a_session("guest:1")
    worker = Worker.objects.create(name="host:1")
    objects = {
        "message": a_message(session),
        "worker": worker,
        "run": Run.objects.create(session=session, agent="demo", worker=worker),
    }
    address = f"/admin/sessions_app/{path}/{objects[path].pk}/"
    assert operator.post(f"{address}change/", {"status": "failed", "name": "x"}).status_code == 403
    assert operator.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    assert operator.get(f"/admin/sessions_app/{path}/add/").status_code == 403


def test_workers_and_runs_show_what_is_running(operator: Client, django_assert_max_num_queries: Any) -> None:
    worker = Worker.objects.create(name="host:1")
    for number in range(5):
        session = a_session("guest:1", title=f"Session {number}")
        Run.objects.create(session=session, agent="demo", worker=worker, status=Run.Status.RUNNING)
    with django_assert_max_num_queries(8):
        assert '<td class="field-running">5</td>' in page(operator, "/admin/sessions_app/worker/")
    with django_assert_max_num_queries(10):
        runs = page(operator, "/admin/sessions_app/run/")
    assert "Session 4" in runs and "host:1" in runs


def test_a_run_shows_its_duration(operator: Client) -> None:
    run = Run.objects.create(session=a_session("guest:1"), agent="demo", started_at=hours_ago(3), ended_at=hours_ago(1))
    assert "2\xa0hours" in operator.get(f"/admin/sessions_app/run/{quote(run.pk)}/change/").content.decode()


def test_policies_show_their_number_of_sessions(operator: Client, django_assert_max_num_queries: Any) -> None:
    for held in (True, False, False):
        a_session("guest:1", held=held)
    with django_assert_max_num_queries(8):
        shown = page(operator, POLICIES)
    assert f'policy__id__exact={default_policy().pk}">3</a>' in shown
    assert '<td class="field-on_hold">1</td>' in shown


def save(operator: Client, path: str, **fields: Any) -> str:
    return operator.post(f"{POLICIES}{path}", fields, follow=True).content.decode()


def test_a_policy_must_be_within_the_sites_limits(operator: Client) -> None:
    save(operator, "add/", name="Thirty hours", hours=30)
    assert RetentionPolicy.objects.filter(name="Thirty hours", hours=30).exists()
    refused = save(operator, "add/", name="A year", hours=8760)
    assert "72 hours at most" in refused and not RetentionPolicy.objects.filter(name="A year").exists()


def test_a_new_default_replaces_the_previous_one(operator: Client) -> None:
    one_day = RetentionPolicy.objects.get(name="One day")
    save(operator, f"{one_day.pk}/change/", name="One day", hours=24, is_default="on")
    assert list(RetentionPolicy.objects.filter(is_default=True)) == [one_day]
    assert "make another one the default instead" in save(
        operator, f"{one_day.pk}/change/", name="One day", hours=24
    ).replace("&#x27;", "'")


def test_a_policy_in_use_cannot_be_deleted(operator: Client) -> None:
    used = RetentionPolicy.objects.get(name="One day")
    a_session("guest:1", policy=used)
    unused = RetentionPolicy.objects.get(name="Two days")
    for policy, status in ((default_policy(), 403), (used, 403), (unused, 302)):
        assert operator.post(f"{POLICIES}{policy.pk}/delete/", {"post": "yes"}).status_code == status


def passages(*parts: dict[str, Any]) -> list[tuple[str, str]]:
    message = fold.MessageState(
        "m", "assistant", "complete", 1, 1, 0, parts=[orjson.loads(orjson.dumps(part)) for part in parts]
    )
    return [tuple(passage) for passage in transcript.entry(message).passages]


def test_every_kind_of_part_has_a_readable_form() -> None:
    assert passages(
        {"type": "step-start"},
        {"type": "text", "text": "Hi"},
        {"type": "reasoning", "text": "Hm"},
        {"type": "tool-search", "state": "output-available", "input": {"q": "Rome"}, "output": "found"},
        {"type": "dynamic-tool", "toolName": "buy", "state": "output-error", "input": 1, "errorText": "no money"},
        {"type": "tool-search", "state": "input-streaming", "rawInput": '{"q'},
        {"type": "file", "mediaType": "image/png", "url": "https://example.com/a.png"},
        {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AAAA"},
        {"type": "source-url", "title": "Rome", "url": "https://example.com"},
        {"type": "data-weather", "data": {"degrees": 30}},
        {"type": "something-new", "x": 1},
    ) == [
        ("", "Hi"),
        ("Reasoning", "Hm"),
        ("Tool: search (output-available)", 'input: {\n  "q": "Rome"\n}\noutput: found'),
        ("Tool: buy (output-error)", "input: 1\nerror: no money"),
        ("Tool: search (input-streaming)", 'input: {"q'),
        ("File", "image/png https://example.com/a.png"),
        ("File", "image/png 26 characters of data"),
        ("Source", "Rome · https://example.com"),
        ("Data: weather", '{\n  "degrees": 30\n}'),
        ("something-new", '{\n  "x": 1\n}'),
    ]


def test_a_part_that_is_too_long_for_a_page_is_truncated() -> None:
    ((_, text),) = passages({"type": "text", "text": "x" * 30_000})
    assert text.endswith("x\n… and 10000 more characters")


def test_revoked_tokens_stay_revoked(operator: Client) -> None:
    operator.post("/admin/sessions_app/revokedtoken/add/", {"jti": "t-1"})
    operator.post("/admin/sessions_app/revokedsubject/add/", {"sub": "ext:alice"})
    token, subject = RevokedToken.objects.get(), RevokedSubject.objects.get()
    assert (token.jti, subject.sub) == ("t-1", "ext:alice") and token.expires_at > timezone.now()
    for path, row in (("revokedtoken", token), ("revokedsubject", subject)):
        assert str(row.pk if path == "revokedtoken" else "ext:alice") in page(operator, f"/admin/sessions_app/{path}/")
        address = f"/admin/sessions_app/{path}/{row.pk}/"
        assert operator.post(f"{address}change/", {"jti": "t-2", "sub": "ext:bob"}).status_code == 403
        assert operator.post(f"{address}delete/", {"post": "yes"}).status_code == 403
