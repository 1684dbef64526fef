"""Is this machine fit for the work, and is what it has made whole? Each finding has its fix; keys are named, never shown.

    doctor.check(home)                            quick, changes nothing, stays on this machine
    doctor.check(home, deep=True, online=True)    every event, every digest; judges' servers and the Hub
    doctor.repair(findings)                       removes what is half-made and nobody's; nothing of value, starts nothing

One module per topic; each has a ``look(visit)`` that yields findings.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from em_core.doctor.findings import Finding, Status, Visit
from em_core.errors import BadInput, EMError
from em_core.home import Home

__all__ = ["TOPICS", "Finding", "Status", "Visit", "check", "repair", "worst"]

TOPICS: dict[str, str] = {
    "software": "Python and packages",
    "cuda": "CUDA and driver",
    "gpus": "GPUs",
    "host": "Memory and limits",
    "folders": "Folders and permissions",
    "disk": "Disk",
    "keys": "Keys",
    "endpoints": "Judges' servers",
    "hub": "Hugging Face Hub",
    "database": "Database",
    "consistency": "Database against events",
    "events": "Event files",
    "checkpoints": "Checkpoints",
    "supervision": "Supervisor and queue",
    "processes": "Processes",
    "clock": "Clock",
    "leftovers": "Leftovers",
}
"""What is looked at, in order: the module's name and its title."""
_NOT_IN_A_DEMONSTRATION = frozenset({"disk", "events", "checkpoints", "consistency", "supervision", "processes", "leftovers"})


def check(
    home: Home,
    *,
    deep: bool = False,
    online: bool = False,
    topics: Collection[str] | None = None,
    tell: Callable[[str], object] | None = None,
) -> list[Finding]:
    """Look at everything that a run needs, now.

    Args:
        home: Whose runs.
        deep: See `Visit`.
        online: See `Visit`.
        topics: Only these (keys of `TOPICS`); None = all.
        tell: Told the title of each topic as it begins.

    Returns:
        Findings in the order of `TOPICS`; at least one a topic, save where a read-only demonstration has nothing to look at.

    Raises:
        BadInput: A topic is unknown.
    """
    wanted = list(TOPICS) if topics is None else list(topics)
    if unknown := [name for name in wanted if name not in TOPICS]:
        raise BadInput(f"doctor: {unknown[0]!r} is no topic", f"choose from {', '.join(TOPICS)}")
    if home.read_only:
        wanted = [name for name in wanted if name not in _NOT_IN_A_DEMONSTRATION]
    visit = Visit(home, deep, online)
    findings: list[Finding] = []
    for name in TOPICS:
        if name in wanted:
            if tell:
                tell(TOPICS[name])
            findings += [replace(finding, topic=name) for finding in _look(name, visit)]
    return findings


def repair(findings: Iterable[Finding]) -> list[Finding]:
    """Do the safe repairs; returns all findings, those that were put right with status ``fixed`` and what was done."""
    return [_repaired(finding) if finding.repair else finding for finding in findings]


def worst(findings: Iterable[Finding]) -> Status:
    """``broken`` when anything is, else ``note``, else ``ok``."""
    there = {finding.status for finding in findings}
    return next((status for status in ("broken", "note") if status in there), "ok")  # type: ignore[return-value]


def _look(name: str, visit: Visit) -> list[Finding]:
    """One topic; whatever goes wrong in it is a finding, so that a sick machine still gets the rest of the list."""
    found: list[Finding] = []
    try:
        for finding in importlib.import_module(f"em_core.doctor.{name}").look(visit):
            found.append(finding)
    except EMError as error:
        found.append(Finding("broken", TOPICS[name].lower(), error.message, error.hint))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        found.append(Finding("broken", TOPICS[name].lower(), f"{where}{error.strerror or error}", "see that it can be read"))
    except Exception as error:
        text = f"could not be looked at: {type(error).__name__}: {error}"
        found.append(Finding("broken", TOPICS[name].lower(), text, f"a bug: please report it, with `doctor --only {name}`"))
    return found


def _repaired(finding: Finding) -> Finding:
    assert finding.repair is not None
    try:
        return replace(finding, status="fixed", found=finding.repair(), fix="", repair=None)
    except EMError as error:
        return replace(finding, found=f"{finding.found}; not repaired: {error.message}", fix=error.hint or finding.fix)
    except OSError as error:
        return replace(finding, found=f"{finding.found}; not repaired: {error.strerror or error}")
