"""Runs in the making: event files in a hidden folder, renamed into ``runs/`` when all of them are whole.

runs/.importing-<random>/lease               held while somebody imports; free = left over, removed next time
runs/.importing-<random>/<run_id>/events/    answers.jsonl: questions, answers, judgements, published rates
                                             import.jsonl: the run's card, facts, states, the imported files
runs/.importing-<random>/<run_id>/import.json  which files, and how many runs came together
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from em_core import durable
from em_core.errors import WorkFailed
from em_core.home import Home
from em_core.lease import Lease
from em_core.records import Record

CARD = "import.json"
PREFIX = ".importing-"
_FLUSH = 1 << 20


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def line(kind: str, t: float, fields: Mapping[str, Any]) -> str:
    """One event line, as `em_core.events.EventWriter` writes it."""
    body: dict[str, Any] = {"kind": kind, "t": t}
    for name, value in fields.items():
        if name not in body:
            body[name] = _clean(value) if type(value) in (str, float) else value
    return _encode(body)


def _clean(value: Any) -> Any:
    if type(value) is str:
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    return value if math.isfinite(value) else None


class Stage:
    """The hidden folder of one import; leave it by `commit`, or nothing of it stays.

    Args:
        home: Where the runs will be.
    """

    def __init__(self, home: Home, folder: Path) -> None:
        self._home = home
        self._folder = folder
        self._waiting: dict[tuple[str, str], list[str]] = {}
        self._held = 0
        self._cards: dict[str, list[dict[str, str]]] = {}
        self.runs: set[str] = set()

    def write(self, run_id: str, record: Record, t: float, file: str = "answers") -> None:
        """Add an event to a run."""
        self.write_line(run_id, line(record.kind, t, record.as_event()), file)

    def write_line(self, run_id: str, text: str, file: str = "answers") -> None:
        """Add an event line to a run."""
        self.runs.add(run_id)
        self._waiting.setdefault((run_id, file), []).append(text)
        self._held += len(text)
        if self._held >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Write what waits to the files."""
        for (run_id, file), lines in self._waiting.items():
            events = self._folder / run_id / "events"
            events.mkdir(parents=True, exist_ok=True)
            with (events / f"{file}.jsonl").open("a", encoding="utf-8", newline="\n") as out:
                out.write("\n".join(lines) + "\n")
        self._waiting.clear()
        self._held = 0

    def card(self, run_id: str, files: list[dict[str, str]]) -> None:
        """Which files a run is made of, for its ``import.json``."""
        self._cards[run_id] = files

    def path(self, run_id: str) -> Path:
        """Where a run is while it is made."""
        return self._folder / run_id

    def rename(self, run_id: str, other: str) -> None:
        """Make this run under another name."""
        self.flush()
        os.rename(self._folder / run_id, self._folder / other)
        self.runs = (self.runs - {run_id}) | {other}

    def drop(self, run_id: str) -> None:
        """Make this run no more."""
        self.flush()
        shutil.rmtree(self._folder / run_id, ignore_errors=True)
        self.runs.discard(run_id)

    def commit(self) -> list[str]:
        """Move every run into ``runs/``; returns those that were there already (and stay as they are)."""
        self.flush()
        there = []
        together = hashlib.sha256("\x1f".join(sorted(self.runs)).encode()).hexdigest()
        for run_id in sorted(self.runs):
            source = self._folder / run_id
            card = {"import": together, "n_runs": len(self.runs), "files": self._cards.get(run_id, [])}
            (source / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            for path in [*sorted(source.rglob("*")), source]:
                durable.sync(path)
        for run_id in sorted(self.runs):
            target = self._home.run_dir(run_id)
            if target.exists():
                there.append(run_id)
                continue
            try:
                os.rename(self._folder / run_id, target)
            except OSError:
                if not target.exists():  # else another import was quicker by a moment
                    raise
                there.append(run_id)
        durable.sync(self._home.runs)
        return there


@contextlib.contextmanager
def staged(home: Home) -> Iterator[Stage]:
    """A stage that is gone when the block ends, whatever happened.

    Raises:
        Refused: This is a read-only demonstration.
        WorkFailed: Disk full, or not writable; nothing is left behind.
    """
    home.writable("Importing results")
    home.prepare()
    remove_left_overs(home)
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home.runs))
        with Lease(folder / "lease") as lease:
            lease.acquire()
            try:
                yield Stage(home, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise WorkFailed(
            f"{home.runs}: not imported ({error.strerror or error}); nothing was left behind",
            "free disk space or give rights to write there, then import again",
        ) from error


def remove_left_overs(home: Home) -> None:
    """Remove what imports that were killed left behind."""
    for folder in home.runs.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime < 5 and not (folder / "lease").exists():
                continue  # somebody is just beginning
            with Lease(folder / "lease") as lease:
                if lease.acquire():
                    shutil.rmtree(folder, ignore_errors=True)
