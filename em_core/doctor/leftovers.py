"""What killed commands left behind, and how large the trash is. Only half-made folders are ever removed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from em_core.doctor.disk import PREFIX
from em_core.doctor.findings import Finding, Visit, command, counted, size, some
from em_core.errors import Busy
from em_core.export import job
from em_core.home import Home
from em_core.importing import _staging
from em_core.lease import held
from em_core.supervisor import launch, trash_entries
from em_core.supervisor.start import launch_lock

_OLD_S = 600.0
_MUCH = 5 << 30


def look(visit: Visit) -> Iterator[Finding]:
    """Half-made runs, imports and trials; the trash."""
    home = visit.home
    found = False
    kinds: list[tuple[str, list[Path], Callable[[], str]]] = [
        ("half-made runs", _half_launched(home), lambda: _remove_launches(home)),
        ("half-made imports", _half_imported(home), lambda: _remove_imports(home)),
        ("trials of the doctor", _trials(home), lambda: _remove_trials(home)),
    ]
    for what, folders, repair in kinds:
        if folders:
            found = True
            text = f"{len(folders)}, {size(sum(map(trash_entries.size_bytes, folders)))}: {some([f.name for f in folders])}"
            yield Finding("note", what, text, "`doctor --fix` removes them", repair=repair)
    exports = job.left_overs()
    if exports:
        text = f"{counted(len(exports), 'export')} of ended apps, {size(sum(map(trash_entries.size_bytes, exports)))}"
        yield Finding("note", "temporary files", text, f"the next export removes them, or {command('rm', '-r', *exports)}")
    if not found and not exports:
        yield Finding("ok", "leftovers", "none")
    yield _trash(home)


def _trash(home: Home) -> Finding:
    n, n_bytes = len(trash_entries.names(home)), trash_entries.size_bytes(trash_entries.trash_dir(home))
    if not n:
        return Finding("ok", "trash", "empty")
    text = f"{counted(n, 'deleted run')}, {size(n_bytes)}"
    if n_bytes < _MUCH:
        return Finding("ok", "trash", text)
    return Finding("note", "trash", text, "`python -m em_core trash --empty` frees the room; they cannot come back then")


def _half_launched(home: Home) -> list[Path]:
    """Folders of launches that nobody is at: with the lock free, no launch is."""
    return [] if held(home.supervisor / "launch.lock") else sorted(home.runs.glob(f"{launch.BUILDING}*"))


def _remove_launches(home: Home) -> str:
    with launch_lock(home) as lock:
        if not lock.acquire():
            raise Busy("somebody launches a run at this moment", "try again")
        return f"removed {counted(launch.remove_leftovers(home), 'half-made folder')}; nothing of it was in the queue"


def _half_imported(home: Home) -> list[Path]:
    return [path for path in sorted(home.runs.glob(f"{_staging.PREFIX}*")) if not held(path / "lease") and _age_s(path) > 5]


def _remove_imports(home: Home) -> str:
    before = _half_imported(home)
    _staging.remove_left_overs(home)
    return f"removed {counted(sum(not path.exists() for path in before), 'half-made import')}; nothing of it was a run yet"


def _trials(home: Home) -> list[Path]:
    return [path for path in sorted(home.runs.glob(f"{PREFIX}*")) if _age_s(path) > _OLD_S]


def _remove_trials(home: Home) -> str:
    found = _trials(home)
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return f"removed {counted(len(found), 'trial')} of locks and renames"


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
