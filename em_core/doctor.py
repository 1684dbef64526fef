"""Is this machine fit for the work? Each finding has its fix; keys are named, never shown."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from em_core import machine
from em_core.errors import EMError
from em_core.home import PROJECT, Home
from em_core.plan import hardware

_KEYS = ("OPENAI_API_KEY", "HF_TOKEN", "ANTHROPIC_API_KEY")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    status: Literal["ok", "note", "broken"]
    what: str
    found: str
    fix: str = ""


def check(home: Home) -> list[Finding]:
    """Everything that a run needs, looked at now."""
    parts: list[Callable[[Home], list[Finding]]] = [_python, _packages, _gpu, _disk, _keys, _files, _database, _supervisor]
    findings: list[Finding] = []
    for part in parts:
        try:
            findings += part(home)
        except EMError as error:
            findings.append(Finding("broken", part.__name__.strip("_"), error.message, error.hint))
    return findings


def _python(home: Home) -> list[Finding]:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return [Finding("ok" if good else "broken", "python", platform.python_version(), "" if good else "use Python 3.11 to 3.13")]


def _packages(home: Home) -> list[Finding]:
    from packaging.requirements import Requirement

    findings = []
    for line in (PROJECT / "requirements.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        wanted = Requirement(line)
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding("broken", wanted.name, "missing", f"pip install '{line}'"))
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            findings.append(Finding("note", wanted.name, f"{found}, tested with {wanted.specifier}", f"pip install '{line}'"))
    return findings or [Finding("ok", "packages", "all of requirements.txt, within its bounds")]


def _gpu(home: Home) -> list[Finding]:
    found, problem = machine.ask_gpus()
    if problem:
        return [Finding("broken", "gpu", problem, "repair the NVIDIA driver")]
    if not found:
        return [Finding("note", "gpu", "no NVIDIA driver; runs use the CPU", "the organism needs no GPU; real models do")]
    return [
        Finding("ok", f"gpu {gpu.index}", f"{gpu.name}, {gpu.free_gib:.1f} of {gpu.total_gib:.1f} GiB free, driver {gpu.driver}")
        for gpu in found
    ]


def _disk(home: Home) -> list[Finding]:
    free_gib = hardware.disk_free_gib(home.root)
    fix = "" if free_gib >= 5 else "free disk space or choose another folder with --home"
    return [Finding("ok" if free_gib >= 5 else "note" if free_gib >= 0.5 else "broken", "disk", f"{free_gib:.1f} GiB free", fix)]


def _keys(home: Home) -> list[Finding]:
    return [
        Finding("ok", key, "set (not shown)")
        if os.environ.get(key)
        else Finding("note", key, "not set", f"export {key}=… if you use it")
        for key in _KEYS
    ]  # fmt: skip


def _files(home: Home) -> list[Finding]:
    if home.read_only:
        return [Finding("note", "home", "read-only demonstration: nothing is written, and nothing can be started")]
    try:
        home.prepare()
        with tempfile.NamedTemporaryFile(dir=home.runs):
            pass
    except OSError as error:
        return [Finding("broken", "home", f"{home.runs}: {error.strerror}", "choose a writable folder with --home")]
    return [Finding("ok", "home", str(home.root))]


def _database(home: Home) -> list[Finding]:
    from em_core.store import queries

    if not home.database.exists():
        return [Finding("note", "database", "not made yet", "`python -m em_core ingest` makes it")]
    runs = queries.runs(home)
    damaged = queries.quarantine(home)
    findings = [Finding("ok", "database", f"{len(runs)} runs")]
    if len(damaged):
        first = damaged.iloc[0]
        findings.append(
            Finding(
                "note", "quarantine", f"{len(damaged)} damaged lines, first {first['file']}", "their runs are otherwise whole"
            )
        )
    return findings


def _supervisor(home: Home) -> list[Finding]:
    from em_core.supervisor import is_running

    state = "running" if is_running(home) else "not running"
    return [Finding("ok", "supervisor", f"{state}; it starts by itself when a command or the app needs it")]
