"""The report on cut connections, on the terminal and in the admin."""

import json
import random
import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from sessions_app.models import ConnectionRecord

pytestmark = pytest.mark.django_db
LIST = "/admin/sessions_app/connectionrecord/"
DIAGNOSIS = f"{LIST}diagnosis/"


def ended(count: int, *, idle: float | None = None, life: float | None = None, **fields: Any) -> None:
    """Connections that ended over the last hours, cut unless the fields say otherwise."""
    chance = random.Random(count)
    values = {"transport": "websocket", "process": "web:1", "ended": "cut", "code": 1006, "exact": True} | fields
    for _ in range(count):
        lived = 1000 * chance.random() if life is None else life + chance.uniform(0, 0.3)
        ConnectionRecord.objects.create(
            ended_at=timezone.now() - timedelta(seconds=chance.uniform(0, 20_000)),
            idle_s=chance.uniform(0, 15) if idle is None else idle + chance.uniform(0, 0.3),
            life_s=lived if idle is None else lived + idle,
            **values,
        )


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("diagnose_connections", *arguments, stdout=out)
    return out.getvalue()


class TestCommand:
    def test_an_empty_report_says_so(self) -> None:
        assert run() == "No recorded connection ended in the last 24 hours.\n"
        assert json.loads(run("--json")) == {"hours": 24, "transports": []}

    def test_the_report_says_when_recording_is_off(self, settings: Any) -> None:
        settings.HOLDFAST = settings.HOLDFAST | {"EVIDENCE_HOURS": 0}
        assert "HOLDFAST_EVIDENCE_HOURS is 0" in run()

    def test_the_report_names_the_proxy_and_the_setting_to_change(self, settings: Any) -> None:
        settings.HOLDFAST = settings.HOLDFAST | {"PING_INTERVAL_S": 90, "HEARTBEAT_MS": 600_000}
        ended(40, idle=60, headers="x-forwarded-for x-amzn-trace-id")
        ended(12, ended="client", code=1001)
        report = run()
        assert "websocket: 52 ended in the last 24 hours\n  12 closed by the client, 40 cut" in report
        assert re.search(r"\n +60 – 62 \| #{50} 40\n", report) or re.search(r"\n +60 – 65 \| #{50} 40\n", report)
        assert re.search(
            r"Finding \(strong evidence\): 40 of 40 were cut 60\.\d to 60\.\d s without traffic; none", report
        )
        assert "AWS Application Load Balancer: ends connections after 60 s without traffic by default" in report
        assert "> Set HOLDFAST_PING_INTERVAL_S (90) to 48 or less." in report
        assert "idle_timeout.timeout_seconds" in report and "proxy_read_timeout" in report

    def test_sufficient_pings_are_not_advised(self, settings: Any) -> None:
        settings.HOLDFAST = settings.HOLDFAST | {"HEARTBEAT_MS": 600_000}
        ended(40, idle=60)
        assert "HOLDFAST_PING_INTERVAL_S (50) is already below it" in run()

    def test_a_limit_on_a_streams_life(self) -> None:
        ended(40, life=30, transport="stream", ended="left", code=None, exact=False, headers="x-cloud-trace-context")
        report = run("--transport", "stream")
        assert "Google Cloud Application Load Balancer" in report
        assert "HOLDFAST_STREAM_MS (now 300000) to 24000 or less" in report

    def test_our_own_clients_timeouts_are_not_reported_as_faults(self) -> None:
        ended(40, idle=4, transport="stream", ended="left", code=None, exact=False)
        report = run()
        assert "Holdfast's own client: leaves streams after 4 s on purpose." in report
        assert "holds the beginning of a stream back" in report and "HOLDFAST_" not in report

    def test_inconclusive_records_name_no_proxy(self) -> None:
        ended(60)
        report = run()
        assert "These records show no fixed time limit" in report and "Finding" not in report

    def test_coincidentally_regular_idle_times_do_not_count(self) -> None:
        ended(60, idle=10, exact=False)
        assert "without traffic; " not in run()

    def test_rays_are_shown(self) -> None:
        ended(1, ray="230b030023ae2822-SJC", headers="cf-ray")
        assert "230b030023ae2822-SJC" in run()

    def test_the_options_select_records(self) -> None:
        ended(15)
        ended(15, transport="stream", ended="left")
        ConnectionRecord.objects.filter(transport="stream").update(ended_at=timezone.now() - timedelta(hours=30))
        assert [one["transport"] for one in json.loads(run("--json"))["transports"]] == ["websocket"]
        assert len(json.loads(run("--json", "--hours", "48"))["transports"]) == 2
        assert len(json.loads(run("--json", "--hours", "48", "--transport", "poll"))["transports"]) == 0

    def test_the_json_contains_everything_in_the_text(self) -> None:
        ended(40, idle=100, headers="cf-ray", ray="230b030023ae2822-SJC")
        (report,) = json.loads(run("--json"))["transports"]
        (finding,) = report["findings"]
        assert (finding["measure"], finding["ends"], finding["confidence"]) == ("idle", 40, "strong")
        assert finding["culprits"][0]["proxy"] == "Cloudflare (Free and Pro)" and finding["advice"]
        assert sum(bar["count"] for bar in report["idle"]) == 40 and len(report["rays"]) == 10

    @pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "1e9"])
    def test_invalid_options_are_refused(self, hours: str) -> None:
        with pytest.raises(CommandError, match="use more than 0 and at most 10000"):
            run("--hours", hours)


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    return client


