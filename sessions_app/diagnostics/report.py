"""Connection diagnosis: how connections ended, which time limits cut them, and which settings to change."""

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
from sessions_app.core.wire_types import JsonObject
from sessions_app.models import ConnectionRecord

Ended = ConnectionRecord.Ended

TRANSPORTS = ("websocket", "stream", "poll")
UNANNOUNCED = (Ended.CUT, Ended.LEFT)  # ended without a close frame
ENDS_MAX = 20_000  # the newest; more would add no evidence
RAYS_MAX = 10
MARGIN = 0.8  # fraction of a limit that an interval must stay below to be safe


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Diagnosis of one transport. `ended` counts connections by `Ended`; the bars count unannounced ends only."""

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
    def unannounced(self) -> int:
        return sum(self.ended.get(ended, 0) for ended in UNANNOUNCED)


def diagnose(*, hours: float, transport: str | None = None) -> list[Diagnosis]:
    """Diagnose the connections that ended in the last `hours`, per transport that has any."""
    since = timezone.now() - timedelta(hours=hours)
    records = ConnectionRecord.objects.filter(ended_at__gte=since).order_by("-ended_at")
    counts: dict[str, dict[str, int]] = {}
    for name, ended, count in records.order_by().values_list("transport", "ended").annotate(Count("pk")):
        counts.setdefault(name, {})[ended] = count
    chosen = [name for name in TRANSPORTS if name in counts and transport in (None, name)]
    return [_diagnose(name, counts[name], records.filter(transport=name)) for name in chosen]


def _diagnose(transport: str, ended: dict[str, int], records: QuerySet[ConnectionRecord]) -> Diagnosis:
    unannounced = records.filter(ended__in=UNANNOUNCED)
    fields = ("ended_at", "life_s", "idle_s", "exact", "headers")
    rows = list(unannounced.values_list(*fields)[:ENDS_MAX])
    findings = idle.findings([_end(transport, *row) for row in rows], transport)
    return Diagnosis(
        transport=transport,
        ended=ended,
        idle=_bars([row[2] for row in rows], "idle", findings),
        life=_bars([row[1] for row in rows], "life", findings),
        findings=findings,
        rays=list(unannounced.exclude(ray="")[:RAYS_MAX]),
    )


def _end(transport: str, ended_at: datetime, life_s: float, idle_s: float | None, exact: bool, headers: str) -> End:
    # Where a server doesn't report its pings and missing pongs, they would make peaks of their own.
    known = exact or transport != "websocket"
    return End(ended_at.timestamp(), life_s, idle_s if known else None, frozenset(headers.split()))


def _bars(values: Iterable[float | None], measure: str, findings: list[Finding]) -> list[Bar]:
    peaks = [finding.peak for finding in findings if finding.peak.measure == measure]
    return idle.histogram((value for value in values if value is not None), peaks=peaks)


# As text


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


def observation(finding: Finding, unannounced: int) -> str:
    """Return a sentence about a finding's peak."""
    peak = finding.peak
    after = "without traffic" if peak.measure == "idle" else "after they began, busy or idle"
    beyond = f"{peak.beyond} lasted longer" if peak.beyond else "none lasted longer"
    return f"{len(peak.ends)} of {unannounced} were cut {peak.low:.1f} to {peak.high:.1f} s {after}; {beyond}."


def suspicion(culprit: Culprit) -> str:
    """Return a sentence about why a proxy is suspected."""
    limit = culprit.limit
    if limit in OWN_CLIENT:
        return f"{limit.proxy}: leaves streams after {limit.seconds} s on purpose."
    kind = "without traffic" if limit.measure == "idle" else "of lifetime"
    why = f"the requests had its header {limit.header}" if culprit.seen else "it adds no header to recognize it by"
    return f"{limit.proxy}: ends connections after {limit.seconds} s {kind} by default; {why}."


def advice(finding: Finding, transport: str) -> list[str]:
    """Return the settings to change, Holdfast's first."""
    limits = [culprit.limit for culprit in finding.culprits]
    if any(limit in OWN_CLIENT for limit in limits):
        return [limit.setting for limit in limits if limit in OWN_CLIENT]
    ours = (
        _keep_busy(finding.peak, transport) if finding.peak.measure == "idle" else _end_first(finding.peak, transport)
    )
    theirs = [f"Or change {limit.setting}." for limit in limits]
    return [ours, *(theirs or ["Or look for a proxy or firewall with this time limit on the way."])]


def _keep_busy(peak: Peak, transport: str) -> str:
    at_most = max(1, int(peak.low * MARGIN))
    heartbeat = f"HOLDFAST_HEARTBEAT_MS ({conf.settings.heartbeat_ms})"
    if conf.settings.heartbeat_ms / 1000 < peak.low:
        return f"{heartbeat} is already below it: these connections are from before it was set."
    if transport != "websocket":
        return f"Set {heartbeat} to {at_most * 1000} or less."
    pings = f"HOLDFAST_PING_INTERVAL_S ({conf.settings.ping_interval_s})"
    if conf.settings.ping_interval_s < peak.low:
        return (
            f"{pings} is already below it: these connections are from before it was set, or this proxy doesn't count "
            f"pings; in that case, set {heartbeat} to {at_most * 1000} or less."
        )
    return f"Set {pings} to {at_most} or less."


def _end_first(peak: Peak, transport: str) -> str:
    at_most = max(1, int(peak.low * MARGIN)) * 1000
    if transport == "stream":
        now = conf.settings.stream_ms
        return f"Let the server end streams earlier: set HOLDFAST_STREAM_MS (now {now}) to {at_most} or less."
    if transport == "poll":
        now = conf.settings.poll_ms
        return f"Let the server answer polls earlier: set HOLDFAST_POLL_MS (now {now}) to {at_most} or less."
    return "Pings can't prevent a limit on a connection's lifetime; clients reconnect automatically and miss nothing."


# As JSON


def as_json(diagnosis: Diagnosis) -> JsonObject:
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


def _bars_as_json(bars: list[Bar]) -> Iterator[JsonObject]:
    return ({"low": bar.low, "high": bar.high, "count": bar.count} for bar in bars)


def _finding_as_json(finding: Finding, transport: str) -> JsonObject:
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


def _culprit_as_json(culprit: Culprit) -> JsonObject:
    limit = culprit.limit
    return {
        "proxy": limit.proxy,
        "seconds": limit.seconds,
        "header_seen": culprit.seen,
        "setting": limit.setting,
        "source": limit.source,
        "says": limit.says,
    }
