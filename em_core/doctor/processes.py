"""Processes of ours: which belong to a run at work, and which are left over. None is ever ended here.

A process is ours when it runs as this user and its command line names a run (or the home) of this home, or when it
carries the token of a start that is written in a run's folder. It is left over when its run's folder is gone, when nobody
holds the run's lease, or when neither it, nor its session, nor a process that it came from does. A name alone proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from em_core import lease
from em_core.doctor.findings import Finding, Visit
from em_core.home import Home
from em_core.supervisor.evidence import run_names
from em_core.supervisor.marks import PROOF_VARIABLE, read_spawns

_LOOK_AGAIN_S = 1.0
_COMING_S = 60.0


@dataclass(frozen=True)
class Ours:
    """A process of this home.

    Args:
        pid: Its number.
        started_t: When it was started, seconds since 1970; with the pid it is one process and no other.
        kind: ``worker`` (or what a worker started), ``job`` (judging) or ``supervisor``.
        run_id: What it works on; empty for a supervisor.
        session: Its session, which a worker shares with what it starts.
        parents: The processes that it came from, the nearest first (ranks of a launcher have sessions of their own).
        holds: It has the lease's file open: it, or a process that it came from, was given the lease.
    """

    pid: int
    started_t: float
    kind: Literal["worker", "job", "supervisor"]
    run_id: str
    session: int
    parents: tuple[int, ...]
    holds: bool


def look(visit: Visit) -> Iterator[Finding]:
    """What is left over, looked at twice: a worker that is just ending is none."""
    home = visit.home
    found = ours(home)
    suspects = left_over(home, found)
    if suspects:
        time.sleep(_LOOK_AGAIN_S)
        found = ours(home)
        before = {(p.pid, p.started_t) for p in suspects}
        suspects = [p for p in left_over(home, found) if (p.pid, p.started_t) in before]
    for process in suspects:
        yield Finding(
            "broken",
            f"left-over {process.kind}",
            _words(home, process),
            f"look at it with `ps -fp {process.pid}`, then `kill {process.pid}`",
        )
    if not suspects:
        at_work = len({p.run_id for p in found if p.kind != "supervisor"})
        yield Finding("ok", "processes", f"{len(found)} of ours, {at_work} runs and jobs at work, none left over")


def ours(home: Home) -> list[Ours]:
    """Every process of this home."""
    import psutil

    tokens = {str(mark["token"]): name for name in run_names(home) for mark in read_spawns(home.runs / name) if mark.get("token")}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.uids().real == os.getuid() and (named := _named(process, home, tokens)):
                kind, run_id = named
                parents = tuple(parent.pid for parent in process.parents())
                holds = any(_has_open(process.pid, path) for path in _leases(home, kind, run_id))
                found.append(Ours(process.pid, process.create_time(), kind, run_id, os.getsid(process.pid), parents, holds))
    return sorted(found, key=lambda p: p.started_t)


def left_over(home: Home, found: Sequence[Ours]) -> list[Ours]:
    """Those of them that nobody needs."""
    gone = []
    for process in found:
        if process.kind == "supervisor":
            if not process.holds and time.time() - process.started_t > _COMING_S:
                gone.append(process)
            continue
        folder = home.runs / process.run_id
        if not folder.is_dir() or not lease.run_held(folder):
            gone.append(process)
            continue
        holding = [p for p in found if p.run_id == process.run_id and p.holds]
        near = {p.session for p in holding}, {p.pid for p in holding}
        if holding and process.session not in near[0] and not near[1] & {process.pid, *process.parents}:
            gone.append(process)
    return gone


def _leases(home: Home, kind: str, run_id: str) -> list[Path]:
    """The leases that such a process may hold."""
    return [home.supervisor / "lease"] if kind == "supervisor" else [home.runs / run_id / n for n in ("lease", "lease-ranks")]


def _named(process: object, home: Home, tokens: dict[str, str]) -> tuple[Literal["worker", "job", "supervisor"], str] | None:
    """What the process is, from its command line or its token; None when it is not of this home."""
    words: list[str] = process.cmdline()  # type: ignore[attr-defined]
    modules = {after for before, after in pairwise(words) if before == "-m"}  # a launcher has two
    if "em_core.worker" in modules and Path(words[-1]).parent == home.runs:
        return "worker", Path(words[-1]).name
    if "em_core.supervisor" in modules and _option(words, "--home") == str(home.root):
        return "supervisor", ""
    if (
        "em_core" in modules
        and "judge" in words
        and _option(words, "--home") == str(home.root)
        and (job := _option(words, "--job"))
    ):
        return "job", job
    if tokens and "python" in (words[0] if words else ""):
        run_id = tokens.get(process.environ().get(PROOF_VARIABLE, ""))  # type: ignore[attr-defined]
        return ("worker", run_id) if run_id else None
    return None


def _option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1] if name in words[:-1] else ""


def _has_open(pid: int, path: Path) -> bool:
    """Whether the process has this very file open (not one of that name which was deleted)."""
    try:
        wanted = path.stat()
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                there = os.stat(f"/proc/{pid}/fd/{number}")
                if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    except OSError:
        pass
    return lease.holder_pid(path) == pid


def _words(home: Home, process: Ours) -> str:
    age = f"started {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(process.started_t))}"
    if process.kind == "supervisor":
        return f"pid {process.pid}, {age}: does not hold the lease of {home.root}"
    folder = home.runs / process.run_id
    why = "nobody holds the run's lease" if folder.is_dir() else "the run's folder is gone"
    if folder.is_dir() and lease.run_held(folder):
        why = "another process holds the run's lease"
    return f"pid {process.pid} of {process.run_id}, {age}: {why}"


def holders(path: Path) -> list[str]:
    """Who has a lock file open, of the processes that this user can see: ``pid 12 python``."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.uids().real == os.getuid() and _has_open(process.pid, path):
                found.append(f"pid {process.pid} {process.name()}")
    return found
