"""Deleting runs: a run's folder goes to ``runs/.trash`` by one rename, and comes back by one.

    delete(home, ["r1", "r2"])        runs/r1 -> runs/.trash/r1.<milliseconds>; refused for runs at work
    entries(home), restore(home, *names), empty(home)

The rename happens under the run's lease, so that no worker can be at it; all of the runs that are asked
for go, or none. A crash in between leaves every run whole in one of the two places. The database follows
the folders: rows of a run that is gone go, and come back with it. What is emptied is renamed first
(``.gone-…``), so that half a run is never restored.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from em_core import evaluate_job
from em_core.durable import sync
from em_core.errors import BadInput, Busy, EMError, Refused, WorkFailed
from em_core.home import Home
from em_core.lease import Lease, held
from em_core.store.publish import publish
from em_core.supervisor.evidence import RunStatus, list_runs, run_status
from em_core.supervisor.start import launch_lock, wake
from em_core.supervisor.trash_entries import (
    Trashed,
    by_name,
    entries,
    entry_of,
    folders,
    names,
    size_bytes,
    trash_dir,
    trashed_ids,
)

__all__ = ["Trashed", "by_name", "delete", "empty", "entries", "folder_of", "restore", "size_bytes", "trashed_ids"]

log = logging.getLogger("em_core.supervisor")

_GONE = ".gone-"
_NAMED = 5
_LEASES = ("lease-ranks", evaluate_job.LEASE)
"""Besides its own: held by what is left of a run on several GPUs, and by an evaluation of it."""


def delete(home: Home, run_ids: Sequence[str], *, force: bool = False) -> list[Trashed]:
    """Move runs to the trash, all of them or none. A queued run leaves the queue.

    Args:
        home: Where they are.
        run_ids: Runs, imports, judging jobs or baselines: folders of ``runs/``.
        force: Also runs that others start from or take their step 0 from.

    Returns:
        One entry per run, in order.

    Raises:
        BadInput: There is no such run, it is a link, or it cannot be moved.
        Busy: One of them is at work, or others that stay need it (and not `force`).
        Refused: It belongs to the shipped demonstration; or all is read-only here.
    """
    home.writable("Deleting runs")
    wanted = list(dict.fromkeys(run_ids))
    if not wanted:
        raise BadInput("no run is named", "`python -m em_core runs` lists the ids")
    moved: list[tuple[Path, Path]] = []
    with _no_launch(home):  # so that nobody starts from a run that goes
        sources = [folder_of(home, run_id) for run_id in wanted]
        statuses = list_runs(home)
        _refuse_active([status for status in statuses if status.run_id in wanted])
        if not force:
            _refuse_needed(wanted, statuses)
        trash = _made(home)
        try:
            for folder in sources:
                moved.append((folder, _move(folder, trash)))
        except BaseException:
            for folder, place in reversed(moved):
                os.rename(place, folder)
            raise
        _synced(home.runs, trash)
    wake(home)
    _database_follows(home)
    return [entry_of(place) for _, place in moved]


def restore(home: Home, *wanted: str) -> list[Trashed]:
    """Bring runs back, each with the run that holds its step 0 if that was deleted too. What was queued is queued again.

    Args:
        home: Where they were.
        wanted: Entries, or ids of runs (the last deleted of that name).

    Returns:
        What came back, each run before the one that holds its step 0.

    Raises:
        BadInput: One of them is not in the trash; nothing is restored then.
        Busy: A run of the same name is there by now, or wanted twice; nothing is restored then.
    """
    home.writable("Restoring a run")
    with _no_launch(home):
        there = by_name(entries(home))
        if unknown := [name for name in wanted if name not in there]:
            raise BadInput(f"{unknown[0]!r} is not in the trash", "`python -m em_core trash` lists what is")
        coming: dict[str, Trashed] = {}
        for entry in dict.fromkeys(there[name] for name in wanted):
            if entry.run_id in coming:
                raise Busy(f"{entry.run_id}: was deleted more than once, and one alone can come back", "name one of them")
            coming[entry.run_id] = entry
        for run_id, entry in coming.items():
            if os.path.lexists(home.run_dir(run_id)):
                raise Busy(f"{run_id}: a run of that name is there again", f"delete that one first, then restore {entry.name}")
        restored: dict[str, Trashed] = {}
        for run_id, entry in coming.items():
            if run_id in restored:
                continue  # as another one's step 0
            _bring_back(home, entry)
            restored[run_id] = entry
            baseline = run_status(home.run_dir(run_id)).baseline_run
            shared = coming.get(baseline) or there.get(baseline)
            if shared is not None and not os.path.lexists(home.run_dir(baseline)):
                _bring_back(home, shared)
                restored[baseline] = shared
        _synced(home.runs, trash_dir(home))
    wake(home)
    _database_follows(home)
    return list(restored.values())


def empty(home: Home, only: Iterable[str] | None = None) -> int:
    """Remove what is in the trash for good.

    Args:
        home: Whose trash.
        only: Names of the entries to remove; None = all.

    Returns:
        Bytes of disk space that were freed.

    Raises:
        BadInput: An entry is not there.
        WorkFailed: Something could not be removed; the message says how much was.
    """
    home.writable("Emptying the trash")
    there, trash = names(home), trash_dir(home)
    wanted = there if only is None else list(dict.fromkeys(only))
    if unknown := [name for name in wanted if name not in there]:
        raise BadInput(f"{unknown[0]!r} is not in the trash", "`python -m em_core trash` lists what is")
    freed = 0
    doomed = [trash / name for name in folders(home) if name.startswith(_GONE)]  # of an emptying that was cut off
    try:
        for name in wanted:
            os.rename(trash / name, trash / f"{_GONE}{name}")
            doomed.append(trash / f"{_GONE}{name}")
        for folder in doomed:
            size = size_bytes(folder)
            shutil.rmtree(folder)
            freed += size
    except OSError as error:
        raise WorkFailed(
            f"{error.filename or trash}: cannot be removed ({error.strerror}); {freed / 2**20:.1f} MiB were freed",
            "make it writable, then empty the trash again",
        ) from error
    return freed


def _database_follows(home: Home) -> None:
    """Bring the database up to date with the folders, now; where that fails, a supervisor does it later."""
    try:
        publish(home)
    except EMError as error:
        log.warning("the database does not show it yet: %s", error.message)


@contextlib.contextmanager
def _no_launch(home: Home) -> Iterator[None]:
    """Nobody launches, deletes or restores meanwhile."""
    home.prepare()
    with launch_lock(home) as lock:
        if not lock.acquire(blocking=True, timeout_s=60):
            raise Busy("a launch has been at work for a minute", "try again")
        yield


def folder_of(home: Home, run_id: str) -> Path:
    """The folder that `delete` would move.

    Raises:
        BadInput, Refused: As `delete`.
    """
    folder = home.run_dir(run_id)
    if folder.is_symlink():
        raise BadInput(f"{run_id}: is a link to another place, not a run's folder", f"remove the link by hand: {folder}")
    if folder.is_dir() and ((folder / "spec.json").is_file() or (folder / "events").is_dir() or (folder / "lease").exists()):
        return folder
    if folder.is_dir():
        raise BadInput(f"{run_id}: is a folder without a spec and without events, no run", f"remove it by hand: {folder}")
    if (home.demo / run_id).is_dir():
        raise Refused(
            f"{run_id}: belongs to the demonstration that ships with the workbench, which cannot be deleted",
            "set EM_NO_DEMO=1 to leave the demonstration out",
        )
    if run_id in trashed_ids(home):
        raise BadInput(f"{run_id}: is in the trash already", f"`python -m em_core trash --restore {run_id}` brings it back")
    raise BadInput(f"run {run_id!r} is unknown", "`python -m em_core runs` lists the ids")


def _refuse_active(statuses: Sequence[RunStatus]) -> None:
    active = [status.run_id for status in statuses if status.active]
    if active:
        raise Busy(
            f"{_listed(active)}: at work; nothing was deleted",
            f"stop first: `python -m em_core stop {active[0]}`" + (" and the others" if len(active) > 1 else ""),
        )


def _refuse_needed(wanted: Sequence[str], statuses: Sequence[RunStatus]) -> None:
    """Runs that stay and need one that goes: they start from its checkpoint, or its answers are their step 0."""
    going = set(wanted)
    for what, of in (("need", "parent_run"), ("take their step 0 from", "baseline_run")):
        needing = [
            s for s in statuses if s.run_id not in going and getattr(s, of) in going and not (s.final and s.kind != "train")
        ]
        if needing:
            raise Busy(
                f"{getattr(needing[0], of)}: {_listed([s.run_id for s in needing])} {what} it; nothing was deleted",
                "delete those too, or say that it goes all the same: --force",
            )


def _listed(run_ids: Sequence[str]) -> str:
    more = f" and {len(run_ids) - _NAMED} more" if len(run_ids) > _NAMED else ""
    return ", ".join(run_ids[:_NAMED]) + more


def _made(home: Home) -> Path:
    trash = trash_dir(home)
    try:
        trash.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"{trash}: cannot be made ({error.strerror})", "make the folder of runs writable") from error
    if trash.is_symlink():
        raise BadInput(f"{trash}: is a link; runs are only moved within their own folder", "remove the link")
    return trash


def _move(folder: Path, trash: Path) -> Path:
    """One rename, under the run's lease."""
    if (folder / "lease").is_symlink():
        raise BadInput(f"{folder.name}: its lease is a link to another file; nothing was deleted", "remove the link by hand")
    with Lease(folder / "lease") as lease:
        if not lease.acquire() or any(held(folder / name) for name in _LEASES):
            raise Busy(f"{folder.name}: at work; nothing was deleted", f"stop first: `python -m em_core stop {folder.name}`")
        t = round(time.time() * 1000)
        while os.path.lexists(place := trash / f"{folder.name}.{t}"):
            t += 1
        try:
            os.rename(folder, place)
        except OSError as error:
            where = "is on another disk" if error.errno == errno.EXDEV else error.strerror
            raise BadInput(
                f"{folder.name}: cannot be moved to the trash ({where}); nothing was deleted",
                "make the folder of runs writable" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else "",
            ) from error
        return place


def _bring_back(home: Home, entry: Trashed) -> None:
    try:
        os.rename(trash_dir(home) / entry.name, home.run_dir(entry.run_id))
    except OSError as error:
        raise BadInput(f"{entry.name}: cannot be restored ({error.strerror})", "make the folder of runs writable") from error


def _synced(*folders: Path) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            sync(folder)
