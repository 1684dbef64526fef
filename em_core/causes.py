"""Why a run ended before its end: one short word in its events, and what a person is told about it.

The worker names what it sees itself (`EMError.cause`); the supervisor names what killed the worker
(`em_core.supervisor.failures`). A run that ended for a cause that will not come back by itself is
resumed once without being asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cause = Literal[
    "",
    "user",
    "bad_input",
    "cuda_oom",
    "host_oom",
    "disk_full",
    "driver",
    "not_a_number",
    "hang",
    "reboot",
    "killed",
    "segfault",
    "never_began",
    "bug",
    "automatic",
]
"""``""`` = not known or not ended early; ``automatic`` marks the queueing after a failure, not a failure."""


@dataclass(frozen=True)
class Known:
    """What is said about a cause.

    Args:
        title: A few words, for a badge: ``out of GPU memory``.
        next_step: What to do about it, one sentence.
        passing: Whether the same run is likely to get through when it is resumed as it is.
        smaller_batch: Whether a smaller micro-batch with the same effective batch helps.
    """

    title: str
    next_step: str
    passing: bool = False
    smaller_batch: bool = False


KNOWN: dict[str, Known] = {
    "user": Known("stopped by a person", "resume it, or leave it as it is"),
    "bad_input": Known("input not usable", "correct what the reason names, then launch it again"),
    "cuda_oom": Known(
        "out of GPU memory", "retry with a smaller micro-batch: the effective batch stays the same", smaller_batch=True
    ),
    "host_oom": Known(
        "out of main memory", "let fewer runs work at once, close other programs or use a smaller model, then resume it"
    ),
    "disk_full": Known("disk full", "free disk space (`python -m em_core trash --empty` helps), then resume it"),
    "driver": Known(
        "GPU driver error",
        "look into `nvidia-smi` and the kernel's log; a GPU that fell off its bus needs a reboot",
        passing=True,
    ),
    "not_a_number": Known(
        "loss not a number", "launch it with a lower train.learning_rate, or train.precision = bf16 instead of fp16"
    ),
    "hang": Known("no sign of life", "read the stack trace at the end of its log, then resume it from its last checkpoint", True),
    "reboot": Known("machine went down", "resume it from its last checkpoint", passing=True),
    "killed": Known("killed from outside", "resume it from its last checkpoint", passing=True),
    "segfault": Known("crash in native code", "its log ends with the stack; if it comes back, update torch or the driver", True),
    "never_began": Known("worker never began", "read its log; `python -m em_core doctor` checks the machine"),
    "bug": Known("unexpected error", "report worker.log as a bug; resuming it is safe"),
    "automatic": Known("resumed by itself", ""),
}
