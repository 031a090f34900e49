"""Admin of runs, signals and approvals: their columns, permissions, and escaping."""

import re
from typing import Any

import orjson
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.test import Client

from sessions_app.models import Approval, Message, Run, Session, Signal, Worker
from tests.support.stored import a_message, a_session, a_signal, an_approval, an_ended_run, hours_ago, staff_with

pytestmark = pytest.mark.django_db
PLACE = "/admin/sessions_app/"
# A session's page reads its transcript in a transaction of its own.
reads_transcripts = pytest.mark.django_db(transaction=True)
SCRIPT = "<script>alert('x')</script>"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    return client


def page(client: Client, path: str, **query: str) -> str:
    response = client.get(f"{PLACE}{path}", query)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def listed(client: Client, model: str, **query: str) -> int:
    """Return the number of rows in the list."""
    return page(client, f"{model}/", **query).count('<th class="field-')


def act(client: Client, action: str, *objects: Any, **more: str) -> str:
    model = objects[0]._meta.model_name
    data = {"action": action, "_selected_action": [each.pk for each in objects], **more}
    return client.post(f"{PLACE}{model}/", data, follow=True).content.decode()


def a_run(session: Session, **fields: Any) -> Run:
    values = {"agent": "demo", "status": "running", "worker": Worker.objects.create(name="host:1")}
    return Run.objects.create(session=session, **values | fields)


# What is shown


def test_the_list_of_runs_shows_their_workers_and_costs(operator: Client) -> None:
    session = a_session("guest:1", title="Rome")
    a_run(session, mode="regenerate", input_tokens=1200, output_tokens=34)
    shown = page(operator, "run/")
    for words in ("Regenerate", ">Running<", ">Rome<", "1200, 34", ">host:1<"):
        assert words in shown
    Worker.objects.update(alive=False)
    assert ">Running, lease lost<" in page(operator, "run/")


def test_the_page_of_a_run_shows_its_lease(operator: Client) -> None:
    run = a_run(a_session("guest:1"))
    assert re.search(r">held, seen \d+ s ago<", page(operator, f"run/{quote(run.pk)}/change/"))
    Worker.objects.update(alive=False, seen_at=hours_ago(2))
    assert "lost, seen 2 hours ago" in page(operator, f"run/{quote(run.pk)}/change/")


def test_the_page_of_a_run_shows_its_cause_signals_and_approvals(operator: Client) -> None:
    session = a_session("guest:1")
    cause = a_signal(session, kind="message")
    run = a_run(session, cause=cause)
    a_signal(session, run=run, status="rejected", reason="Too late")
    decision = a_signal(session, run=run, kind="deny", actor="user:7")
    an_approval(run, status="denied", decision=decision)
    shown = page(operator, f"run/{quote(run.pk)}/change/")
    assert f"{PLACE}signal/{quote(cause.pk)}/change/" in shown and f"message {cause.uid}" in shown
    assert "Rejected: Too late" in shown
    assert "send_mail" in shown and "ann@example.com" in shown and "user:7" in shown


