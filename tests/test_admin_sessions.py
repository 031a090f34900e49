"""Admin of sessions: list, search, filters, actions, and transcripts."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.test import Client

from sessions_app.models import Message, RetentionPolicy, Session
from tests.support.stored import a_message, a_session, a_streaming_message, default_policy, hours_ago, staff_with

pytestmark = pytest.mark.django_db
LIST = "/admin/sessions_app/session/"
# Transcripts are read in a transaction of their own.
reads_transcripts = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    return client


def page(client: Client, path: str, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == 200
    return response.content.decode()


def listed(client: Client, **query: str) -> set[str]:
    """The ids of the sessions in the list."""
    return set(re.findall(r'name="_selected_action" value="([^"]+)"', page(client, LIST, **query)))


def row(client: Client, session: Session) -> dict[str, str]:
    """Return a session's row in the list, by column."""
    (found,) = re.findall(rf'<tr>(?:(?!</tr>).)*value="{session.pk}".*?</tr>', page(client, LIST), re.DOTALL)
    cells = re.findall(r'class="(?:[^"]* )?field-(\w+)[^"]*">(.*?)</t[dh]>', found, re.DOTALL)
    return {name: re.sub("<[^>]+>", "", cell).replace("\xa0", " ").strip() for name, cell in cells}


def act(client: Client, action: str, *sessions: Session, **more: str) -> Any:
    data = {"action": action, "_selected_action": [session.pk for session in sessions], **more}
    return client.post(LIST, data, follow=True)


def test_the_list_shows_each_sessions_columns(operator: Client) -> None:
    alice = get_user_model().objects.create_user("alice")
    session = a_session(f"user:{alice.pk}", hours=2, title="Trip to Rome", agent="demo")
    a_message(session, "x" * 2000)
    shown = row(operator, session)
    assert shown.pop("size").startswith(("1.9 KB", "2.0 KB"))
    assert shown == {
        "name": "Trip to Rome",
        "state": "idle",
        "owned_by": "alice",
        "answered_by": "demo",
        "count": "1",
        "tail": "1",
        "active": "2 hours ago",
        "expiry": "in 2 days",
        "held": "",
    }


def test_the_list_shows_a_sessions_state_as_a_word(operator: Client) -> None:
    streaming, expired, removed = (
        a_session("guest:1"),
        a_session("guest:1", hours=100),
        a_session("ext:1", removed_at=hours_ago(1)),
    )
    a_streaming_message(streaming, "Hel", "lo")
    assert row(operator, streaming)["state"] == "streaming"
    assert (row(operator, expired)["state"], row(operator, expired)["expiry"]) == ("expired", "1 day ago")
    assert row(operator, removed)["state"] == "being removed"
    assert row(operator, a_session("guest:1", hours=100, held=True))["expiry"] == "never: on hold"


def test_the_filters_select_sessions(operator: Client) -> None:
    streaming, held = a_session("guest:1", agent="demo"), a_session("user:1", held=True, hours=100)
    expired, removed = a_session("guest:1", hours=100), a_session("ext:1", removed_at=hours_ago(1))
    a_streaming_message(streaming, "Hel", "lo")
    one_day = a_session("user:1", policy=RetentionPolicy.objects.get(name="One day"))
    assert listed(operator, state="streaming") == {streaming.pk}
    assert listed(operator, state="expired") == {expired.pk}
    assert listed(operator, state="idle") == {held.pk, one_day.pk}
    assert listed(operator, state="being removed") == {removed.pk}
    assert listed(operator, held__exact="1") == {held.pk}
    assert listed(operator, policy__id__exact=str(one_day.policy_id)) == {one_day.pk}
    assert listed(operator, owner_kind="user") == {held.pk, one_day.pk}
    assert listed(operator, owner_kind="guest") == {streaming.pk, expired.pk}
    assert listed(operator, agent="demo") == {streaming.pk}


def test_the_search_covers_ids_owners_names_and_titles(operator: Client) -> None:
    alice = get_user_model().objects.create_user("alice")
    hers, other = a_session(f"user:{alice.pk}", title="Trip to Rome"), a_session("guest:abc")
    for words in (hers.pk, hers.owner, "alice", "rome", "trip rome"):
        assert listed(operator, q=words) == {hers.pk}
    assert listed(operator, q="guest:abc") == {other.pk}
    assert listed(operator, q="' OR 1=1 --") == set()


