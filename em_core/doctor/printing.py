"""Findings as a person reads them in a terminal: by topic, what is wrong first in the last lines, each fix under it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from em_core.doctor import TOPICS
from em_core.doctor.findings import Finding

_SIGNS = {"ok": "ok    ", "note": "note  ", "broken": "BROKEN", "fixed": "fixed "}


def text(findings: Sequence[Finding]) -> str:
    """All findings, then how many of each kind."""
    lines = []
    for topic, group in groupby(findings, key=lambda finding: finding.topic):
        lines.append(TOPICS.get(topic, topic))
        for finding in group:
            lines.append(f"  {_SIGNS[finding.status]}  {finding.what}: {finding.found}")
            if finding.fix:
                lines.append(f"          fix: {finding.fix}")
    return "\n".join([*lines, "", summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    """One sentence."""
    n = {status: sum(finding.status == status for finding in findings) for status in _SIGNS}
    parts = [f"{n['broken']} broken", f"{n['note']} to know", f"{n['ok']} ok"] + (
        [f"{n['fixed']} put right"] if n["fixed"] else []
    )
    return ", ".join(parts)
