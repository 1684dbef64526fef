"""What the kernel says about deaths: how often it killed for lack of memory, and what it logged."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_KMSG = Path("/dev/kmsg")
_MAX_RECORDS = 100_000


def oom_kills() -> dict[str, int]:
    """How many processes the kernel has killed for lack of memory so far, by counter.

    ``host`` counts the whole machine; the others are those of the control groups that this process
    is in (version 2 and version 1), named by their files.
    """
    counters = {}
    if (n := _count(Path("/proc/vmstat"))) is not None:
        counters["host"] = n
    for path in _cgroup_files():
        if (n := _count(path)) is not None:
            counters[str(path)] = n
    return counters


def _cgroup_files() -> list[Path]:
    files = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                root, name = Path("/sys/fs/cgroup"), "memory.events"
            elif "memory" in controllers.split(","):
                root, name = Path("/sys/fs/cgroup/memory"), "memory.oom_control"
            else:
                continue
            for folder in dict.fromkeys((root / path.lstrip("/"), root)):  # inside a container its own group is the root
                files.append(folder / name)
    return files


def _count(path: Path) -> int | None:
    try:
        found = re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def messages_since(monotonic_s: float) -> list[str]:
    """The kernel's log since then, one message a string; empty where it may not be read.

    Args:
        monotonic_s: A value of ``time.monotonic()`` of this boot.
    """
    found: list[str] = []
    try:
        descriptor = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return found
    try:
        for _ in range(_MAX_RECORDS):
            try:
                record = os.read(descriptor, 8192).decode("utf-8", "replace")
            except BrokenPipeError:
                continue  # overwritten while we read: the next one is there
            except OSError:
                break  # no more
            head, _, text = record.partition(";")
            fields = head.split(",")
            with contextlib.suppress(IndexError, ValueError):
                if int(fields[2]) / 1e6 >= monotonic_s - 1.0:
                    found.append(text.split("\n", 1)[0])
    finally:
        os.close(descriptor)
    return found
