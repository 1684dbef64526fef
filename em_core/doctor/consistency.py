"""Does the database hold exactly what the events say? Only with `deep`: every event file is read again."""

from __future__ import annotations

import time
from collections.abc import Iterator

from em_core.doctor.findings import Finding, Visit, counted, some
from em_core.store import checkup

_REBUILD = "`python -m em_core rebuild` makes the database anew from the runs; nothing is lost"
_SHOWN = 10


def look(visit: Visit) -> Iterator[Finding]:
    """All columns of all rows, run by run and table by table."""
    if not visit.home.database.exists():
        yield Finding("note", "equality", "there is no database to compare", "`python -m em_core ingest` makes it")
        return
    if not visit.deep:
        yield Finding("ok", "equality", "not looked at; `doctor --deep` reads every event again")
        return
    start = time.perf_counter()
    found = checkup.compare(visit.home)
    seconds = time.perf_counter() - start
    for difference in found.differences[:_SHOWN]:
        yield Finding("broken", f"{difference.run_id}: {difference.table}", _words(difference), _REBUILD)
    if (rest := len(found.differences) - _SHOWN) > 0:
        yield Finding("broken", "equality", f"{rest} more tables of runs differ", _REBUILD)
    for file, lines, stored in found.quarantine[:_SHOWN]:
        text = f"{counted(lines, 'damaged line')}, {stored} in the quarantine"
        yield Finding("broken", file, text, _REBUILD)
    if found.left_out:
        text = f"{counted(len(found.left_out), 'file')} shorter than when read, or gone: {some(list(found.left_out))}"
        yield Finding(
            "note", "not compared", text, "put the files back from a backup, or `python -m em_core rebuild` without them"
        )
    if not found.differences and not found.quarantine:
        text = f"the database equals the events: {found.n_rows:,} rows compared in all columns, {seconds:.1f} s"
        yield Finding("ok", "equality", text)


def _words(difference: checkup.Difference) -> str:
    counts = f"{difference.n_events:,} events, {difference.n_rows:,} rows"
    if difference.missing is None:
        return f"{counts}: they differ"
    parts = [f"{n:,} {what}" for n, what in ((difference.missing, "missing"), (difference.surplus, "too many")) if n]
    return f"{counts}: {' and '.join(parts) or 'the order differs'}" + (
        f", first {difference.example}" if difference.example else ""
    )
