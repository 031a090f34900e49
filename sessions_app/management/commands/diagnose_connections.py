"""`manage.py diagnose_connections`: how connections ended, and which time limits cut them."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from itertools import groupby
from math import ceil

from django.core.management.base import BaseCommand, CommandError

from sessions_app import conf
from sessions_app.core.idle import Bar, Finding
from sessions_app.diagnostics import report
from sessions_app.diagnostics.report import Diagnosis

BAR_LENGTH = 50  # characters
EMPTY_LINES = 2  # empty bars in a row; more are shown as one line


class Command(BaseCommand):
    help = (
        "Show how connections ended, when unannounced ends occurred, and which proxy's time limit they point to. "
        "Records are kept for HOLDFAST_EVIDENCE_HOURS."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--hours", type=float, default=24, help="hours to look back (default %(default)s)")
        parser.add_argument("--transport", choices=report.TRANSPORTS, help="this transport only")
        parser.add_argument("--json", action="store_true", help="output JSON")

    def handle(self, *, hours: float, transport: str | None, json: bool, **options: object) -> None:
        if not 0 < hours <= 10_000:
            raise CommandError(f"--hours {hours:g}: use more than 0 and at most 10000.")
        found = report.diagnose(hours=hours, transport=transport)
        if json:
            self._write_json(hours, found)
            return
        if not conf.settings.evidence_hours:
            self.stdout.write("Recording is off: HOLDFAST_EVIDENCE_HOURS is 0.")
        if not found:
            self.stdout.write(f"No recorded connection ended in the last {hours:g} hours.")
        for one in found:
            self._write(one, hours)

    def _write_json(self, hours: float, found: list[Diagnosis]) -> None:
        transports = [report.as_json(one) for one in found]
        self.stdout.write(json.dumps({"hours": hours, "transports": transports}, indent=2))

    def _write(self, one: Diagnosis, hours: float) -> None:
        self.stdout.write(f"{one.transport}: {one.total} ended in the last {hours:g} hours")
        self.stdout.write(f"  {report.summary(one)}\n\n")
        if not one.unannounced:
            self.stdout.write("  No unannounced ends.\n\n")
            return
        self._draw("Seconds without traffic before an unannounced end", one.idle)
        self._draw("Seconds of lifetime before an unannounced end", one.life)
        for finding in one.findings:
            self._write_finding(finding, one)
        if not one.findings:
            self.stdout.write("  These records show no fixed time limit.\n\n")
        if one.rays:
            self.stdout.write("  Cloudflare Ray IDs of the latest unannounced ends")
            for record in one.rays:
                self.stdout.write(f"    {record.ended_at:%Y-%m-%d %H:%M:%S} UTC  {record.ray}")
            self.stdout.write("")

    def _draw(self, title: str, bars: list[Bar]) -> None:
        if not bars:
            return
        self.stdout.write(f"  {title}")
        most = max(bar.count for bar in bars)
        lines = [(f"{bar.low:g} –" if bar.high is None else f"{bar.low:g} – {bar.high:g}", bar.count) for bar in bars]
        wide = max(len(label) for label, _ in lines)
        for empty, group in groupby(lines, key=lambda line: not line[1]):
            some = list(group)
            if empty and len(some) > EMPTY_LINES:
                some = [("…", 0)]
            for label, count in some:
                drawn = f"{'#' * ceil(count * BAR_LENGTH / most)} {count or ''}"
                self.stdout.write(f"    {label:>{wide}} | {drawn}".rstrip())
        self.stdout.write("")

    def _write_finding(self, finding: Finding, one: Diagnosis) -> None:
        self.stdout.write(f"  Finding ({finding.confidence} evidence): {report.observation(finding, one.unannounced)}")
        for culprit in finding.culprits:
            self.stdout.write(f"    {report.suspicion(culprit)}")
            self.stdout.write(f"      “{culprit.limit.says}” {culprit.limit.source}")
        for advised in report.advice(finding, one.transport):
            self.stdout.write(f"    > {advised}")
        self.stdout.write("")
