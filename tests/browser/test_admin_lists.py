"""Admin lists fit into a window of 1280 px beside the sidebar, one line a row, with texts at their longest."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import Visitor
from tests.support.harness import Server

pytestmark = pytest.mark.browser

SERVER: dict[str, str] = {}
LONGEST = """
from django.utils import timezone
from sessions_app.models import *
now, word = timezone.now(), "W" * 64
policy = RetentionPolicy.objects.first()
session = Session.objects.create(owner="guest:" + "f" * 32, title="W" * 200, agent=word, policy=policy)
worker = Worker.objects.create(name="W" * 100 + ":12345")
Message.objects.create(session=session, uid=word, role="assistant", status="interrupted", first_serial=10**9,
    last_serial=10**9 + 1, created_at=now, updated_at=now)
signal = Signal.objects.create(session=session, uid=word, kind="tool-result", actor="guest:" + "f" * 32, target="x",
    status="rejected", reason="Words. " * 99, serial=1, last_serial=1)
run = Run.objects.create(session=session, agent=word, status="running", worker=worker, mode="regenerate",
    input_tokens=10**7, output_tokens=10**7, started_at=now, ended_at=now)
Approval.objects.create(session=session, run=run, uid=word, call="c", tool=word, input='{"a": "' + "W" * 999 + '"}',
    input_hash="", decision=signal, decided_at=now, expires_at=now, execution="begun")
ConnectionRecord.objects.create(transport="websocket", process="p", ended_at=now, ended="server", code=1006, life_s=1e6,
    idle_s=1e6, headers="x-forwarded-for, " * 5, hops=9, ray="f" * 20)
RevokedToken.objects.create(jti=word)
RevokedSubject.objects.create(sub="W" * 80)
"""
MODELS = [
    "approval", "connectionrecord", "message", "retentionpolicy", "revokedsubject", "revokedtoken", "run", "session",
    "signal", "worker",
]  # fmt: skip
# Elements that are wider inside than outside, and rows of several lines.
MISFITS = """() => [
    ...[document.documentElement, ...document.querySelectorAll("#changelist, .results, #changelist-filter")]
        .filter((element) => element.scrollWidth > element.clientWidth)
        .map((element) => `${element.tagName}.${element.className}: ${element.scrollWidth} px`),
    ...[...document.querySelectorAll("#result_list tbody tr")]
        .filter((row) => row.offsetHeight > 40)
        .map((row) => `a row of ${row.offsetHeight} px: ${row.innerText.slice(0, 80)}`),
]"""


def sign_in(page: Page, server: Server) -> None:
    password = server.create_administrator()
    page.goto("/login/?next=/admin/")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()


def test_every_list_fits_with_the_longest_texts(visitor: Visitor, server: Server) -> None:
    server.manage("shell", "--verbosity", "0", "-c", LONGEST)
    page = visitor.open().page
    page.set_viewport_size({"width": 1280, "height": 900})
    sign_in(page, server)
    listed = page.locator("#content a[href^='/admin/sessions_app/']:not([href$='add/'])")
    assert sorted({str(one.get_attribute("href")).split("/")[3] for one in listed.all()} - {""}) == MODELS
    for model in MODELS:
        page.goto(f"/admin/sessions_app/{model}/")
        expect(page.locator("#result_list tbody tr").first).to_be_visible()
        assert page.evaluate(MISFITS) == [], model
