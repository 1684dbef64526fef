"""The published database: there, readable, of this version, and not behind the events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from em_core import supervisor
from em_core.doctor.findings import Finding, Visit, command, counted, size, some
from em_core.home import Home
from em_core.lease import held
from em_core.store import checkup, publish, queries, reader

_FRESH_S = 60.0


def look(visit: Visit) -> Iterator[Finding]:
    """Opens, version, generation, totals, what it is behind, damaged lines, what was set aside."""
    home = visit.home
    if not home.database.exists():
        fix = "`python -m em_core ingest` makes it" if not home.read_only else "set EM_DATABASE to a published runs.duckdb"
        yield Finding("note" if not home.read_only else "broken", "database", "not made yet", fix)
        return
    if home.read_only:
        yield Finding("ok", "database", f"{len(queries.runs(home))} runs")
        return
    found = checkup.standing(home)
    n_bytes = home.database.stat().st_size
    text = f"{counted(found.n_runs, 'run')}, {found.n_events:,} events, {size(n_bytes)}, generation {reader.generation(home)}"
    yield Finding("ok", "database", text)
    if found.miscounted:
        text = f"totals of {counted(len(found.miscounted), 'run')} are not the sum of their rows: {some(list(found.miscounted))}"
        yield Finding("broken", "totals", text, "`python -m em_core rebuild` makes the database anew from the runs")
    yield from _behind(home, found)
    if found.replaced:
        names = some(list(found.replaced))
        text = f"{counted(len(found.replaced), 'run')} in the database without their folder, or with another: {names}"
        yield Finding("note", "runs", text, "`python -m em_core ingest` brings it up to date")
    yield from _quarantine(home)
    yield from _beside(home)


def _behind(home: Home, found: checkup.Standing) -> Iterator[Finding]:
    if not found.behind:
        yield Finding("ok", "up to date", "every whole line of every event file is in it")
        return
    n = sum(found.behind.values())
    newest = max((_mtime(home, key) for key in found.behind), default=0.0)
    text = f"{size(n)} of {counted(len(found.behind), 'event file')} not in it yet"
    if time.time() - newest < _FRESH_S and supervisor.is_running(home):
        yield Finding("ok", "up to date", f"{text}: written just now")
    else:
        fix = "`python -m em_core ingest` brings it up to date; read its error if it fails"
        yield Finding("note", "up to date", f"{text}, the newest for {max(0.0, time.time() - newest):,.0f} s", fix)


def _mtime(home: Home, key: str) -> float:
    where, rest = key.split("/", 1)
    try:
        return ((home.runs if where == "runs" else home.demo) / rest).stat().st_mtime
    except OSError:
        return 0.0


def _quarantine(home: Home) -> Iterator[Finding]:
    damaged = queries.quarantine(home)
    if len(damaged):
        files = sorted(set(damaged["file"]))
        first = damaged.iloc[0]
        where = f"{first['reason']} at byte {first['byte_offset']}"
        text = f"{counted(len(damaged), 'damaged line')} in {some(files)}; the first: {where}"
        fix = "nothing is lost but these lines; where a run ended whole, sampling and judging wrote them again"
        yield Finding("note", "quarantine", text, fix)


def _beside(home: Home) -> Iterator[Finding]:
    """Files beside the database: of somebody who opened it for writing, of killed publishers, set aside as damaged."""
    folder, name = home.database.parent, home.database.name
    wal = folder / f"{name}.wal"
    left = list(folder.glob(f"{name}.new-*"))
    if wal.exists():
        fix = (
            "close the program that opened runs.duckdb for writing; open it read-only, or a copy. The next publish drops the log"
        )
        yield Finding("note", "write-ahead log", f"{wal}: somebody opened the database for writing", fix)
    if left and not held(home.supervisor / "publish.lock"):
        n_bytes = sum(_size(path) for path in left)
        text = f"{counted(len(left), 'half-made database')} of killed publishers, {size(n_bytes)}"
        yield Finding("note", "half-made databases", text, "`doctor --fix`, or the next publish", repair=lambda: _remove(home))
    kept = sorted(folder.glob(f"{name}.bad-*"))
    if kept:
        names = some([path.name for path in kept])
        text = (
            f"{counted(len(kept), 'database')} set aside, damaged or of another version, {size(sum(map(_size, kept)))}: {names}"
        )
        yield Finding("note", "set aside", text, f"nothing in them is missing from the events: {command('rm', *kept)}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(home: Home) -> str:
    n, n_bytes = publish.remove_leftovers(home)
    return f"removed {counted(n, 'half-made database')}, {size(n_bytes)}" if n else "they are gone already"
