"""What a person asks of a run at work: empty files in the run's ``control/`` folder.

stop       save a checkpoint, then end
discard    end at once, without saving
save       save a checkpoint and go on; the worker removes the file when it is done
now        beside discard, for the supervisor: don't wait long for the worker
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

from em_core.errors import BadInput

Request = Literal["", "stop", "discard", "save"]
_BY_WEIGHT: tuple[Request, ...] = ("discard", "stop", "save")
_NOW = "now"


def ask(run_dir: Path, request: Request) -> None:
    """Ask for something; asking twice is the same as once.

    Raises:
        BadInput: The run's folder cannot be written.
    """
    _touch(run_dir / "control" / request)


def hurry(run_dir: Path) -> None:
    """Say that the run's end, which was asked for, cannot wait.

    Raises:
        BadInput: The run's folder cannot be written.
    """
    _touch(run_dir / "control" / _NOW)


def hurried(run_dir: Path) -> bool:
    """Whether the end that was asked for cannot wait."""
    return (run_dir / "control" / _NOW).exists()


def _touch(path: Path) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror})", "make the run's folder writable") from error


def asked(run_dir: Path) -> Request:
    """The weightiest thing that is asked for; empty when nothing is."""
    return next((request for request in _BY_WEIGHT if (run_dir / "control" / request).exists()), "")


def end_asked(run_dir: Path) -> bool:
    """Whether the run is asked to end."""
    return asked(run_dir) in ("stop", "discard")


def done(run_dir: Path, *requests: Request) -> None:
    """Take requests back: they were fulfilled, or the run begins another attempt. All of them when none is named."""
    names: tuple[str, ...] = requests or (*_BY_WEIGHT, _NOW)
    for name in names:
        with contextlib.suppress(OSError):
            (run_dir / "control" / name).unlink(missing_ok=True)
