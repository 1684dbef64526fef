"""An export made in the background, in a temporary folder: what a page offers as a download, and nothing stays behind.

One at a time in a process; the newest few results are kept until the next ones, or the process ends. What a killed
process left is removed by the next one: its lock is held by nobody.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import shutil
import tempfile
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from em_core import export
from em_core.errors import BadInput, Busy, EMError, WorkFailed
from em_core.home import Home
from em_core.lease import held
from em_core.selection import Selection

NAME = "em-export"
MOST_BYTES = 1_000_000_000
"""Largest estimate that is made for a download; more goes with the command."""
MOST_BYTES_SHOWN = 150_000_000
"""The same in a read-only demonstration, which anybody may use."""
_KEPT = 3
_PREFIX, _LOCK = "em-export-", ".held"
_lock = threading.Lock()
_jobs: dict[str, Job] = {}


@dataclass
class Job:
    """One export on its way.

    Args:
        id: By which a page finds it again.
        selection: Of what.
        folder: Its temporary folder.
        share: How far it is, 0-1.
        what: What is being written.
        report: What it holds, once it is done.
        error: Why it failed.
    """

    id: str
    selection: Selection
    folder: Path
    share: float = 0.0
    what: str = "starting"
    report: export.Report | None = None
    error: EMError | None = None
    _held: IO[str] | None = field(default=None, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def active(self) -> bool:
        """Whether it is still being made."""
        return self.report is None and self.error is None

    @property
    def archive(self) -> Path:
        """Everything as one zip file, once it is done."""
        return self.folder / f"{NAME}.zip"

    @property
    def page(self) -> Path | None:
        """The report alone, if it was asked for."""
        path = self.folder / NAME / "report.html"
        return path if path.exists() else None

    def wait(self, timeout_s: float | None = None) -> None:
        """Until it is done or failed."""
        if self._thread is not None:
            self._thread.join(timeout_s)


def most_bytes(home: Home) -> int:
    """Largest estimated size that `start` takes on."""
    return MOST_BYTES_SHOWN if home.read_only else MOST_BYTES


def start(home: Home, selection: Selection, parts: Sequence[str]) -> Job:
    """Begin an export for a download.

    Raises:
        BadInput: As `em_core.export.export`, or it would be larger than `most_bytes`.
        Busy: Another one is being made.
        WorkFailed: There is no room for temporary files.
    """
    planned = export.plan(home, selection, parts)
    if planned.n_bytes > most_bytes(home):
        raise BadInput(
            f"about {planned.n_bytes / 1e6:,.0f} MB is more than a page makes ({most_bytes(home) / 1e6:,.0f} MB)",
            "choose fewer runs or parts, or use the command `export`",
        )
    with _lock:
        if any(job.active for job in _jobs.values()):
            raise Busy("another export is being made", "try again in a minute")
        while len(_jobs) >= _KEPT:
            _remove(_jobs.pop(next(iter(_jobs))))
        try:
            _remove_left_overs()
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            held = (folder / _LOCK).open("w")
            fcntl.flock(held, fcntl.LOCK_EX)
        except OSError as error:
            raise WorkFailed(f"no temporary folder ({error.strerror})", "free disk space, or set TMPDIR") from error
        job = Job(uuid.uuid4().hex, selection, folder, _held=held)
        _jobs[job.id] = job
    job._thread = threading.Thread(target=_work, args=(home, job, tuple(parts)), name="export", daemon=True)
    job._thread.start()
    return job


def find(job_id: str) -> Job | None:
    """A job by its id; None when it made room for others."""
    return _jobs.get(job_id)


def _work(home: Home, job: Job, parts: tuple[str, ...]) -> None:
    def tell(share: float, what: str) -> None:
        job.share, job.what = share, what

    try:
        report = export.export(home, job.selection, job.folder / NAME, parts, tell, pack=True)
        for path in (job.folder / NAME).iterdir():  # the zip has it all; the report is offered alone too
            if path.name != "report.html":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        job.report = report
    except EMError as error:
        job.error = error
    except Exception as error:
        job.error = WorkFailed(f"the export failed: {type(error).__name__}: {error}", "this is a bug: please report it")
    if job.error is not None:
        _remove(job)


def _remove(job: Job) -> None:
    shutil.rmtree(job.folder, ignore_errors=True)
    if job._held is not None:
        job._held.close()


def left_overs() -> list[Path]:
    """Folders of this user's exports whose app has ended; the next export removes them."""
    found = []
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's
            if (path / _LOCK).exists() and not held(path / _LOCK):
                found.append(path)
    return found


def _remove_left_overs() -> None:
    for path in left_overs():
        with contextlib.suppress(OSError), (path / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


@atexit.register
def _remove_all() -> None:
    for job in list(_jobs.values()):
        _remove(job)
