"""Memory of the machine (and of the container), shared memory, open files."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from em_core.doctor.findings import Finding, Visit, counted, size

_LOW = 2 << 30
_FEW_FILES = 1024
_CGROUP = Path("/sys/fs/cgroup")


def look(visit: Visit) -> Iterator[Finding]:
    """What a run may use of the machine besides its GPU."""
    import psutil

    memory = psutil.virtual_memory()
    text = f"{size(memory.available)} of {size(memory.total)} free"
    low = memory.available < _LOW
    fix = "end other programs: loading a model takes at least its size in memory" if low else ""
    yield Finding("note" if low else "ok", "memory", text, fix)
    yield from _limit(_CGROUP)
    shared = Path("/dev/shm")  # noqa: S108
    if shared.is_dir() and (total := shutil.disk_usage(shared).total) < 256 << 20:
        text = f"{size(total)} in {shared}: runs on several GPUs talk through it"
        yield Finding("note", "shared memory", text, "start the container with `--shm-size=1g` or more")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 < soft < _FEW_FILES:
        more = f"`ulimit -n {min(4096, hard) if hard > 0 else 4096}`, before the app is started"
        yield Finding("note", "open files", f"at most {soft} a process", more)


def _limit(cgroup: Path) -> Iterator[Finding]:
    """The container's limit and how often it has ended something, where there is one."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        events = dict(line.split() for line in (cgroup / "memory.events").read_text().splitlines() if line.count(" ") == 1)
    except (OSError, ValueError):
        return
    if not limit.isdecimal():
        return
    kills = int(events.get("oom_kill", 0))
    text = f"{size(used)} of {size(int(limit))} used" + (
        f"; {counted(kills, 'process', 'processes')} ended for memory" if kills else ""
    )
    low = int(limit) - used < _LOW
    fix = "give the container more memory, or use smaller batches and models" if low or kills else ""
    yield Finding("note" if low or kills else "ok", "container's memory", text, fix)
