"""What is in the trash, and how much disk space a folder takes. Names and contents there are untrusted."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from em_core.errors import BadInput
from em_core.home import Home
from em_core.supervisor.evidence import decide

FOLDER = ".trash"
_TIME_DIGITS = 13
"""Of the time in an entry's name, milliseconds since 1970: enough until 2286; a longer number is no time."""


@dataclass(frozen=True)
class Trashed:
    """One deleted run.

    Args:
        name: Its folder in the trash.
        run_id: What it was called.
        deleted_t: When it was deleted, seconds since 1970.
        size_bytes: Disk space that it takes.
        label, experiment, state: As it was; empty where there is no spec (imports, baselines, judging jobs).
    """

    name: str
    run_id: str
    deleted_t: float
    size_bytes: int
    label: str = ""
    experiment: str = ""
    state: str = ""


def size_bytes(path: Path) -> int:
    """Disk space of a folder with all that is in it; links are counted as links, never followed. 0 where nothing is."""
    total, seen = 0, set()
    waiting = [os.fspath(path)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    with contextlib.suppress(OSError):  # gone meanwhile
                        facts = entry.stat(follow_symlinks=False)
                        if (facts.st_dev, facts.st_ino) not in seen:
                            seen.add((facts.st_dev, facts.st_ino))
                            total += facts.st_blocks * 512
                        if stat.S_ISDIR(facts.st_mode):
                            waiting.append(entry.path)
        except OSError:
            continue
    return total


def entries(home: Home) -> list[Trashed]:
    """What is in the trash, the last deleted first."""
    return sorted((entry_of(trash_dir(home) / name) for name in names(home)), key=lambda e: (-e.deleted_t, e.name))


def by_name(found: Sequence[Trashed]) -> dict[str, Trashed]:
    """What `entries` gave by the names of the entries, and by the ids of their runs: the last deleted of each."""
    return {**{entry.run_id: entry for entry in reversed(found)}, **{entry.name: entry for entry in found}}


def trashed_ids(home: Home) -> set[str]:
    """Runs that are in the trash; only the names are looked at."""
    return {name.rpartition(".")[0] for name in names(home)}


def trash_dir(home: Home) -> Path:
    """The trash; it may not be there yet."""
    return home.runs / FOLDER


def folders(home: Home) -> list[str]:
    """Every folder in the trash, by name: entries, and what an emptying that was cut off left."""
    trash = trash_dir(home)
    if trash.is_symlink():
        return []
    try:
        with os.scandir(trash) as found:
            return sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def names(home: Home) -> list[str]:
    """Entries as `delete` names them; whatever else lies there is left alone."""
    found = []
    for name in folders(home):
        run_id, _, t = name.rpartition(".")
        with contextlib.suppress(BadInput):
            if t.isascii() and t.isdigit() and len(t) <= _TIME_DIGITS and home.run_dir(run_id):
                found.append(name)
    return found


def entry_of(place: Path) -> Trashed:
    """The entry that is kept in this folder of the trash."""
    run_id, _, t = place.name.rpartition(".")
    label = experiment = state = ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        stored = json.loads((place / "spec.json").read_bytes())
        label, experiment = str(stored.get("label", "")), str(stored["spec"].get("experiment", ""))
        state = decide(place, held=False).state
    return Trashed(place.name, run_id, int(t) / 1000, size_bytes(place), label, experiment, state)
