"""Whoever acts by an issued token, the issuer is on record: in signals, decisions, the API, the admin and the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.test import Client

from sessions_app.auth import tokens
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import signal_records
from sessions_app.models import RetentionPolicy, RevokedSubject, RevokedToken
from tests.support.stored import a_message, a_session, a_signal, an_approval, an_ended_run, staff_with
from tests.support.tokens import KEYS, SUB, bearer, token

pytestmark = pytest.mark.django_db

ASKED: dict[str, Any] = {"sub": SUB, "scope": "read send approve", "sessions": ["*"], "life_s": 60}


@pytest.fixture(autouse=True)
def keys(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS}


@pytest.fixture
def staff() -> Any:
    return staff_with(
        "issue_token", "issue_token_for_others", "add_revokedtoken", "add_revokedsubject", "add_retentionpolicy",
        "change_retentionpolicy", "delete_retentionpolicy", "view_retentionpolicy",
    )  # fmt: skip


@pytest.fixture
def audit(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.ERROR, "sessions_app")  # the audit log is written at any level
    caplog.handler.setLevel(logging.NOTSET)
    return lambda: [record.getMessage() for record in caplog.records if record.name == "sessions_app.audit"]


def issue(client: Client, **asked: Any) -> Any:
    return client.post("/api/tokens/", ASKED | asked, content_type="application/json")


def test_an_issued_token_names_its_issuer(staff: Any) -> None:
    _, grant = tokens.read(issue(staff).json()["token"])
    assert grant.issued_by == staff.owner != SUB


@pytest.mark.parametrize("claim", ["by", "issued_by", "iss"])
def test_nobody_chooses_the_issuer(staff: Any, claim: str) -> None:
    response = issue(staff, **{claim: "user:999"})
    assert response.status_code == 400 and response.json()["fields"].keys() == {claim}


def test_a_token_of_a_back_end_may_name_its_issuer_or_not(client: Client) -> None:
    assert tokens.read(token())[1].issued_by == ""
    assert tokens.read(token(by="user:7"))[1].issued_by == "user:7"
    assert tokens.read(token(iss="https://anything.example"))[1].issued_by == ""


@pytest.mark.parametrize("by", ["", "guest:" + "0" * 32, "user:1\nuser:2", "x" * 200, 7, [], {}, False])
def test_an_issuer_that_is_no_identity_is_refused(by: Any) -> None:
    with pytest.raises(HoldfastError) as refusal:
        tokens.read(token(by=by))
    assert refusal.value.code == "bad_token" and "`by`" in refusal.value.message


def test_a_signal_record_names_the_issuer_only_if_there_is_one() -> None:
    session = a_session(SUB)
    plain, issued = a_signal(session), a_signal(session, issued_by="user:7")
    assert "issued_by" not in signal_records.record(plain)
    assert signal_records.record(issued)["issued_by"] == "user:7"
    found = signal_records.newest(session.pk, session.created_at).records
    assert [each.get("issued_by") for each in found] == [None, "user:7"]


@pytest.mark.django_db(transaction=True)
def test_the_api_shows_the_issuer(client: Client) -> None:
    session = a_session(SUB)
    a_signal(session, issued_by="user:7")
    [shown] = client.get(f"/api/sessions/{session.pk}/signals/", headers=bearer(token())).json()["results"]
    assert (shown["actor"], shown["issued_by"]) == (SUB, "user:7")


def test_the_admin_shows_the_issuer_of_signals_and_decisions(client: Client) -> None:
    session = a_session(SUB)
    signal = a_signal(session, issued_by="user:7", kind="approve")
    run = an_ended_run(session)
    approval = an_approval(run, status="approved", decision=signal)
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    for page in ("signal/", f"signal/{quote(signal.pk)}/change/"):
        assert "user:7" in client.get(f"/admin/sessions_app/{page}").content.decode()
    for page in ("approval/", f"approval/{quote(approval.pk)}/change/", f"run/{quote(run.pk)}/change/"):
        content = client.get(f"/admin/sessions_app/{page}").content.decode()
        assert f"{SUB}, by a token that user:7 issued" in content


def test_the_audit_log_has_each_token_issued_and_revoked(staff: Any, audit: Any) -> None:
    issued = issue(staff).json()
    staff.delete(f"/api/tokens/{issued['jti']}/")
    assert audit() == [
        f"{staff.owner} issued token {issued['jti']}: sub {SUB}, scope read send approve, sessions *",
        f"{staff.owner} revoked token {issued['jti']}",
    ]
    assert issued["token"] not in str(audit())


def test_a_refusal_is_not_in_the_audit_log(audit: Any) -> None:
    client: Any = staff_with()
    issue(client)
    client.delete("/api/tokens/t-1/")
    assert audit() == []


def test_the_audit_log_has_each_policy_that_changes(staff: Any, audit: Any) -> None:
    made = staff.post("/api/policies/", {"name": "A\nB", "hours": 30}, "application/json").json()
    address = f"/api/policies/{made['id']}/"
    staff.patch(address, {"hours": 40, "is_default": True}, "application/json")
    staff.patch("/api/policies/1/", {"hours": 1}, "application/json")  # refused
    other = RetentionPolicy.objects.get(name="One day")
    staff.patch(f"/api/policies/{other.pk}/", {"is_default": True}, "application/json")
    staff.delete(address)
    changes = audit()
    assert changes[0] == f"{staff.owner} created retention policy {made['id']} 'A\\nB': 30 h"
    assert changes[1] == f"{staff.owner} changed retention policy {made['id']} 'A\\nB': 40 h, the default"
    assert changes[3] == f"{staff.owner} deleted retention policy {made['id']} 'A\\nB': 40 h" and len(changes) == 4


def test_the_audit_log_has_what_the_admin_changes(
    staff: Any, audit: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        staff.post("/admin/sessions_app/revokedtoken/add/", {"jti": "t-1"})
        staff.post("/admin/sessions_app/revokedsubject/add/", {"sub": "ext:alice"})
        staff.post("/admin/sessions_app/retentionpolicy/add/", {"name": "Short", "hours": 25})
        policy = RetentionPolicy.objects.get(name="Short")
        staff.post(f"/admin/sessions_app/retentionpolicy/{policy.pk}/change/", {"name": "Short", "hours": 26})
        staff.post(f"/admin/sessions_app/retentionpolicy/{policy.pk}/delete/", {"post": "yes"})
    who = staff.owner
    assert audit() == [
        f"{who} revoked token t-1",
        f"{who} revoked all tokens of ext:alice",
        f"{who} created retention policy {policy.pk} 'Short': 25 h",
        f"{who} changed retention policy {policy.pk} 'Short': 26 h",
        f"{who} deleted retention policy {policy.pk} 'Short': 26 h",
    ]


@pytest.mark.parametrize(
    "sub",
    ["alice", "guest:" + "0" * 32, "user:", "user:alice", "user:01", "user:-0", "user: 1", "user:1.0", "User:1", "ext:",
     "ext:é", "ext:a b", "user:\u0661", "x" * 81, "user:" + "9" * 40, "\x00"],
)  # fmt: skip
def test_a_subject_that_cannot_exist_gets_neither_revocation_nor_token(staff: Any, sub: str) -> None:
    response = staff.post("/admin/sessions_app/revokedsubject/add/", {"sub": sub})
    assert response.status_code == 200 and not RevokedSubject.objects.exists()
    assert response.context["adminform"].form.errors.keys() == {"sub"}
    assert issue(staff, sub=sub).status_code == 400


@pytest.mark.parametrize("sub", ["ext:alice", "user:999", "agent:billing"])
def test_a_subject_that_can_exist_is_revoked(staff: Any, sub: str) -> None:
    assert staff.post("/admin/sessions_app/revokedsubject/add/", {"sub": sub}).status_code == 302
    assert RevokedSubject.objects.get().sub == sub


@pytest.mark.parametrize("jti", ["a b", "é", "x" * 65, "/", "\x00"])
def test_a_token_id_that_cannot_exist_is_not_revoked(staff: Any, jti: str) -> None:
    assert staff.post("/admin/sessions_app/revokedtoken/add/", {"jti": jti}).status_code == 200
    assert staff.delete(f"/api/tokens/{jti}/").status_code == 404
    assert not RevokedToken.objects.exists()


# Staff without permissions


def admin_pages(client: Client) -> list[str]:
    session = a_session("user:1")
    signal = a_signal(session)
    run = an_ended_run(session)
    approval = an_approval(run)
    rows = {"session": session, "signal": signal, "run": run, "approval": approval}
    pages = [f"/admin/sessions_app/{name}/{quote(row.pk)}/change/" for name, row in rows.items()]
    pages += [f"/admin/sessions_app/{name}/{quote(row.pk)}/delete/" for name, row in rows.items()]
    pages += [f"/admin/sessions_app/{name}/" for name in (*rows, "message", "worker", "connectionrecord")]
    pages += [f"/admin/sessions_app/{name}/add/" for name in ("retentionpolicy", "revokedtoken", "revokedsubject")]
    return [*pages, "/admin/sessions_app/connectionrecord/diagnosis/"]


def test_being_staff_opens_no_page_of_the_admin() -> None:
    client = staff_with()
    for page in admin_pages(client):
        assert client.get(page).status_code == 403, page
        assert client.post(page, {"action": "purge", "_selected_action": "1"}).status_code == 403, page


@pytest.mark.django_db(transaction=True)
def test_being_staff_opens_nobody_elses_session() -> None:
    session = a_session("user:999")
    client: Any = staff_with()
    for method, path in (("get", ""), ("patch", ""), ("delete", ""), ("get", "messages/"), ("get", "signals/"),
                         ("get", "poll/"), ("get", "stream/")):  # fmt: skip
        response = getattr(client, method)(f"/api/sessions/{session.pk}/{path}", {}, content_type="application/json")
        assert response.status_code == 404, path
    assert client.get("/api/sessions/").json()["results"] == []


@pytest.mark.django_db(transaction=True)
def test_seeing_sessions_is_not_seeing_messages() -> None:
    session = a_session("user:999", title="Its title")
    a_signal(session)
    a_message(session, "What they wrote")
    page = f"/admin/sessions_app/session/{quote(session.pk)}/change/"
    assert "What they wrote" not in staff_with("view_session").get(page).content.decode()
    get_user_model().objects.all().delete()
    assert "What they wrote" in staff_with("view_session", "view_message").get(page).content.decode()
