"""The disk under the home: room, inodes, and whether locks and renames work there as every run relies on."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from em_core.doctor.findings import Finding, Visit, size
from em_core.durable import sync
from em_core.lease import Lease, held
from em_core.plan import hardware

PREFIX = ".doctor-"
"""Of the folders in ``runs/`` in which locks and renames are tried."""
_ENOUGH, _LEAST = 5 << 30, 512 << 20
_FEW_INODES = 10_000
_SLOW_SYNC_S = 0.25
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "ceph",
    "gluster",
    "lustre",
    "gpfs",
    "beegfs",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.rclone",
)
_GONE = ("tmpfs", "ramfs", "devtmpfs")
_ELSEWHERE = "choose a folder on a local disk with --home or EM_HOME"


def look(visit: Visit) -> Iterator[Finding]:
    """Room where runs, models and temporary files go; then real locks, renames and flushes in the home."""
    home = visit.home
    places = {"disk": home.root, "disk of models": _models(), "disk of temporary files": Path(tempfile.gettempdir())}
    seen: set[int] = set()
    for what, folder in places.items():
        folder = hardware.existing(folder)
        device = folder.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield _room(what, folder)
    yield from _inodes(hardware.existing(home.root))
    yield from _kind(hardware.existing(home.root))
    if not home.runs.is_dir():
        return  # `folders` says so
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=home.runs) as folder_name:
            yield from trials(Path(folder_name))
    except OSError as error:
        yield Finding("broken", "writing", f"{home.runs}: {error.strerror}", "free disk space, or make the folder writable")


def trials(folder: Path) -> Iterator[Finding]:
    """Try in an empty folder what the workbench relies on; each trial is real."""
    yield _locks(folder)
    yield _rename(folder)
    yield _flush(folder)


def _models() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _room(what: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    status = "ok" if free >= _ENOUGH else "note" if free >= _LEAST else "broken"
    fix = "" if status == "ok" else "free disk space (`python -m em_core trash` shows what was deleted), or another --home"
    return Finding(status, what, f"{size(free)} free at {folder}", fix)  # type: ignore[arg-type]


def _inodes(folder: Path) -> Iterator[Finding]:
    facts = os.statvfs(folder)
    if facts.f_files and facts.f_favail < _FEW_INODES:  # some file systems count none
        broken = facts.f_favail < 100
        text = f"room for {facts.f_favail:,} more files at {folder}"
        yield Finding("broken" if broken else "note", "inodes", text, "remove many small files there, or choose another --home")


def _kind(folder: Path) -> Iterator[Finding]:
    kind = file_system(folder, _mounts())
    if kind.startswith(_NETWORK):
        text = f"{folder} is on a network file system ({kind}): locks and renames may not hold, and it is slow"
        yield Finding("note", "file system", text, _ELSEWHERE)
    elif kind in _GONE:
        yield Finding("note", "file system", f"{folder} is in memory ({kind}): all runs are lost at a restart", _ELSEWHERE)
    else:
        yield Finding("ok", "file system", kind or "not known")


def _mounts() -> list[tuple[str, str]]:
    """Mount points and their kinds."""
    try:
        lines = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [(parts[1].replace("\\040", " "), parts[2]) for line in lines if len(parts := line.split(" ")) > 2]


def file_system(folder: Path, mounts: list[tuple[str, str]]) -> str:
    """Kind of the file system that holds a folder: of the longest mount point above it, the last one mounted there."""
    above = [(len(point), n, kind) for n, (point, kind) in enumerate(mounts) if folder.resolve().is_relative_to(point)]
    return max(above)[2] if above else ""


def _locks(folder: Path) -> Finding:
    """A lock is refused to others, outlives its taker in a child, and goes with the child: what leases are made of."""
    path = folder / "lock"
    wrong = ""
    lease = Lease(path)
    try:
        if not lease.acquire() or not held(path):
            wrong = "a second holder was let in"
        else:
            command = [sys.executable, "-S", "-E", "-c", "import sys; sys.stdin.read()"]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(lease.fileno(),))
            lease.close_copy()
            try:
                wrong = "" if held(path) else "a lock does not pass on to a child process"
            finally:
                child.kill()
                child.communicate()
            if not wrong and _still_held(path):
                wrong = "a lock outlives the death of its holder"
    except OSError as error:
        wrong = f"flock fails ({error.strerror})"
    finally:
        with contextlib.suppress(OSError):
            lease.close_copy()
    if wrong:
        return Finding("broken", "locks", f"{folder.parent}: {wrong}; runs could be worked on twice", _ELSEWHERE)
    return Finding("ok", "locks", "refused to others, passed on to a child, gone with it")


def _still_held(path: Path) -> bool:
    give_up = time.monotonic() + 2.0
    while held(path):
        if time.monotonic() > give_up:
            return True
        time.sleep(0.01)
    return False


def _rename(folder: Path) -> Finding:
    """A rename over a file that is open is whole for both: how the database is published."""
    live, new = folder / "live", folder / "new"
    live.write_bytes(b"old")
    new.write_bytes(b"new")
    try:
        with live.open("rb") as reader:
            os.replace(new, live)
            sync(folder)
            whole = reader.read() == b"old" and live.read_bytes() == b"new" and not new.exists()
            appended = _appends(folder / "events")
    except OSError as error:
        return Finding("broken", "renames", f"{folder.parent}: {error.strerror}", _ELSEWHERE)
    if not whole or not appended:
        text = "a rename shows readers a mixture" if not whole else "two writers who append overwrite each other"
        return Finding("broken", "renames", f"{folder.parent}: {text}", _ELSEWHERE)
    return Finding("ok", "renames", "whole for readers of the old and of the new file; appends stay in order")


def _appends(path: Path) -> bool:
    """Whether two descriptors opened for appending write one behind the other."""
    first, second = (os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) for _ in range(2))
    try:
        for descriptor in (first, second, first):
            os.write(descriptor, b"line\n")
    finally:
        os.close(first)
        os.close(second)
    return path.read_bytes() == b"line\n" * 3


def _flush(folder: Path) -> Finding:
    """How long the disk takes to have a small file: every event of a state waits for it."""
    times = []
    with (folder / "flush").open("wb") as file:
        for _ in range(3):
            file.write(b"x" * 4096)
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    median = statistics.median(times)
    slow = median > _SLOW_SYNC_S
    text = f"{median * 1000:.0f} ms to have 4 KiB on the disk"
    return Finding("note" if slow else "ok", "flush", text, f"a slow disk: {_ELSEWHERE}" if slow else "")
