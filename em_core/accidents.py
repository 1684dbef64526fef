"""What befell the work: an exception of a library, the system or the driver, in words a person can use.

Told by type name and text, so that torch need not be there. What is not known stays an unexpected
error: a bug.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from em_core.errors import EMError, WorkFailed

GPU_FULL = ("CUDA out of memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED", "cudaErrorMemoryAllocation")
HOST_FULL = ("can't allocate memory", "not enough memory: you tried to allocate", "Cannot allocate memory")
OURS = ("device-side assert", "no kernel image", "invalid device ordinal", "invalid argument")
"""CUDA errors that come back however often one tries: not the driver's fault."""
_DRIVER = re.compile(r"CUDA (driver )?error|CUDNN_STATUS|CUBLAS_STATUS|NCCL (error|WARN)|cudaError|NVML|\bXid\b", re.IGNORECASE)
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def classify(error: BaseException) -> WorkFailed | None:
    """The failure behind an exception (or behind what caused it), with its cause and fix; None = not known."""
    for each in _chain(error):
        if isinstance(each, WorkFailed):
            return each
        if known := _one(each):
            return known
    return None


def as_failure(error: Exception) -> EMError:
    """What is written down of an exception that ended a run: itself, what is known of it, or that it is a bug."""
    if isinstance(error, EMError):
        return error
    bug = WorkFailed(f"unexpected {type(error).__name__}: {error}", "this is a bug: please report worker.log", "bug")
    return classify(error) or bug


def errno_of(error: BaseException) -> int | None:
    """The system's error number, also from the text of libraries that write files without Python; None = it has none."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _OS_ERROR.search(str(error))
    return int(found[1]) if found else None


def _one(error: BaseException) -> WorkFailed | None:
    text = str(error).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    if type(error).__name__ == "OutOfMemoryError" or any(words in text for words in GPU_FULL):
        return WorkFailed(
            f"the GPU's memory is full: {line}", "use a smaller micro-batch, train.precision = nf4 or a smaller model", "cuda_oom"
        )
    if isinstance(error, MemoryError) or any(words in text for words in HOST_FULL) or errno_of(error) == errno.ENOMEM:
        return WorkFailed(
            f"the main memory is full: {line}",
            "let fewer runs work at once, or use a smaller model, then `resume` it",
            "host_oom",
        )
    if errno_of(error) in (errno.ENOSPC, errno.EDQUOT):
        place = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        return WorkFailed(f"{place}the disk is full", "free disk space, then `resume` it", "disk_full")
    torchs = type(error).__name__ == "AcceleratorError" or (isinstance(error, RuntimeError) and _DRIVER.search(text))
    if torchs and not any(words in text for words in OURS):
        return WorkFailed(f"the GPU or its driver failed: {line}", "look into `nvidia-smi`, then `resume` it", "driver")
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        seen.append(each)
        yield each
        each = each.__cause__
