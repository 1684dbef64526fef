"""Event files: torn ends, blocks of zeros after a power cut, files nobody may read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from em_core.doctor.findings import Finding, Visit, command, counted, some
from em_core.lease import run_held
from em_core.store.ingest import Source, discover

_TAIL = 4096


@dataclass(frozen=True)
class _End:
    kind: Literal["whole", "torn", "zeros", "unreadable"]
    n_bytes: int = 0


def look(visit: Visit) -> Iterator[Finding]:
    """The end of every event file; a file that is being written may end anywhere."""
    home = visit.home
    sources = discover(home)
    ends: dict[str, list[tuple[Source, _End]]] = {"torn": [], "zeros": [], "unreadable": []}
    for source in sources:
        end = end_of(source.path)
        if end.kind != "whole" and not (end.kind == "torn" and run_held(home.runs / source.run_id)):
            ends[end.kind].append((source, end))
    torn, zeros, unreadable = (ends[kind] for kind in ("torn", "zeros", "unreadable"))
    if unreadable:
        text = f"{counted(len(unreadable), 'file')} cannot be read: {some([s.key for s, _ in unreadable])}"
        yield Finding("broken", "event files", text, command("chmod", "u+r", unreadable[0][0].path))
    if zeros:
        text = (
            f"{counted(len(zeros), 'file')} with zeros at the end, as a power cut leaves them: {some([s.key for s, _ in zeros])}"
        )
        fix = (
            "what comes before is whole; `resume` writes on in a file of its own, and answers that are missing are sampled again"
        )
        yield Finding("note", "event files", text, fix)
    if torn:
        n = sum(end.n_bytes for _, end in torn)
        text = f"{counted(len(torn), 'file')} with a torn last line ({n:,} bytes in all): {some([s.key for s, _ in torn])}"
        fix = "a writer was killed in that line, and nobody was told it was written; `resume` goes on, nothing else is to be done"
        yield Finding("note", "event files", text, fix)
    if not (unreadable or zeros or torn):
        yield Finding("ok", "event files", f"{len(sources)}, each ends with a whole line")


def end_of(path: Path) -> _End:
    """How a file ends, from its last 4 KiB."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            tail = file.read(_TAIL)
    except FileNotFoundError:
        return _End("whole")  # deleted in between
    except OSError:
        return _End("unreadable")
    if not tail or tail.endswith(b"\n"):
        return _End("whole")
    rest = tail[tail.rfind(b"\n") + 1 :]
    return _End("zeros" if not rest.strip(b"\0") else "torn", len(rest))
