"""Admin for connection records and the diagnosis of dropped connections."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from sessions_app import conf
from sessions_app.admin.readonly import ReadOnlyAdmin, clip, moment
from sessions_app.core.idle import Bar, Finding, Peak
from sessions_app.diagnostics import report
from sessions_app.diagnostics.report import Diagnosis
from sessions_app.models import ConnectionRecord

HOURS = (1, 6, 24, 72)


class Scope(forms.Form):
    """The period and transport of a diagnosis."""

    hours = forms.TypedChoiceField(choices=[(hours, f"{hours} h") for hours in HOURS], coerce=int)
    transport = forms.ChoiceField(
        choices=[("", "all transports"), *((name, name) for name in report.TRANSPORTS)], required=False
    )


@admin.register(ConnectionRecord)
class ConnectionRecordAdmin(ReadOnlyAdmin):
    list_display = ["end", "transport", "ended", "code", "life", "idle", "proxy_headers", "hops", "ray_id"]
    list_filter = ["transport", "ended"]
    search_fields = ["=ray", "=process"]
    search_help_text = "Search by Cloudflare Ray ID or by process (host:pid)."
    fields = [
        "transport", "process", "began_at", "ended_at", "life", "ended", "code", "idle", "exact",
        "headers", "hops", "ray",
    ]  # fmt: skip
    change_list_template = "holdfast/admin/connection_records.html"

    @admin.display(description="ended at", ordering="ended_at")
    def end(self, record: ConnectionRecord) -> str:
        return moment(record.ended_at)

    @admin.display(description="headers", ordering="headers")
    def proxy_headers(self, record: ConnectionRecord) -> str:
        return clip(record.headers)

    @admin.display(description="Ray id", ordering="ray")
    def ray_id(self, record: ConnectionRecord) -> str:
        return clip(record.ray)

    @admin.display(description="lifetime", ordering="life_s")
    def life(self, record: ConnectionRecord) -> str:
        return f"{record.life_s:.1f}\N{NO-BREAK SPACE}s"

    @admin.display(description="idle before end", ordering="idle_s")
    def idle(self, record: ConnectionRecord) -> str:
        if record.idle_s is None:
            return "–"
        return f"{'' if record.exact else 'about '}{record.idle_s:.1f}\N{NO-BREAK SPACE}s"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.diagnosis)
        return [path("diagnosis/", view, name="sessions_app_connectionrecord_diagnosis"), *super().get_urls()]

    def diagnosis(self, request: HttpRequest) -> HttpResponse:
        """Diagnosis page: histograms and the findings they support."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        scope = Scope(request.GET if "hours" in request.GET else {"hours": 24})
        hours = scope.cleaned_data["hours"] if scope.is_valid() else 24
        transport = scope.cleaned_data.get("transport") or None
        found = report.diagnose(hours=hours, transport=transport)
        context = {
            **self.admin_site.each_context(request),
            "title": "Connection diagnosis",
            "opts": self.opts,
            "scope": scope,
            "hours": hours,
            "recording": conf.settings.evidence_hours,
            "diagnoses": [_diagnosis_context(one) for one in found],
        }
        return TemplateResponse(request, "holdfast/admin/connection_diagnosis.html", context)


def _diagnosis_context(one: Diagnosis) -> dict[str, object]:
    """Template context of a diagnosis."""
    return {
        "transport": one.transport,
        "total": one.total,
        "summary": report.summary(one),
        "unannounced": one.unannounced,
        "charts": [
            _chart("Seconds without traffic before an unannounced end", "idle", one.idle, one.findings),
            _chart("Seconds of lifetime before an unannounced end", "life", one.life, one.findings),
        ],
        "findings": [_finding_context(finding, one) for finding in one.findings],
        "rays": one.rays,
    }


def _finding_context(finding: Finding, one: Diagnosis) -> dict[str, object]:
    return {
        "confidence": finding.confidence,
        "what": report.observation(finding, one.unannounced),
        "suspicions": [(report.suspicion(culprit), culprit.limit) for culprit in finding.culprits],
        "advice": report.advice(finding, one.transport),
    }


def _chart(title: str, measure: str, bars: list[Bar], findings: list[Finding]) -> dict[str, object]:
    peaks = [finding.peak for finding in findings if finding.peak.measure == measure]
    most = max((bar.count for bar in bars), default=1)
    return {
        "title": title,
        "bars": [
            {
                "range": f"{bar.low:g} –" if bar.high is None else f"{bar.low:g} – {bar.high:g}",
                "count": bar.count,
                "percent": round(100 * bar.count / most, 1),
                "in_peak": any(_overlap(bar, peak) for peak in peaks),
            }
            for bar in bars
        ],
    }


def _overlap(bar: Bar, peak: Peak) -> bool:
    return bar.low <= peak.high and (bar.high is None or peak.low < bar.high)
