"""Why a worker died that left no last word, from what is known without it.

What was noted before it was ended comes first (`marks.write_ending`), then whether the machine went
down meanwhile, the kernel's log and its out-of-memory counters, the worker's own log since it was
started, its exit code. Nothing is guessed: where the evidence only makes something likely, the reason
says so.
"""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from em_core import accidents, ranks
from em_core.causes import KNOWN, Cause
from em_core.lease import boot_id
from em_core.supervisor import kernel
from em_core.supervisor.logs import log_tail
from em_core.supervisor.marks import last_spawn, read_ending

if TYPE_CHECKING:
    from em_core.supervisor.evidence import RunStatus

_LOG_BYTES = 65_536
_NEARLY_FULL_BYTES = 4 << 20
_IN_LOG: tuple[tuple[Cause, str], ...] = (
    ("cuda_oom", rf"{'|'.join(accidents.GPU_FULL)}|torch\.(cuda\.)?OutOfMemoryError"),
    ("disk_full", r"No space left on device|Disk quota exceeded"),
    ("host_oom", rf"{'|'.join(accidents.HOST_FULL)}|^MemoryError\b|std::bad_alloc"),
    ("bug", rf"CUDA error: ({'|'.join(accidents.OURS)})"),
    ("driver", r"\bXid\b|CUDA error:|CUDA driver error|NCCL error|ncclSystemError|ncclUnhandledCudaError|ncclInternalError"
               r"|cuDNN error|CUDNN_STATUS|CUBLAS_STATUS|GPU has fallen off the bus"),
)  # fmt: skip
"""What a worker's log says of the cause, in the order of how much it says; the first that is found counts."""


class Failure(NamedTuple):
    """How a run ended.

    Args:
        cause: A word of `em_core.causes.Cause`.
        reason: What happened, with the log's last lines.
        hint: What to do about it.
    """

    cause: Cause
    reason: str
    hint: str


def classify(run_dir: Path, status: RunStatus, returncode: int | None = None, pid: int | None = None) -> Failure:
    """Say why a run's worker is dead.

    Args:
        run_dir: The run, its lease free.
        status: Its state (`crashed`, not recorded).
        returncode: How the worker ended, as `subprocess` says it; None when it was not our child.
        pid: The worker's, as a name to look for in the kernel's log; None = not known.
    """
    mark = last_spawn(run_dir)
    if mark.get("attempt", 0) < status.attempt:
        mark = {}  # the worker was started by hand
    cause, how = _cause(run_dir, status, returncode, pid, mark)
    tail = log_tail(run_dir / "worker.log", 3).strip().replace("\n", " | ")
    return Failure(cause, f"{how}; log: {tail[-500:]}" if tail else how, hint(cause, run_dir.name))


def hint(cause: Cause, run_id: str) -> str:
    """What to do about an end, with the command that does it."""
    known = KNOWN.get(cause)
    if known is None:
        return f"read `python -m em_core logs {run_id}`; `python -m em_core resume {run_id}` goes on from its last checkpoint"
    command = f"retry {run_id} --smaller-batch" if known.smaller_batch else f"resume {run_id}"
    return f"{known.next_step}: `python -m em_core {command}`"


def _cause(run_dir: Path, status: RunStatus, returncode: int | None, pid: int | None, mark: dict[str, Any]) -> tuple[Cause, str]:
    if ended := read_ending(run_dir, int(mark.get("attempt") or status.attempt)):
        return cast(Cause, ended[0]), ended[1]
    if mark.get("boot_id") and mark["boot_id"] != boot_id():
        return "reboot", "the machine went down while it was at work"
    log = _log_since(run_dir, mark.get("log_bytes"))
    if (returncode is None or returncode > 0) and (death := ranks.death_in(log)):  # a launcher's own exit code says nothing
        returncode, pid = death
    how = _how(returncode, status.spawns)
    if returncode in (None, -signal.SIGKILL) and (why := _out_of_memory(pid, mark)):
        return "host_oom", f"{how}: {why}"
    for cause, pattern in _IN_LOG:
        if found := re.search(pattern, log, re.MULTILINE):
            return cause, f"{how}, after {found[0]!r}"
    if xid := _xid(mark):
        return "driver", f"{how}; the GPU's driver reported {xid}"
    if returncode == -signal.SIGBUS and _full(run_dir):
        return "disk_full", f"{how}: a disk that it writes to is full"
    if returncode is not None and -returncode in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE):
        return "segfault", how
    if status.spawns:
        return "never_began", how
    if returncode is None or returncode < 0:
        return "killed", how
    return "bug", how


def _how(returncode: int | None, spawns: int) -> str:
    times = f", {spawns} times," if spawns > 1 else ""
    if returncode is not None and returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        return f"the worker was killed by {name}"
    if returncode is not None:
        return f"the worker ended{times} with exit code {returncode}" + (" and wrote nothing" if spawns else "")
    if spawns:
        return f"the worker was started {spawns} times and wrote nothing"
    return "the worker ended without a last word"


def _out_of_memory(pid: int | None, mark: dict[str, Any]) -> str:
    """What speaks for the kernel having killed the worker for lack of memory; empty when nothing does."""
    if pid and any(re.search(rf"Killed process {pid} ", line) for line in _kernel_log(mark)):
        return "the kernel killed it for lack of memory"
    before = mark.get("oom_kills")
    if not isinstance(before, dict):
        return ""
    now = kernel.oom_kills()
    more = [name for name, n in now.items() if isinstance(before.get(name), int) and n > before[name]]
    if any(name != "host" for name in more):
        return "the kernel killed a process of its memory group for lack of memory meanwhile"
    return "the kernel killed a process for lack of memory meanwhile, so that is likely" if more else ""


def _xid(mark: dict[str, Any]) -> str:
    return next((found[0] for line in _kernel_log(mark) if (found := re.search(r"Xid \([^)]*\): \d+", line))), "")


def _kernel_log(mark: dict[str, Any]) -> list[str]:
    since = mark.get("uptime_s")
    return kernel.messages_since(since) if isinstance(since, (int, float)) else []


def _full(run_dir: Path) -> bool:
    return any(p.exists() and shutil.disk_usage(p).free < _NEARLY_FULL_BYTES for p in (run_dir, Path("/dev/shm"), Path("/tmp")))  # noqa: S108


def _log_since(run_dir: Path, start: Any) -> str:
    """The end of what this attempt wrote into the log; nothing when it is not known where that begins."""
    if not isinstance(start, int):
        return ""
    try:
        with (run_dir / "worker.log").open("rb") as file:
            file.seek(max(start, file.seek(0, 2) - _LOG_BYTES))
            return file.read(_LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
