"""Checkpoints and resume states: half-made, damaged, left over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from em_core.checkpoints import COMPLETE, RESUME, read_complete
from em_core.doctor.findings import Finding, Visit, command, counted, size, some
from em_core.errors import Busy
from em_core.lease import Lease, run_held
from em_core.supervisor.evidence import run_names, run_status
from em_core.supervisor.trash_entries import size_bytes


@dataclass
class _Found:
    """What lies in the folders ``checkpoints`` and ``resume`` of all runs."""

    n_whole: int = 0
    n_bytes: int = 0
    half_made: list[Path] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)
    temporary: list[Path] = field(default_factory=list)
    states: list[Path] = field(default_factory=list)
    states_damaged: list[Path] = field(default_factory=list)


def look(visit: Visit) -> Iterator[Finding]:
    """Sizes are compared with each ``COMPLETE.json``; with `deep` every file's digest is, too."""
    runs = visit.home.runs
    found = _Found()
    for name in sorted(run_names(visit.home)):
        _collect(runs / name, visit.deep, found)
    how = "sizes and digests agree" if visit.deep else "sizes agree (`--deep` compares digests)"
    if found.damaged:
        text = f"{counted(len(found.damaged), 'checkpoint')} not as {COMPLETE} says: {some(_short(runs, found.damaged))}"
        fix = f"they are passed over; `resume` goes on from an earlier one; then {command('rm', '-r', found.damaged[0])}"
        yield Finding("broken", "checkpoints", text, fix)
    else:
        yield Finding("ok", "checkpoints", f"{found.n_whole}, {size(found.n_bytes)}; {how}")
    if found.half_made:
        text = f"{counted(len(found.half_made), 'folder')} without {COMPLETE}: {some(_short(runs, found.half_made))}"
        yield Finding(
            "note",
            "half-made checkpoints",
            text,
            f"they are passed over; {command('rm', '-r', found.half_made[0])} if you don't need it",
        )
    if found.temporary:
        n_bytes = sum(map(size_bytes, found.temporary))
        text = f"{counted(len(found.temporary), 'temporary folder')} of killed workers, {size(n_bytes)}"
        yield Finding(
            "note", "temporary folders", text, "`doctor --fix` removes them", repair=lambda: remove_temporary(found.temporary)
        )
    yield from _states(runs, found)


def _states(runs: Path, found: _Found) -> Iterator[Finding]:
    """Resume states: of ended runs they only take room, of others they are what `resume` needs."""
    finished = [path for path in found.states if run_status(path.parents[1]).state == "finished"]
    if finished:
        text = f"{size(sum(map(size_bytes, finished)))} of finished runs, which need none: {some(_short(runs, finished))}"
        yield Finding("note", "resume states", text, f"{command('rm', '-r', finished[0].parent)} and the like")
    if found.states_damaged:
        text = f"{counted(len(found.states_damaged), 'damaged one')}: {some(_short(runs, found.states_damaged))}"
        fix = "`resume` passes over them and goes on from an earlier checkpoint, or begins anew"
        yield Finding("note", "resume states", text, fix)
    rest = [path for path in found.states if path not in finished]
    if rest and not found.states_damaged:
        yield Finding("ok", "resume states", f"{len(rest)}, {size(sum(map(size_bytes, rest)))}: what `resume` goes on from")


def _collect(run_dir: Path, deep: bool, found: _Found) -> None:
    at_work: bool | None = None
    for folder, whole, damaged in (("checkpoints", None, found.damaged), (RESUME, found.states, found.states_damaged)):
        for entry in _entries(run_dir / folder):
            path = Path(entry.path)
            if entry.name.startswith(".step-") and entry.name.endswith(".tmp"):
                at_work = run_held(run_dir) if at_work is None else at_work
                if not at_work:
                    found.temporary.append(path)
            elif entry.name.startswith("."):
                continue
            elif checkpoint := read_complete(path, verify_sha256=deep):
                if whole is None:
                    found.n_whole += 1
                    found.n_bytes += checkpoint.size_bytes
                else:
                    whole.append(path)
            elif (path / COMPLETE).exists():
                damaged.append(path)
            elif path.exists():  # else it was pruned in between
                found.half_made.append(path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if e.is_dir(follow_symlinks=False)), key=lambda e: e.name)
    except OSError:
        return []


def remove_temporary(folders: list[Path]) -> str:
    """Remove temporary checkpoint folders, each under its run's lease, so that no worker is in the middle of one.

    Raises:
        Busy: A run of them has a worker now; the others' are gone.
    """
    n, n_bytes, busy = 0, 0, []
    for path in folders:
        run_dir = path.parents[1]
        with Lease(run_dir / "lease") as lease:
            if run_held(run_dir) or not lease.acquire():
                busy.append(run_dir.name)
                continue
            n_bytes += size_bytes(path)
            shutil.rmtree(path)
            n += 1
    done = f"removed {counted(n, 'temporary folder')}, {size(n_bytes)}"
    if busy:
        raise Busy(f"{done}; {some(busy)} is at work", "try again when it has ended")
    return done


def _short(runs: Path, paths: list[Path]) -> list[str]:
    return [str(path.relative_to(runs)) for path in paths]