def test_the_lists_query_count_does_not_depend_on_its_length(
    operator: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(40):
        user = get_user_model().objects.create_user(f"user{number}")
        a_message(a_session(f"user:{user.pk}"))
    with django_assert_max_num_queries(12):
        assert len(listed(operator)) == 40


@reads_transcripts
def test_the_transcript_is_readable_text(operator: Client) -> None:
    session = a_session("guest:1")
    a_message(session, "Where is <b>Rome</b>?")
    a_streaming_message(session, "In Ita", "ly")
    shown = page(operator, f"{LIST}{quote(session.pk)}/change/")
    assert "Where is &lt;b&gt;Rome&lt;/b&gt;?" in shown
    assert "In Italy" in shown
    assert "user · " in shown and "assistant · " in shown and "· streaming" in shown


@reads_transcripts
def test_the_transcript_marks_replaced_and_continued_answers(operator: Client) -> None:
    session = a_session("guest:1")
    a_message(session, "One", uid="m_1", role="assistant", replaced_by="m_2")
    a_message(session, "Two", uid="m_2", role="assistant")
    a_message(session, "Three", uid="m_3", role="assistant", continues="m_2")
    shown = page(operator, f"{LIST}{quote(session.pk)}/change/")
    assert shown.count("entry replaced") == shown.count("· replaced by m_2") == shown.count("· continues m_2") == 1
    message = Message.objects.get(uid="m_1")
    assert "· replaced by m_2" in page(operator, f"/admin/sessions_app/message/{quote(message.pk)}/change/")


@reads_transcripts
def test_a_long_transcript_has_pages(operator: Client) -> None:
    session = a_session("guest:1")
    for number in range(35):
        a_message(session, f"<{number}>")
    newest = page(operator, f"{LIST}{quote(session.pk)}/change/")
    assert "&lt;34&gt;" in newest and "&lt;5&gt;" in newest and "&lt;4&gt;" not in newest
    assert "?before=6" in newest
    earlier = page(operator, f"{LIST}{quote(session.pk)}/change/", before="6")
    assert "&lt;4&gt;" in earlier and "&lt;5&gt;" not in earlier and "Earlier" not in earlier
    assert page(operator, f"{LIST}{quote(session.pk)}/change/", before="x' OR 1=1")


@reads_transcripts
def test_a_missing_session_is_not_found(operator: Client) -> None:
    assert operator.get(f"{LIST}nothing/change/", follow=True).redirect_chain[0][0] == "/admin/"


@reads_transcripts
def test_editing_does_not_change_the_log(operator: Client) -> None:
    session = a_session("guest:1", title="Old", tail=3)
    form = {"title": "New", "policy": str(session.policy_id), "held": "on"}
    forged = {"tail": "99", "epoch": "0", "owner": "user:1", "id": "x", "trimmed": "9"}
    response = operator.post(f"{LIST}{quote(session.pk)}/change/", form | forged)
    assert response.status_code == 302
    session.refresh_from_db()
    assert (session.title, session.held) == ("New", True)
    assert (session.tail, session.owner, session.trimmed) == (3, "guest:1", 0)


@reads_transcripts
def test_editing_while_a_publisher_commits_loses_no_serial(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from sessions_app.admin.sessions import SessionAdmin

    session = a_session("guest:1", title="Old")
    save = SessionAdmin.save_model

    def commit_and_save(self: Any, request: Any, obj: Session, *args: Any) -> None:
        Session.objects.filter(pk=session.pk).update(tail=7)  # between the form's read and its write
        save(self, request, obj, *args)

    monkeypatch.setattr(SessionAdmin, "save_model", commit_and_save)
    operator.post(f"{LIST}{quote(session.pk)}/change/", {"title": "New", "policy": str(session.policy_id)})
    session.refresh_from_db()
    assert (session.title, session.tail) == ("New", 7)


def test_a_purge_asks_for_confirmation_and_then_removes(operator: Client) -> None:
    going, staying = a_session("guest:1", title="Going"), a_session("guest:1")
    a_message(going)
    asked = act(operator, "purge", going).content.decode()
    assert "Purge 1 session?" in asked and "Going" in asked
    assert Session.objects.count() == 2
    done = act(operator, "purge", going, confirmed="yes").content.decode()
    assert "Purged 1 session, 1 message." in done
    assert (list(Session.objects.all()), Message.objects.count()) == ([staying], 0)
    assert LogEntry.objects.filter(object_id=going.pk).exists()


def test_a_purge_keeps_sessions_on_hold(operator: Client) -> None:
    held = a_session("guest:1", held=True)
    assert "1 on hold will be kept" in act(operator, "purge", held).content.decode()
    act(operator, "purge", held, confirmed="yes")
    assert Session.objects.exists()


def test_a_purge_of_every_filtered_session(operator: Client) -> None:
    for _ in range(60):  # more than a page
        a_session("guest:1", hours=100)
    living = a_session("guest:1")
    first = Session.objects.expired()[0]
    data = {"action": "purge", "select_across": "1", "_selected_action": first.pk}
    asked = operator.post(f"{LIST}?state=expired", data).content.decode()
    assert "Purge 60 sessions?" in asked and asked.count('type="hidden" name="_selected_action"') == 1
    operator.post(f"{LIST}?state=expired", data | {"confirmed": "yes"})
    assert list(Session.objects.all()) == [living]


def test_actions_hold_and_release_sessions(operator: Client) -> None:
    session, other = a_session("guest:1", hours=100), a_session("guest:1")
    assert "Sessions on hold: 1." in act(operator, "hold", session).content.decode()
    assert set(Session.objects.filter(held=True)) == {session}
    act(operator, "release", session, other)
    assert not Session.objects.filter(held=True).exists()


def test_an_action_changes_the_policy_of_many_sessions(operator: Client) -> None:
    sessions = [a_session("guest:1") for _ in range(2)]
    asked = act(operator, "change_policy", *sessions).content.decode()
    assert "One day (24 h)" in asked
    one_day = RetentionPolicy.objects.get(name="One day")
    assert (
        "now with the policy"
        in act(operator, "change_policy", *sessions, policy=str(one_day.pk), confirmed="yes").content.decode()
    )
    assert set(Session.objects.values_list("policy", flat=True)) == {one_day.pk}


def test_a_missing_policy_cannot_be_assigned(operator: Client) -> None:
    session = a_session("guest:1")
    refused = act(operator, "change_policy", session, policy="999", confirmed="yes").content.decode()
    assert "Select a valid choice" in refused
    session.refresh_from_db()
    assert session.policy == default_policy()


def test_deleting_one_session_collects_no_related_rows_first(
    operator: Client, django_assert_max_num_queries: Any
) -> None:
    session = a_session("guest:1")
    for _ in range(30):
        a_message(session)
    with django_assert_max_num_queries(12):
        assert "sessions: 1" in page(operator, f"{LIST}{quote(session.pk)}/delete/").lower()
    operator.post(f"{LIST}{quote(session.pk)}/delete/", {"post": "yes"})
    assert not Session.objects.exists() and not Message.objects.exists()


def test_a_session_on_hold_cannot_be_deleted(operator: Client) -> None:
    held = a_session("guest:1", held=True)
    assert operator.post(f"{LIST}{quote(held.pk)}/delete/", {"post": "yes"}).status_code == 403
    assert Session.objects.exists()


def test_view_permission_allows_only_viewing() -> None:
    session = a_session("guest:1")
    viewer = staff_with("view_session")
    assert listed(viewer) == set()  # nothing to select: no actions
    assert session.pk in page(viewer, LIST)
    for action in ("purge", "hold", "change_policy"):
        act(viewer, action, session, confirmed="yes")
    assert Session.objects.filter(held=False).count() == 1
    assert viewer.post(f"{LIST}{quote(session.pk)}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("path", ["session", "message", "retentionpolicy", "worker", "run"])
def test_only_staff_see_the_admin(path: str) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("mallory"))
    for visitor in (client, staff_with()):
        response = visitor.get(f"/admin/sessions_app/{path}/")
        assert response.status_code in (302, 403)


def test_sessions_cannot_be_added(operator: Client) -> None:
    assert operator.get(f"{LIST}add/").status_code == 403


def test_an_old_session_shows_its_age(operator: Client) -> None:
    session = a_session("guest:1", active_at=hours_ago(50))
    assert row(operator, session)["active"] == "2 days ago"
