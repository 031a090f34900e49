"""What the records of connections tell an operator: how they ended, what cuts them at a fixed time, what to change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, QuerySet
from django.utils import timezone

from sessions_app import conf
from sessions_app.core import idle
from sessions_app.core.idle import Bar, Culprit, End, Finding, Peak
from sessions_app.core.proxies import OWN_CLIENT
from sessions_app.models import ConnectionRecord

Ended = ConnectionRecord.Ended

TRANSPORTS = ("websocket", "stream", "poll")
WORDLESS = (Ended.CUT, Ended.LEFT)  # who ended them said nothing
ENDS_MAX = 20_000  # the newest; more of them prove nothing more
RAYS_MAX = 10
MARGIN = 0.8  # of a limit: what is sent so often arrives in time


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One transport's connections. `ended` counts them by `Ended`; the bars count those that ended without a word."""

    transport: str
    ended: dict[str, int]
    idle: list[Bar]
    life: list[Bar]
    findings: list[Finding]
    rays: list[ConnectionRecord]

    @property
    def total(self) -> int:
        return sum(self.ended.values())

    @property
    def wordless(self) -> int:
        return sum(self.ended.get(ended, 0) for ended in WORDLESS)


def diagnose(*, hours: float, transport: str | None = None) -> list[Diagnosis]:
    """Look at the connections that ended in the last hours, by transport, those that had any."""
    since = timezone.now() - timedelta(hours=hours)
    records = ConnectionRecord.objects.filter(ended_at__gte=since).order_by("-ended_at")
    counts: dict[str, dict[str, int]] = {}
    for name, ended, count in records.order_by().values_list("transport", "ended").annotate(Count("pk")):
        counts.setdefault(name, {})[ended] = count
    chosen = [name for name in TRANSPORTS if name in counts and transport in (None, name)]
    return [_diagnose(name, counts[name], records.filter(transport=name)) for name in chosen]


def _diagnose(transport: str, ended: dict[str, int], records: QuerySet[ConnectionRecord]) -> Diagnosis:
    wordless = records.filter(ended__in=WORDLESS)
    fields = ("ended_at", "life_s", "idle_s", "exact", "headers")
    rows = list(wordless.values_list(*fields)[:ENDS_MAX])
    findings = idle.findings([_end(transport, *row) for row in rows], transport)
    return Diagnosis(
        transport=transport,
        ended=ended,
        idle=_bars([row[2] for row in rows], "idle", findings),
        life=_bars([row[1] for row in rows], "life", findings),
        findings=findings,
        rays=list(wordless.exclude(ray="")[:RAYS_MAX]),
    )


def _end(transport: str, ended_at: datetime, life_s: float, idle_s: float | None, exact: bool, headers: str) -> End:
    # Where a server doesn't tell us of its pings and their lack of answers, these make peaks of their own.
    known = exact or transport != "websocket"
    return End(ended_at.timestamp(), life_s, idle_s if known else None, frozenset(headers.split()))


def _bars(values: Iterable[float | None], measure: str, findings: list[Finding]) -> list[Bar]:
    peaks = [finding.peak for finding in findings if finding.peak.measure == measure]
    return idle.histogram((value for value in values if value is not None), peaks=peaks)


# In words


def summary(diagnosis: Diagnosis) -> str:
    counts = (f"{diagnosis.ended[ended]} {LABELS[ended]}" for ended in Ended if ended in diagnosis.ended)
    return ", ".join(counts)


LABELS = {
    Ended.BY_CLIENT: "closed by the client",
    Ended.BY_SERVER: "closed by this server",
    Ended.CUT: "cut without a close frame",
    Ended.LOST: "lost, a ping unanswered",
    Ended.LEFT: "left by the client",
}


def what(finding: Finding, wordless: int) -> str:
    """Say what was seen, in a sentence."""
    peak = finding.peak
    after = "without traffic" if peak.measure == "idle" else "after they began, busy or not"
    beyond = f"{peak.beyond} went on for longer" if peak.beyond else "none went on for longer"
    return f"{len(peak.ends)} of {wordless} were cut {peak.low:.1f} to {peak.high:.1f} s {after}; {beyond}."


