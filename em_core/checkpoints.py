"""Checkpoint folders: what makes one count, how it is published, how the others find it.

    <run>/checkpoints/step-N/adapter_model.safetensors, adapter_config.json   the PEFT adapter
    <run>/checkpoints/step-N/training_state.json                              step, epoch, seed, spec hash
    <run>/checkpoints/step-N/COMPLETE.json                                    written last, synced

    <run>/resume/step-N/                                                      what training needs to go on from it

A checkpoint counts only when its ``COMPLETE.json`` is there and agrees with the files:
evaluation, resume, chains of runs and publishing look at nothing else. Needs no torch.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em_core.durable import sync
from em_core.errors import BadInput, WorkFailed
from em_core.records import Checkpoint

COMPLETE = "COMPLETE.json"
RESUME = "resume"
"""Folder of a run, beside ``checkpoints``, with what training needs to go on from its newest ones."""
WEIGHTS = "adapter_model.safetensors"
_STEP = re.compile(r"^step-([1-9][0-9]*)$")


@dataclass(frozen=True)
class CompleteCheckpoint:
    """A checkpoint that counts.

    Args:
        path: Its folder.
        step: Optimizer steps done, from 1.
        files: Size in bytes and sha256 of each file, by name.
        facts: What the trainer wrote beside them (``epoch``, ``samples_seen``, ``seed``, ``spec_hash``, ...).
    """

    path: Path
    step: int
    files: Mapping[str, tuple[int, str]]
    facts: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hex digest of the adapter's weights."""
        return self.files[WEIGHTS][1] if WEIGHTS in self.files else ""

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(size for size, _ in self.files.values())


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_complete(path: Path, verify_sha256: bool = False) -> CompleteCheckpoint | None:
    """The checkpoint in a folder, or None when it is missing, half-made or damaged.

    Args:
        path: A ``step-N`` folder.
        verify_sha256: Read every file and compare its digest too (sizes are always compared).
    """
    try:
        body = json.loads((path / COMPLETE).read_text(encoding="utf-8"))
        files = {str(f["name"]): (int(f["size"]), str(f["sha256"])) for f in body["files"]}
        step = int(body["step"])
        for name, (size, sha256) in files.items():
            file = path / name
            if Path(name).name != name or file.stat().st_size != size or (verify_sha256 and sha256_of(file) != sha256):
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    facts = body.get("facts")
    return CompleteCheckpoint(path, step, files, facts if isinstance(facts, dict) else {})


def complete_checkpoints(run_dir: Path) -> list[CompleteCheckpoint]:
    """A run's checkpoints that count, by step."""
    folder = run_dir / "checkpoints"
    if not folder.is_dir():
        return []
    found = [read_complete(path) for path in folder.iterdir() if _STEP.match(path.name)]
    return sorted((c for c in found if c is not None), key=lambda c: c.step)


def resume_point(run_dir: Path) -> CompleteCheckpoint | None:
    """The newest checkpoint that training can go on from: complete, and its resume state too (`RESUME`); None = begin anew.

    Both are read in full and compared with their digests: what is damaged is passed over.
    """
    for found in reversed(complete_checkpoints(run_dir)):
        state = run_dir / RESUME / found.path.name
        if read_complete(found.path, verify_sha256=True) and read_complete(state, verify_sha256=True):
            return found
    return None


def as_record(checkpoint: CompleteCheckpoint) -> Checkpoint:
    """The event that says that it is there."""
    facts = checkpoint.facts
    epoch, seen = float(facts.get("epoch", 0.0)), int(facts.get("samples_seen", 0))
    return Checkpoint(
        checkpoint.step, epoch, f"checkpoints/{checkpoint.path.name}", checkpoint.sha256, checkpoint.size_bytes, seen
    )


def parent_adapter(run_dir: Path, step: int) -> Path:
    """The adapter folder of another run's checkpoint, its files verified.

    Raises:
        BadInput: That checkpoint is not there, or not complete; the message lists those that are.
    """
    path = run_dir / "checkpoints" / f"step-{step}"
    if read_complete(path, verify_sha256=True) is None:
        steps = ", ".join(str(c.step) for c in complete_checkpoints(run_dir))
        raise BadInput(
            f"parent {run_dir.name}@{step}: no complete checkpoint of that step",
            f"use one of its steps: {steps}" if steps else f"see `python -m em_core show {run_dir.name}`",
        )
    return path


def publish(folder: Path, step: int, write_files: Callable[[Path], None], facts: Mapping[str, Any]) -> CompleteCheckpoint:
    """Make ``folder/step-N`` so that it is either absent or complete, whatever happens meanwhile.

    Args:
        folder: The run's ``checkpoints`` folder; created when missing.
        step: N.
        write_files: Writes the checkpoint's files into the (temporary) folder it is given.
        facts: Kept in ``COMPLETE.json``.

    Raises:
        WorkFailed: The disk is full or not writable; nothing half-made is left.
    """
    final, temporary = folder / f"step-{step}", folder / f".step-{step}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(f".step-{step}.*.tmp"):
            shutil.rmtree(stale, ignore_errors=True)
        temporary.mkdir()
        write_files(temporary)
        files = []
        for path in sorted(temporary.iterdir()):
            files.append({"name": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)})
            sync(path)
        complete = temporary / COMPLETE
        complete.write_text(json.dumps({"step": step, "files": files, "facts": dict(facts)}, indent=1), encoding="utf-8")
        sync(complete)
        sync(temporary)
        if final.exists():  # an earlier attempt's
            old = folder / f".step-{step}.{os.getpid()}.old.tmp"
            os.replace(final, old)
            shutil.rmtree(old, ignore_errors=True)
        os.replace(temporary, final)
        sync(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise WorkFailed(
            f"checkpoint {final}: not saved ({error.strerror or error})",
            "free disk space, then `resume` it",
            "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "",
        ) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    done = read_complete(final)
    if done is None:
        raise WorkFailed(
            f"checkpoint {final}: its files changed while it was saved",
            "check the disk, then `resume` it",
        )
    return done
