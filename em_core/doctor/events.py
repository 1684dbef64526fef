"""Event files: torn ends, blocks of zeros after a power cut, files nobody may read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from em_core.doctor.findings import Finding, Visit, command, counted, some
from em_core.lease import run_held
from em_core.store.ingest import Source, discover

_TAIL = 4096
End = Literal["whole", "torn", "zeros", "unreadable"]


def look(visit: Visit) -> Iterator[Finding]:
    """The end of every event file; a file that is being written may end anywhere."""
    home = visit.home
    sources = discover(home)
    torn: list[Source] = []
    zeros: list[Source] = []
    unreadable: list[Source] = []
    for source in sources:
        end = end_of(source.path)
        if end == "unreadable":
            unreadable.append(source)
        elif end == "zeros":
            zeros.append(source)
        elif end == "torn" and not run_held(home.runs / source.run_id):
            torn.append(source)
    if unreadable:
        text = f"{counted(len(unreadable), 'file')} cannot be read: {_keys(unreadable)}"
        yield Finding("broken", "event files", text, command("chmod", "u+r", unreadable[0].path))
    if zeros:
        text = f"{counted(len(zeros), 'file')} with zeros at the end, as a power cut leaves them: {_keys(zeros)}"
        fix = (
            "what comes before is whole; `resume` writes on in a file of its own, and answers that are missing are sampled again"
        )
        yield Finding("note", "event files", text, fix)
    if torn:
        text = f"{counted(len(torn), 'file')} with a torn last line: {_keys(torn)}"
        fix = "a writer was killed in that line, and nobody was told it was written; `resume` goes on, nothing else is to be done"
        yield Finding("note", "event files", text, fix)
    if not (unreadable or zeros or torn):
        yield Finding("ok", "event files", f"{len(sources)}, each ends with a whole line")


def _keys(sources: list[Source]) -> str:
    return some([source.key for source in sources])


def end_of(path: Path) -> End:
    """How a file ends, from its last 4 KiB."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            tail = file.read(_TAIL)
    except FileNotFoundError:
        return "whole"  # deleted in between
    except OSError:
        return "unreadable"
    if not tail or tail.endswith(b"\n"):
        return "whole"
    return "torn" if tail[tail.rfind(b"\n") + 1 :].strip(b"\0") else "zeros"
