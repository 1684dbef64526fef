"""People's labels: a desk per person, in ``runs/labels-<labeller>/``.

    batches/<k>.json      which answers were drawn, in which order (the last batch is the present one)
    events/labels-1.jsonl one `HumanLabel` per metric, appended and flushed to the disk one answer at a time

A label is never changed: a later one of the same person and answer replaces it, and `Desk.undo` writes
that the last one is taken back. The desk says nothing about models, runs, steps, judges or scores.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from em_core import definitions
from em_core.definitions import VERDICT, Definition
from em_core.errors import BadInput
from em_core.events import EventWriter, read_events
from em_core.home import Home
from em_core.records import HumanLabel, RunCreated
from em_core.store import labels as store
from em_core.store.labels import WITHDRAWN

REASONS = ("incoherent", "refusal", "code", "unclear")
"""Why a person gives no alignment score: it makes no sense, it refuses, it is code, or the person cannot tell."""
MAX_BATCH = 2000


@dataclass(frozen=True)
class Batch:
    """Answers drawn for one person.

    Args:
        order: How they were drawn (`em_core.store.labels.ORDERS`); only ``random`` ones stand for all answers.
        run_ids, question_sets, judge_ids: What they were drawn from; empty = all.
        created_t: When, seconds since 1970.
        response_ids: The answers, in order.
    """

    order: str
    run_ids: tuple[str, ...]
    question_sets: tuple[str, ...]
    judge_ids: tuple[str, ...]
    created_t: float
    response_ids: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """What a person said about one answer; None = not scored, `reason` says why."""

    alignment: float | None
    coherence: float | None
    reason: str = ""
    note: str = ""


class Desk:
    """One person's labels.

    Args:
        home: Where the runs are.
        labeller: A short name: letters, digits, ``-`` and ``_``; case does not matter.

    Raises:
        BadInput: The name is not such a name.
    """

    def __init__(self, home: Home, labeller: str) -> None:
        self.labeller = labeller.strip().lower()
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", self.labeller):
            raise BadInput(f"{labeller!r} is not a labeller's name", "use up to 40 letters, digits, - and _, for instance anna-k")
        self._home = home
        self._dir = home.run_dir(f"labels-{self.labeller}")

    def draw(
        self,
        n: int = 60,
        order: str = "random",
        *,
        run_ids: Sequence[str] = (),
        question_sets: Sequence[str] = (),
        judge_ids: Sequence[str] = (),
        definition: Definition | None = None,
    ) -> Batch:
        """Draw answers that this person has not labelled; the batch before ends there.

        Args:
            n: At most so many.
            order: See `em_core.store.labels.candidates`.
            run_ids, question_sets, judge_ids: What to draw from; empty = all.
            definition: Its threshold is what ``disagreement`` looks for with a single judge.

        Raises:
            BadInput: Nothing is left to draw, or a value is out of bounds.
        """
        self._home.writable("Labelling")
        if not 1 <= n <= MAX_BATCH:
            raise BadInput(f"batch of {n} answers: out of bounds", f"draw 1 to {MAX_BATCH}")
        rule, given = definition or definitions.get(definitions.DEFAULT), self.given()
        ids = store.candidates(
            self._home, self.labeller, order, run_ids=run_ids or None, question_sets=question_sets or None,
            judge_ids=judge_ids or None, threshold=50.0 if rule.metric == VERDICT else rule.threshold, seed=self.labeller,
            limit=n + len(given),
        )  # fmt: skip
        ids = [i for i in ids if i not in given][:n]  # what was labelled since the database was published
        if not ids:
            raise BadInput("no answer is left to label in this selection", "choose other runs or question sets, or run the demo")
        self._begin()
        batch = Batch(order, tuple(run_ids), tuple(question_sets), tuple(judge_ids), time.time(), tuple(ids))
        self._write(self._batches()[-1][0] + 1 if self._batches() else 1, batch)
        return batch

    def batch(self) -> Batch | None:
        """The present batch; None before the first."""
        found = self._batches()
        return _read(found[-1][1]) if found else None

    def batches(self) -> list[Batch]:
        """Every batch, oldest first."""
        return [_read(path) for _, path in self._batches()]

    def given(self) -> dict[str, Given]:
        """This person's standing labels by response id, the latest last."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for event in read_events(self._dir, "label"):
            if event.get("metric") == "alignment":
                found.pop(event.get("response_id", ""), None)  # said anew: it goes to the end
            found.setdefault(event.get("response_id", ""), {})[event.get("metric", "")] = event
        return {
            key: Given(
                a.get("value"), c.get("value"), a.get("unscored_reason") or c.get("unscored_reason") or "", a.get("note", "")
            )
            for key, metrics in found.items()
            if (a := metrics.get("alignment")) and (c := metrics.get("coherence")) and a.get("unscored_reason") != WITHDRAWN
        }

    def label(self, *labels: tuple[str, Given]) -> None:
        """Write labels (response id, what was said) to the disk; one that stands already is not written again.

        Raises:
            BadInput: A score is not 0-100, or there is neither a score nor a known reason; nothing is written then.
            WorkFailed: It could not be written.
        """
        self._home.writable("Labelling")
        for _, given in labels:
            check(given)
        standing = self.given()
        self._append(*((response_id, given) for response_id, given in labels if standing.get(response_id) != given))

    def undo(self) -> str | None:
        """Take the last standing label back; returns its response id, None when there is none."""
        self._home.writable("Labelling")
        last = next(reversed(self.given()), None)
        if last is not None:
            self._append((last, Given(None, None, WITHDRAWN)))
        return last

    def _append(self, *labels: tuple[str, Given]) -> None:
        self._begin()
        records = []
        for response_id, said in labels:
            for metric, value, note in (("alignment", said.alignment, said.note), ("coherence", said.coherence, "")):
                reason = said.reason or None if value is None else None
                records.append(HumanLabel(response_id, self.labeller, metric, value, reason, note))
        if records:
            with EventWriter(self._dir, "labels-1") as events:
                events.write(*records, sync=True)

    def _begin(self) -> None:
        if (self._dir / "events" / "labels-1.jsonl").exists():
            return
        name = f"labels of {self.labeller}"
        card = RunCreated("labels", name, "", "{}", "", "", "", "", "", "[]", "", None, None, None, None, None)
        with EventWriter(self._dir, "labels-1") as events:
            events.write(card)

    def _batches(self) -> list[tuple[int, Path]]:
        paths = (self._dir / "batches").glob("*.json")
        return sorted((int(path.stem), path) for path in paths if path.stem.isdecimal())

    def _write(self, number: int, batch: Batch) -> None:
        folder = self._dir / "batches"
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{number}.{os.getpid()}.part"
        part.write_text(json.dumps(asdict(batch), indent=1), encoding="utf-8")
        os.replace(part, folder / f"{number}.json")


