"""What the event files say about a run's progress, read from their ends and remembered.

A file that has not changed is not opened again; one that grew is read from where we were; a big
file seen for the first time is read backwards until the last state of every phase is known.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_BLOCK = 1 << 16
_HEAD = 1 << 18
_REMEMBERED = 20_000
_STATE = b'{"kind": "state"'
_PROGRESS = (b'{"kind": "metric"', b'{"kind": "checkpoint"')
_FACTS = b'{"kind": "run_facts"'
_PHASES = frozenset(("run", "train", "evaluate", "judge"))


@dataclass(slots=True)
class FileFacts:
    """What one event file says.

    Args:
        states: Newest state event of each phase.
        step: Last optimizer step or checkpoint seen; None before the first.
        total_steps: From the run's facts; None before the model is loaded.
        baseline_run_id: The run that holds its step 0, from the same facts; empty before, or where there is none.
        mtime: When the file last grew, seconds since 1970.
    """

    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    step: int | None = None
    total_steps: int | None = None
    baseline_run_id: str = ""
    mtime: float = 0.0
    identity: tuple[int, int] = (0, 0)
    size: int = -1
    offset: int = 0


_cache: dict[str, FileFacts] = {}
_lock = threading.Lock()


def events_of(run_dir: Path) -> dict[str, FileFacts]:
    """Facts of every event file of a run, by file name."""
    found: dict[str, FileFacts] = {}
    try:
        with os.scandir(run_dir / "events") as entries:
            files = [(entry.name, entry.path, entry.stat()) for entry in entries if entry.name.endswith(".jsonl")]
    except OSError:
        return found
    for name, path, stat in files:
        try:
            found[name] = _facts(path, stat)
        except OSError:
            continue  # deleted in between
    return found


def _facts(path: str, stat: os.stat_result) -> FileFacts:
    identity = (stat.st_dev, stat.st_ino)
    with _lock:
        known = _cache.get(path)
        if known is not None and known.identity == identity and known.size == stat.st_size:
            return known
        grown = known is not None and known.identity == identity and known.size < stat.st_size
        facts = FileFacts(identity=identity)
        if grown and known is not None:
            facts = replace(known, states=dict(known.states))
        facts.mtime, facts.size = stat.st_mtime, stat.st_size
        with open(path, "rb") as file:
            (_read_on if grown or stat.st_size <= 2 * _BLOCK else _read_back)(file.fileno(), facts)
        if len(_cache) >= _REMEMBERED:
            _cache.clear()
        _cache[path] = facts
        return facts


def _read_on(fd: int, facts: FileFacts) -> None:
    rest = b""
    while block := os.pread(fd, min(_HEAD, facts.size - facts.offset - len(rest)), facts.offset + len(rest)):
        data = rest + block
        end = data.rfind(b"\n") + 1
        for line in data[:end].split(b"\n"):
            _note(line, facts, newest=True)
        rest = data[end:]
        facts.offset += end
        if facts.offset + len(rest) >= facts.size:
            break


def _read_back(fd: int, facts: FileFacts) -> None:
    """From the end to the front, one block at a time, until nothing older can matter."""
    position, rest, first = facts.size, b"", True
    while position > 0 and not _complete(facts):
        start = max(0, position - _BLOCK)
        data = os.pread(fd, position - start, start) + rest
        position = start
        if first:
            end = data.rfind(b"\n") + 1
            facts.offset = start + end
            data, first = data[:end], end == 0
        if start == 0:
            rest, whole = b"", data
        else:
            cut = data.find(b"\n") + 1
            rest, whole = (data[:cut], data[cut:]) if cut else (data, b"")
        for line in reversed(whole.split(b"\n")):
            _note(line, facts, newest=False)
            if _complete(facts):
                break
    if facts.total_steps is None:
        head = os.pread(fd, min(facts.offset, _HEAD), 0)
        start = head.find(b"\n" + _FACTS) + 1
        if start and (end := head.find(b"\n", start)) > 0:
            _note(head[start:end], facts, newest=False)


def _complete(facts: FileFacts) -> bool:
    return facts.step is not None and facts.states.keys() >= _PHASES


def _note(line: bytes, facts: FileFacts, *, newest: bool) -> None:
    if line.startswith(_STATE):
        event = _parse(line)
        if event is None or not isinstance(event.get("state"), str):
            return
        if newest or event.get("phase") not in facts.states:
            facts.states[str(event.get("phase"))] = event
    elif line.startswith(_PROGRESS):
        if (newest or facts.step is None) and (event := _parse(line)) is not None and isinstance(event.get("step"), int):
            facts.step = event["step"]
    elif line.startswith(_FACTS) and (newest or facts.total_steps is None) and (event := _parse(line)) is not None:
        facts.total_steps = event.get("total_steps")
        facts.baseline_run_id = str(event.get("baseline_run_id") or "")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