def page(client: Client, path: str = DIAGNOSIS, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


class TestAdmin:
    def test_the_page_draws_the_histogram_and_names_the_proxy(
        self, operator: Client, django_assert_max_num_queries: Any
    ) -> None:
        ended(40, idle=100, headers="cf-ray", ray="230b030023ae2822-SJC")
        with django_assert_max_num_queries(12):
            shown = page(operator)
        assert "40 of 40 were cut 100.0 to 100." in shown and "Cloudflare (Free and Pro)" in shown
        assert '<tr class="peak"> <th scope="row">100 – 105</th> <td>40</td>' in shown
        assert '<rect width="100.0%" height="10"/>' in shown and "230b030023ae2822-SJC" in shown

    def test_the_page_needs_no_inline_style_or_script(self, operator: Client) -> None:
        ended(40, idle=100)
        content = page(operator).split('id="content"')[1]
        assert "style=" not in content and "<script" not in content.split("</main>")[0] and " onclick" not in content

    def test_an_empty_report_says_so(self, operator: Client) -> None:
        assert "No recorded connection ended in the last 24 hours." in page(operator)

    @pytest.mark.parametrize(
        "query", [{"hours": "x"}, {"hours": "999999999"}, {"hours": "6", "transport": "'"}, {"a": "b"}]
    )
    def test_invalid_query_values_are_ignored(self, operator: Client, query: dict[str, str]) -> None:
        ended(1)
        assert "websocket: 1 ended" in page(operator, **query)

    def test_the_query_selects_records(self, operator: Client) -> None:
        ended(3)
        ended(2, transport="stream", ended="left")
        shown = page(operator, hours="72", transport="stream")
        assert "stream: 2 ended" in shown and "websocket: 3 ended" not in shown

    def test_header_values_are_shown_as_text(self, operator: Client) -> None:
        # More than `hints` lets through: the page trusts nobody.
        ended(1, ray="<script>alert(1)</script>", headers='"><img src=x onerror=alert(1)>')
        record = ConnectionRecord.objects.get()
        for path in (DIAGNOSIS, LIST, f"{LIST}{record.pk}/change/"):
            shown = page(operator, path)
            assert "<script>alert" not in shown and "<img src=x" not in shown and "&lt;script&gt;alert" in shown

    def test_the_list_links_to_the_page(self, operator: Client, django_assert_max_num_queries: Any) -> None:
        ended(30)
        with django_assert_max_num_queries(10):
            shown = page(operator, LIST)
        assert f'href="{DIAGNOSIS}"' in shown and shown.count(">cut<") >= 30

    def test_records_cannot_be_changed(self, operator: Client) -> None:
        ended(1)
        address = f"{LIST}{ConnectionRecord.objects.get().pk}/"
        assert operator.post(f"{address}change/", {"ended": "client"}).status_code == 403
        assert operator.post(f"{address}delete/", {"post": "yes"}).status_code == 403
        assert operator.get(f"{LIST}add/").status_code == 403

    def test_the_page_requires_permission_to_view_records(self) -> None:
        client = Client()
        assert client.get(DIAGNOSIS).status_code == 302
        staff = get_user_model().objects.create_user("sam", is_staff=True)
        client.force_login(staff)
        assert client.get(DIAGNOSIS).status_code == 403
        staff.user_permissions.add(Permission.objects.get(codename="view_connectionrecord"))
        assert client.get(DIAGNOSIS).status_code == 200
