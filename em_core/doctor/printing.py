"""Findings as a person reads them in a terminal: by topic, each with its fix under it, and the counts last."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from em_core.doctor import TOPICS
from em_core.doctor.findings import Finding

_ORDER = {"broken": 0, "fixed": 1, "note": 2, "ok": 3}
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


def by_topic(findings: Sequence[Finding], *, fine: bool) -> list[tuple[str, list[Finding]]]:
    """Titles of the topics with those of their findings that are `fine`, or that are not, the worst first."""
    groups = []
    for topic, group in groupby(findings, key=lambda finding: finding.topic):
        chosen = [finding for finding in group if (finding.status == "ok") == fine]
        if chosen:
            groups.append((TOPICS.get(topic, topic), sorted(chosen, key=lambda finding: _ORDER[finding.status])))
    return sorted(groups, key=lambda each: min(_ORDER[finding.status] for finding in each[1]))


def summary(findings: Sequence[Finding]) -> str:
    """One sentence."""
    n = {status: sum(finding.status == status for finding in findings) for status in _SIGNS}
    parts = [f"{n['broken']} broken", f"{n['note']} to know", f"{n['ok']} ok"] + (
        [f"{n['fixed']} put right"] if n["fixed"] else []
    )
    return ", ".join(parts)