def suspicion(culprit: Culprit) -> str:
    """Say why somebody is named."""
    limit = culprit.limit
    if limit in OWN_CLIENT:
        return f"{limit.proxy}: leaves streams after {limit.seconds} s on purpose."
    kind = "without traffic" if limit.measure == "idle" else "of life"
    why = f"its header {limit.header} was on the requests" if culprit.seen else "it leaves no header to tell by"
    return f"{limit.proxy}: ends connections after {limit.seconds} s {kind} by default; {why}."


def advice(finding: Finding, transport: str) -> list[str]:
    """Say which settings to change, ours first."""
    limits = [culprit.limit for culprit in finding.culprits]
    if any(limit in OWN_CLIENT for limit in limits):
        return [limit.setting for limit in limits if limit in OWN_CLIENT]
    ours = (
        _keep_busy(finding.peak, transport) if finding.peak.measure == "idle" else _end_first(finding.peak, transport)
    )
    theirs = [f"Or change {limit.setting}." for limit in limits]
    return [ours, *(theirs or ["Or look for a proxy or firewall on the way with a limit of this length."])]


def _keep_busy(peak: Peak, transport: str) -> str:
    at_most = max(1, int(peak.low * MARGIN))
    heartbeat = f"HOLDFAST_HEARTBEAT_MS ({conf.settings.heartbeat_ms})"
    if conf.settings.heartbeat_ms / 1000 < peak.low:
        return f"{heartbeat} is below it already: these connections are from before it was set."
    if transport != "websocket":
        return f"Set {heartbeat} to {at_most * 1000} or less."
    pings = f"HOLDFAST_PING_INTERVAL_S ({conf.settings.ping_interval_s})"
    if conf.settings.ping_interval_s < peak.low:
        return (
            f"{pings} is below it already: these connections are from before it was set, or this proxy doesn't count "
            f"pings; then set {heartbeat} to {at_most * 1000} or less."
        )
    return f"Set {pings} to {at_most} or less."


def _end_first(peak: Peak, transport: str) -> str:
    at_most = max(1, int(peak.low * MARGIN)) * 1000
    if transport == "stream":
        now = conf.settings.stream_ms
        return f"Let the server end streams before: HOLDFAST_STREAM_MS (now {now}) of {at_most} or less."
    if transport == "poll":
        now = conf.settings.poll_ms
        return f"Let the server answer polls before: HOLDFAST_POLL_MS (now {now}) of {at_most} or less."
    return "No ping helps against a limit on a connection's life; clients come back by themselves and miss nothing."


# For programs


def as_json(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "transport": diagnosis.transport,
        "ended": diagnosis.ended,
        "idle": list(_bars_as_json(diagnosis.idle)),
        "life": list(_bars_as_json(diagnosis.life)),
        "findings": [_finding_as_json(finding, diagnosis.transport) for finding in diagnosis.findings],
        "rays": [
            {
                "ray": record.ray,
                "ended_at": record.ended_at.isoformat(),
                "life_s": record.life_s,
                "idle_s": record.idle_s,
            }
            for record in diagnosis.rays
        ],
    }


def _bars_as_json(bars: list[Bar]) -> Iterator[dict[str, object]]:
    return ({"low": bar.low, "high": bar.high, "count": bar.count} for bar in bars)


def _finding_as_json(finding: Finding, transport: str) -> dict[str, object]:
    peak = finding.peak
    return {
        "measure": peak.measure,
        "seconds": round(peak.seconds, 2),
        "low": round(peak.low, 2),
        "high": round(peak.high, 2),
        "ends": len(peak.ends),
        "beyond": peak.beyond,
        "confidence": finding.confidence,
        "culprits": [_culprit_as_json(culprit) for culprit in finding.culprits],
        "advice": advice(finding, transport),
    }


def _culprit_as_json(culprit: Culprit) -> dict[str, object]:
    limit = culprit.limit
    return {
        "proxy": limit.proxy,
        "seconds": limit.seconds,
        "header_seen": culprit.seen,
        "setting": limit.setting,
        "source": limit.source,
        "says": limit.says,
    }