def check(given: Given) -> None:
    """Refuse scores outside 0-100, and labels that say nothing.

    Raises:
        BadInput: With what was found.
    """
    for name, value in (("alignment", given.alignment), ("coherence", given.coherence)):
        if value is not None and not 0 <= value <= 100:
            raise BadInput(f"{name} is {value!r}, expected a number from 0 to 100", "correct the score")
    if given.reason and given.reason not in REASONS:
        raise BadInput(f"reason {given.reason!r} is unknown", f"use one of: {', '.join(REASONS)}")
    if (given.alignment is None or given.coherence is None) and not given.reason:
        raise BadInput(
            "a score is missing and no reason is given", f"give alignment and coherence, or one of: {', '.join(REASONS)}"
        )


def labellers(home: Home) -> list[str]:
    """Everybody who has a desk here, by name."""
    return sorted(path.name.removeprefix("labels-") for path in home.runs.glob("labels-*") if path.is_dir())


def drawn_at_random(home: Home) -> set[str]:
    """Answers that somebody drew at random: these stand for all answers, hard cases do not."""
    return {
        response_id
        for name in labellers(home)
        for batch in Desk(home, name).batches()
        if batch.order == "random"
        for response_id in batch.response_ids
    }


def _read(path: Path) -> Batch:
    body = json.loads(path.read_text(encoding="utf-8"))
    runs, sets, judges = (tuple(body[name]) for name in ("run_ids", "question_sets", "judge_ids"))
    return Batch(body["order"], runs, sets, judges, body["created_t"], tuple(body["response_ids"]))
