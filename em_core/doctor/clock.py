"""The clock: events of the future, and a disk whose clock is another one."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from em_core.doctor.findings import Finding, Visit, counted, some
from em_core.store.ingest import discover

_SLACK_S = 60.0
_FIX = "set the clock (`timedatectl set-ntp true`). Results do not depend on it: attempts are counted; charts over time do"


def look(visit: Visit) -> Iterator[Finding]:
    """Newest times of files against now, and the time that the home's disk gives to a new file."""
    home, now = visit.home, time.time()
    ahead: dict[str, float] = {}
    for source in discover(home):
        with contextlib.suppress(OSError):
            if (s := source.path.stat().st_mtime - now) > _SLACK_S:
                ahead[source.run_id] = max(s, ahead.get(source.run_id, 0.0))
    if ahead:
        most = max(ahead.values())
        names = f"{counted(len(ahead), 'run')} ({some(sorted(ahead))})"
        text = f"events of {names} are of the future, by {most:,.0f} s: the clock was set back"
        yield Finding("note", "clock", text, _FIX)
    else:
        yield Finding("ok", "clock", time.strftime("%Y-%m-%d %H:%M:%S UTC, no event is newer", time.gmtime(now)))
    if home.read_only or not home.runs.is_dir():
        return
    with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=home.runs, prefix=".doctor-") as file:
        skew = Path(file.name).stat().st_mtime - time.time()
        if abs(skew) > _SLACK_S:
            text = f"the disk's clock is {abs(skew):,.0f} s {'ahead' if skew > 0 else 'behind'}"
            yield Finding("note", "clock of the disk", text, "set the file server's clock")
