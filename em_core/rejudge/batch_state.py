"""What a job knows about its batches, on disk before and after every step that costs something.

<job>/batch/state.jsonl       one small line a step, fsynced: no key, no text of anybody
<job>/batch/<n>.pairs.jsonl   which answer and metric each request of batch n is about
<job>/batch/<n>.input.jsonl   the requests themselves; deleted when their results are written down
<job>/batch/<n>.output.jsonl, <n>.errors.jsonl     the results, until they are written down

    planned -> uploaded -> creating -> created -> fetched -> written
                                          └-> refused (the batch failed as a whole)

`creating` without `created` means that a batch may exist: the server is asked before another is made.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from em_core import durable
from em_core.errors import WorkFailed
from em_core.home import Home
from em_core.rejudge.folder import PREFIX

STEPS = ("planned", "uploaded", "creating", "created", "fetched", "written", "refused")


@dataclass(frozen=True)
class Pair:
    """One request: an answer and what it is judged for.

    Args:
        id: Its `custom_id`.
        response_id, metric: What it is about.
        content: Digest of its content, hex, the key of the judge cache.
        most_input, most_output: Tokens that it can take.
        same: Other answers with the same content, which share the score.
    """

    id: str
    response_id: str
    metric: str
    content: str
    most_input: int
    most_output: int
    same: list[str] = field(default_factory=list)

    def settles(self) -> Iterator[tuple[str, str]]:
        """``(response_id, metric)`` of all that it settles."""
        return ((response_id, self.metric) for response_id in (self.response_id, *self.same))


@dataclass
class Batch:
    """One batch as the state file tells it; `said` are the fields of its steps."""

    number: int
    step: str = "planned"
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether results are still to come."""
        return self.step not in ("written", "refused")

    @property
    def n(self) -> int:
        """Requests."""
        return int(self.said.get("n", 0))


class BatchState:
    """The state of one job's batches.

    Args:
        folder: The job's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "batch"
        self.path = self.folder / "state.jsonl"
        self.batches: dict[int, Batch] = {}
        self.begun: dict[str, Any] = {}
        self.notes: list[dict[str, Any]] = []
        self.ended = False
        self._read()

    def _read(self) -> None:
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except OSError:
            return
        for line in lines:
            try:
                found = json.loads(line)
                self._apply(found.pop("step"), found)
            except (ValueError, AttributeError, LookupError, TypeError):
                continue  # a torn line was never acted upon

    def _apply(self, step: str, said: dict[str, Any]) -> None:
        if step in STEPS:
            batch = self.batches.setdefault(int(said["batch"]), Batch(int(said["batch"])))
            batch.step = step
            batch.said |= {**said, f"{step}_t": said.get("t", 0.0)}
        elif step == "begun":
            self.begun = said
        elif step == "ended":
            self.ended = True
        else:
            self.notes.append({"step": step, **said})

    def append(self, step: str, **said: Any) -> None:
        """Write one step down; the disk has it when this returns.

        Raises:
            WorkFailed: It could not be written.
        """
        said["t"] = time.time()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            new = not self.path.exists()
            with self.path.open("ab+") as file:
                if file.tell() and not _ends_whole(self.path):
                    file.write(b"\n")
                file.write((json.dumps({"step": step, **said}) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())
            if new:
                durable.sync(self.folder)
                durable.sync(self.folder.parent)
        except OSError as error:
            raise WorkFailed(
                f"{self.path}: cannot be written ({error.strerror})", "free disk space; the same command goes on from here"
            ) from error
        self._apply(step, said)

    def input_path(self, number: int) -> Path:
        """The requests of a batch."""
        return self.folder / f"{number}.input.jsonl"

    def pairs_path(self, number: int) -> Path:
        """What its requests are about."""
        return self.folder / f"{number}.pairs.jsonl"

    def result_path(self, number: int, kind: str) -> Path:
        """Its fetched results; kind is ``output`` or ``errors``."""
        return self.folder / f"{number}.{kind}.jsonl"

    def pairs(self, number: int) -> list[Pair]:
        """What the requests of a batch are about.

        Raises:
            WorkFailed: The file is gone or damaged.
        """
        try:
            return [Pair(**json.loads(line)) for line in self.pairs_path(number).read_bytes().splitlines()]
        except (OSError, ValueError, TypeError) as error:
            raise WorkFailed(
                f"{self.pairs_path(number)}: cannot be read ({error})",
                f"without it the results of this batch belong to nobody; delete {self.folder} to give them up, and judge again",
            ) from error

    def plan(self, number: int, pairs: list[Pair], written: Path, **said: Any) -> None:
        """A batch is ready to go: its files are made durable, then it is written down.

        Args:
            number: Which.
            pairs: What its requests are about.
            written: Its requests, in a temporary file.
            said: For the state line.
        """
        try:
            temporary = self.pairs_path(number).with_suffix(".new")
            temporary.write_text("".join(json.dumps(vars(pair)) + "\n" for pair in pairs), encoding="utf-8")
            durable.sync(temporary)
            durable.sync(written)
            os.replace(temporary, self.pairs_path(number))
            os.replace(written, self.input_path(number))
            durable.sync(self.folder)
        except OSError as error:
            raise WorkFailed(f"{self.folder}: cannot be written ({error.strerror})", "free disk space, and call again") from error
        self.append("planned", batch=number, n=len(pairs), **said)

    def clean(self) -> None:
        """Delete texts and results that are written down, and at the end the rest but the state."""
        for path in self.folder.glob("*"):
            number = path.name.split(".")[0]
            batch = self.batches.get(int(number)) if number.isdecimal() else None
            if path != self.path and (
                self.ended or path.suffix == ".new" or (batch and not batch.open and path != self.pairs_path(batch.number))
            ):
                path.unlink(missing_ok=True)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def open_job(home: Home, judge_id: str) -> Path | None:
    """The folder of this judge's job whose batches are not all written down; None = there is none."""
    for folder in sorted(home.runs.glob(f"{PREFIX}*")):
        state = BatchState(folder)
        if state.begun.get("judge_id") == judge_id and not state.ended:
            return folder
    return None
