"""Leases: who works on a run, proven by the kernel and not by a record.

A lease is an exclusive ``flock`` on a file. It belongs to the open file description, so it can be
handed to a child process without a gap, it survives the death of the process that took it for as
long as the child lives, and it is gone the instant the last holder dies, whatever killed it.
The file's content (pid, start time, boot id) is for people; it is never believed on its own.

    supervisor: lease.acquire(); Popen(..., pass_fds=(lease.fileno(),), env EM_LEASE_FD); lease.close_copy()
    worker:     with Lease.for_worker(run_dir): ...
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
import weakref
from pathlib import Path
from typing import Any

from em_core.errors import BadInput, Busy

FD_VARIABLE = "EM_LEASE_FD"
"""Environment variable that names the inherited descriptor."""

_PROBE_PAUSE_S = 0.01
_PROBE_TRIES = 25

_open_leases: weakref.WeakSet[Lease] = weakref.WeakSet()


class Lease:
    """An exclusive lease on a file; a context manager that releases it.

    Args:
        path: The lease file, made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    @classmethod
    def for_worker(cls, run_dir: Path) -> Lease:
        """The run's lease: inherited from the supervisor, else (a worker started by hand) taken now.

        Raises:
            Busy: Another process works on this run.
            BadInput: The lease file cannot be opened.
        """
        lease = cls(run_dir / "lease")
        inherited = os.environ.pop(FD_VARIABLE, "")
        if not (inherited.isdecimal() and lease.adopt(int(inherited))) and not lease.acquire():
            raise Busy(f"{run_dir.name}: another process works on this run", f"`python -m em_core stop {run_dir.name}` ends it")
        lease.sign()
        return lease

    def acquire(self, *, blocking: bool = False, timeout_s: float | None = None) -> bool:
        """Take the lease; True when it is ours.

        Without `blocking` it still tries for a quarter of a second, because somebody who only looks
        (`held`) has it for some microseconds.

        Args:
            blocking: Wait until the holder lets go.
            timeout_s: With `blocking`, the longest wait in seconds; None = for ever.

        Raises:
            BadInput: The file cannot be opened (no such folder, no permission, disk full).
        """
        if self._fd >= 0:
            return True
        patience_s = (float("inf") if timeout_s is None else timeout_s) if blocking else _PROBE_PAUSE_S * _PROBE_TRIES
        give_up = time.monotonic() + patience_s
        while True:
            try:
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise BadInput(f"{self.path}: cannot be opened ({error.strerror})", "make the folder writable") from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(fd)
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                    raise
                if time.monotonic() >= give_up:
                    return False
                time.sleep(_PROBE_PAUSE_S)
                continue
            if _same_file(fd, self.path):
                self._take(fd)
                return True
            os.close(fd)  # the folder was deleted and made anew meanwhile

    def adopt(self, fd: int) -> bool:
        """Take over an inherited descriptor; True when it is this file and the lease is ours.

        The descriptor is made non-inheritable, so that no child of ours keeps the lease alive.
        """
        try:
            if not _same_file(fd, self.path):
                return False
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        os.set_inheritable(fd, False)
        self._take(fd)
        return True

    def _take(self, fd: int) -> None:
        self._fd = fd
        _open_leases.add(self)
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)  # what it says is about an earlier holder

    def sign(self) -> None:
        """Write into the file who we are, so that `holder_pid` can tell. For those who hold it to work, not to hand it on."""
        with contextlib.suppress(OSError):  # disk full: the content is informative only
            os.pwrite(self.fileno(), json.dumps(_identity()).encode(), 0)

    def fileno(self) -> int:
        """The descriptor that carries the lease, for ``pass_fds``.

        Raises:
            ValueError: The lease is not held.
        """
        if self._fd < 0:
            raise ValueError(f"{self.path}: lease is not held")
        return self._fd

    def close_copy(self) -> None:
        """Close our descriptor without unlocking: a child that inherited it keeps the lease."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def release(self) -> None:
        """Give the lease up, for every process that shares it."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self.close_copy()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def held(path: Path) -> bool:
    """Whether somebody holds the lease; the holder is not disturbed. A missing file is free."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def run_held(run_dir: Path) -> bool:
    """Whether anybody works on a run: its worker, or what is left of one that had several processes (`em_core.ranks`)."""
    return held(run_dir / "lease") or held(run_dir / "lease-ranks")


def sign_for(path: Path, pid: int) -> None:
    """Write into a lease file who holds it, for a holder that cannot (a launcher that is not ours)."""
    with contextlib.suppress(OSError):
        path.write_bytes(json.dumps(_identity(pid)).encode())


def holder_pid(path: Path) -> int | None:
    """The pid written into the lease file, when it is proven to be that process still (pid, start time, boot)."""
    import psutil

    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        if content["boot_id"] == boot_id() and abs(psutil.Process(content["pid"]).create_time() - content["create_time"]) < 0.05:
            return int(content["pid"])
    except (OSError, ValueError, TypeError, KeyError, psutil.Error):
        pass
    return None


def signed_pid(path: Path) -> int | None:
    """The pid written into the lease file in this boot, dead or alive: a name to look for in logs, never one to signal."""
    try:
        content = json.loads(path.read_bytes())
        return int(content["pid"]) if content["boot_id"] == boot_id() else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _identity(pid: int | None = None) -> dict[str, Any]:
    import psutil

    process = psutil.Process(pid)
    return {"pid": process.pid, "create_time": process.create_time(), "boot_id": boot_id(), "t": time.time()}


def boot_id() -> str:
    """Which boot of the machine this is."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"boot-{psutil.boot_time():.0f}"


def _same_file(fd: int, path: Path) -> bool:
    try:
        ours, named = os.fstat(fd), os.stat(path)
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)


def _close_in_fork() -> None:
    """A forked child (a data loader, say) must not keep the lease of its killed parent alive."""
    for lease in list(_open_leases):
        lease.close_copy()


os.register_at_fork(after_in_child=_close_in_fork)