def test_the_page_of_a_run_has_a_bounded_number_of_rows(
    operator: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr("sessions_app.admin.readonly.INLINE_ROWS", 3)
    session = a_session("guest:1")
    run = a_run(session)
    for number in range(6):
        decision = a_signal(session, run=run, actor=f"actor-{number}-")
        an_approval(run, tool=f"tool-{number}-", status="approved", decision=decision)
    with django_assert_max_num_queries(20):
        shown = page(operator, f"run/{quote(run.pk)}/change/")
    assert "actor-2-" in shown and "actor-3-" not in shown
    assert "tool-2-" in shown and "tool-3-" not in shown


def test_signals_are_found_by_kind_status_and_ids(operator: Client) -> None:
    session, other = a_session("guest:1"), a_session("guest:2")
    run = a_run(session)
    steer = a_signal(session, uid="signal-of-1", run=run, message="m_1", target="call_7")
    a_signal(other, kind="cancel", status="rejected", code="nothing_to_stop", reason="Nothing to stop")
    shown = page(operator, "signal/")
    assert "Rejected: Nothing to stop" in shown and "guest:2" in shown
    assert listed(operator, "signal") == 2
    assert listed(operator, "signal", kind="cancel") == listed(operator, "signal", status="rejected") == 1
    assert listed(operator, "signal", kind="dance") == 0
    for id in (steer.uid, session.pk, run.pk, "m_1", "call_7"):
        assert listed(operator, "signal", q=id) == 1
    assert listed(operator, "signal", q="' OR 1=1 --") == 0


def test_approvals_show_the_request_and_the_decider(operator: Client) -> None:
    session = a_session("guest:1")
    run = a_run(session)
    decision = a_signal(session, run=run, kind="approve", actor="user:7")
    edited = orjson.dumps({"to": "x" * 500}).decode()
    approval = an_approval(
        run, status="approved", execution="begun", decision=decision, input=edited, expires_at=hours_ago(-1)
    )
    an_approval(run)
    shown = page(operator, "approval/")
    for words in ("send_mail", "ann@example.com", "user:7", "Begun, outcome unknown", "Pending"):
        assert words in shown
    assert "x" * 60 in shown and "x" * 200 not in shown
    for id in (approval.uid, session.pk, run.pk):
        assert listed(operator, "approval", q=id) == (1 if id == approval.uid else 2)
    assert listed(operator, "approval", status="pending") == listed(operator, "approval", execution="begun") == 1
    assert "x" * 500 in page(operator, f"approval/{quote(approval.pk)}/change/")


@pytest.mark.parametrize("model", ["signal", "approval", "run"])
def test_the_lists_query_count_is_constant_and_they_read_nothing_large(
    operator: Client, model: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        session = a_session("guest:1", title=f"Session {number}")
        run = a_run(session)
        an_approval(run, decision=a_signal(session, run=run))
    with django_assert_max_num_queries(9) as queries:
        page(operator, f"{model}/")
    large = re.compile(r'"sessions_app_signal"."payload"|"sessions_app_approval"."input", "')
    assert not any(large.search(query["sql"]) for query in queries.captured_queries)


def test_content_from_users_and_models_is_plain_text(operator: Client) -> None:
    session = a_session("guest:1", title=SCRIPT)
    payload = orjson.dumps({"parts": [{"type": "text", "text": SCRIPT}]}).decode()
    run = a_run(session, agent=SCRIPT)
    signal = a_signal(session, run=run, payload=payload, reason=SCRIPT, target=SCRIPT, actor=SCRIPT)
    approval = an_approval(
        run, tool=SCRIPT, reason=SCRIPT, call=SCRIPT, input=orjson.dumps({SCRIPT: SCRIPT}).decode(), decision=signal
    )
    run.cause = signal
    run.save()
    pages = [
        "run/", "signal/", "approval/", f"run/{quote(run.pk)}/change/", f"signal/{quote(signal.pk)}/change/",
        f"approval/{quote(approval.pk)}/change/",
    ]  # fmt: skip
    for path in pages:
        shown = page(operator, path)
        assert "alert(&#x27;x&#x27;)" in shown, path
        assert SCRIPT not in shown, path
    asked = act(operator, "expire", approval) + act(operator, "interrupt", run)
    assert "alert(&#x27;x&#x27;)" in asked and SCRIPT not in asked


def test_a_payload_that_is_too_long_for_a_page_is_truncated(operator: Client) -> None:
    payload = orjson.dumps({"output": "x" * 30_000}).decode()
    signal = a_signal(a_session("guest:1"), kind="tool-result", payload=payload)
    shown = page(operator, f"signal/{quote(signal.pk)}/change/")
    assert re.search(r"x … and \d+ more characters", shown) and "x" * 20_000 not in shown


@reads_transcripts
def test_the_page_of_a_session_links_to_its_signals_and_runs(operator: Client) -> None:
    session, other = a_session("guest:1"), a_session("guest:2")
    for each in (session, session, other):
        an_ended_run(each, a_signal(each))
    shown = page(operator, f"session/{quote(session.pk)}/change/")
    for model in ("signal", "run"):
        assert f'<a href="{PLACE}{model}/?session__id__exact={session.pk}">2</a>' in shown
        assert listed(operator, model, session__id__exact=session.pk) == 2


# Who may


MODELS = ["run", "signal", "approval"]


@pytest.mark.parametrize("model", MODELS)
def test_only_staff_with_permission_see_the_pages(model: str) -> None:
    session = a_session("guest:1")
    run = a_run(session)
    objects = {"run": run, "signal": a_signal(session, run=run), "approval": an_approval(run)}
    mallory = Client()
    mallory.force_login(get_user_model().objects.create_user("mallory"))
    for visitor in (Client(), mallory, staff_with()):
        for path in (f"{model}/", f"{model}/{objects[model].pk}/change/"):
            assert visitor.get(f"{PLACE}{path}").status_code in (302, 403)


@pytest.mark.parametrize("model", MODELS)
def test_data_owned_by_the_writer_cannot_be_edited(operator: Client, model: str) -> None:
    session = a_session("guest:1")
    run = a_run(session)
    objects = {"run": run, "signal": a_signal(session, run=run), "approval": an_approval(run)}
    address = f"{PLACE}{model}/{objects[model].pk}/"
    assert operator.post(f"{address}change/", {"status": "expired"}).status_code == 403
    assert operator.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    assert operator.get(f"{PLACE}{model}/add/").status_code == 403


def test_view_permission_allows_neither_interrupting_nor_expiring() -> None:
    run = a_run(a_session("guest:1"))
    approval = an_approval(run)
    viewer = staff_with("view_run", "view_approval", "view_signal", "change_signal", "change_session")
    assert listed(viewer, "run") == listed(viewer, "approval") == 1
    act(viewer, "interrupt", run, confirmed="yes")
    act(viewer, "expire", approval, confirmed="yes")
    mallory = Client()
    mallory.force_login(get_user_model().objects.create_user("mallory"))
    act(mallory, "interrupt", run, confirmed="yes")
    act(mallory, "expire", approval, confirmed="yes")
    assert (Run.objects.get().status, Approval.objects.get().status) == ("running", "pending")


def test_another_sites_page_can_neither_interrupt_nor_expire(operator: Client) -> None:
    run = a_run(a_session("guest:1"))
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = operator.cookies
    data = {"action": "interrupt", "_selected_action": [run.pk], "confirmed": "yes"}
    assert careful.post(f"{PLACE}run/", data).status_code == 403
    assert Run.objects.get().status == "running"


# Interrupting and expiring; test_admin_interrupts has the agents that it happens to


def test_a_waiting_run_is_interrupted_after_confirmation(operator: Client) -> None:
    session = a_session("guest:1", agent="demo")
    cause = a_signal(session, kind="message", status="accepted")
    run = a_run(session, status="waiting", worker=None, cause=cause)
    ended = an_ended_run(session)
    asked = act(operator, "interrupt", run, ended)
    assert "Interrupt 1 run?" in asked and Run.objects.get(pk=run.pk).status == "waiting"
    assert "Runs interrupted: 1." in act(operator, "interrupt", run, ended, confirmed="yes")
    run.refresh_from_db()
    cause.refresh_from_db()
    message = Message.objects.get()
    assert run.status == "ended" and run.ended_at is not None
    assert (message.uid, message.status, message.reason) == (
        run.uid, "interrupted", '"Interrupted by an administrator."'
    )  # fmt: skip
    assert (cause.status, cause.code, cause.reason) == ("rejected", "interrupted", "Interrupted by an administrator.")
    session.refresh_from_db()
    assert session.tail == cause.last_serial == message.last_serial + 1
    assert list(LogEntry.objects.values_list("object_id", "change_message")) == [(run.pk, "Interrupted.")]


def test_a_claimed_run_without_output_gets_an_empty_response(operator: Client) -> None:
    session = a_session("guest:1")
    cause = a_signal(session, kind="message", status="delivered")
    run = a_run(session, cause=cause)
    act(operator, "interrupt", run, confirmed="yes")
    message = Message.objects.get()
    assert (message.uid, message.status, message.parts) == (run.uid, "interrupted", "[]")
    assert Run.objects.get().status == "ended"
    assert Signal.objects.get().reason == "Interrupted by an administrator."


def test_interrupting_settles_the_signals_of_a_run(operator: Client) -> None:
    session = a_session("guest:1", agent="demo")
    run = a_run(session)
    a_message(session, uid=run.uid, role="assistant", status="streaming", open='{"text":{},"reasoning":{},"tools":{}}')
    approval = an_approval(run)
    for kind in ("approve", "tool-result", "steer"):
        a_signal(session, kind=kind, run=run, status="delivered")
    act(operator, "interrupt", run, confirmed="yes")
    assert Approval.objects.get(pk=approval.pk).status == "expired"
    assert dict(Signal.objects.values_list("kind", "status")) == {
        "approve": "expired", "tool-result": "expired", "steer": "rejected"
    }  # fmt: skip
    # What nobody read is kept, but has no agent begin again.
    steer = Signal.objects.get(kind="steer")
    assert steer.code == "stopped" and Message.objects.filter(uid=steer.uid, role="user").exists()
    assert not Run.objects.exclude(status="ended").exists()


def test_an_unknown_outcome_of_a_call_is_shown(operator: Client) -> None:
    session = a_session("guest:1")
    run = a_run(session)
    part = {"type": "tool-send_mail", "toolCallId": "call_1", "state": "input-available", "input": {}}
    a_message(
        session, uid=run.uid, role="assistant", status="streaming", parts=orjson.dumps([part]).decode(),
        open='{"text":{},"reasoning":{},"tools":{}}',
    )  # fmt: skip
    for _ in range(2):  # the second one's call was taken back by its agent
        an_approval(run, status="approved", execution="begun")
    act(operator, "interrupt", run, confirmed="yes")
    (call,) = orjson.loads(Message.objects.get().parts)
    assert (call["state"], call["errorText"]) == (
        "output-error", "The agent stopped while this ran: whether it took effect is not known."
    )  # fmt: skip


def test_a_pending_approval_is_expired_after_confirmation(operator: Client) -> None:
    run = a_run(a_session("guest:1"))
    pending, decided = an_approval(run), an_approval(run, status="approved")
    assert "Expire 1 approval?" in act(operator, "expire", pending, decided)
    assert Approval.objects.get(pk=pending.pk).status == "pending"
    assert "Approvals expired: 1." in act(operator, "expire", pending, decided, confirmed="yes")
    assert dict(Approval.objects.values_list("pk", "status")) == {pending.pk: "expired", decided.pk: "approved"}
    assert list(LogEntry.objects.values_list("object_id", "change_message")) == [(str(pending.pk), "Expired.")]


def test_a_run_that_cannot_be_interrupted_is_reported_and_the_others_are_unaffected(operator: Client) -> None:
    lost, fine = a_run(a_session("guest:1"), worker=None), a_run(a_session("guest:1"), worker=None, status="waiting")
    done = act(operator, "interrupt", lost, fine, confirmed="yes")
    assert f"{lost.pk}: Another worker has ended this message" in done and "Runs interrupted: 1." in done
    assert set(Run.objects.values_list("pk", "status")) == {(lost.pk, "running"), (fine.pk, "ended")}
