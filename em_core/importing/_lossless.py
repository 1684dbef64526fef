"""Runs of ours that come back from an export, event by event: ids, times and texts stay as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from em_core.events import read_events
from em_core.home import Home
from em_core.importing._items import Event
from em_core.importing._report import FileReport, RunReport
from em_core.importing._staging import Stage, line
from em_core.records import RECORDS, SIDE_KINDS, FinalState, ImportedFile, RunState
from em_core.store.parse import plan, problem

_MARK = 1 << 64


@dataclass
class _Run:
    report: RunReport
    file: str
    digest: int = 0
    n_events: int = 0
    last_state: str = ""
    steps: set[int] = field(default_factory=set)


class Whole:
    """Takes events of runs as they were exported.

    A run that is here already with the same events is left alone. One that is here with others is not touched
    either: later judgements, labels and health then come under another id (nothing refers to theirs), any other run is
    refused with the reason.

    Args:
        home: Where they go.
        stage: None = only count.
    """

    def __init__(self, home: Home, stage: Stage | None) -> None:
        self._home = home
        self._stage = stage
        self._runs: dict[str, _Run] = {}

    def elsewhere(self, run_id: str, file: str) -> str:
        """The other file of this import that the run comes from (two exports of one run are never mixed); empty = none."""
        run = self._runs.get(run_id)
        return run.file if run is not None and run.file != file else ""

    def take(self, event: Event, file: str) -> None:
        """One event of a file.

        Raises:
            BadInput: Its run's name cannot be a folder's.
        """
        run = self._runs.get(event.run_id)
        if run is None:
            self._home.run_dir(event.run_id)
            run = self._runs[event.run_id] = _Run(RunReport(event.run_id, event.run_id, "", "", "", None, ""), file)
        fields = fields_of(event.kind, event.fields)
        text = line(event.kind, fields["t"], fields)
        run.n_events += 1
        if event.kind != ImportedFile.kind:
            run.digest = (run.digest + _mark(text)) % _MARK
        self._count(run, event.kind, fields)
        if self._stage is not None:
            self._stage.write_line(event.run_id, text)

    def drop(self, run_id: str) -> bool:
        """Make this run no more; False where it is none of these."""
        if self._runs.pop(run_id, None) is None:
            return False
        if self._stage is not None:
            self._stage.drop(run_id)
        return True

    def finish(self, files: list[FileReport], t: float) -> list[RunReport]:
        """Settle what is here already, tell in each run where it comes from; one report a run."""
        reports = []
        for run_id, run in sorted(self._runs.items()):
            mine = [file for file in files if run_id in file.runs]
            reports.append(self._settle(run_id, run, mine, t))
        return reports

    def _settle(self, run_id: str, run: _Run, files: list[FileReport], t: float) -> RunReport:
        report = run.report
        report.steps = sorted(run.steps)
        there = next((f for f in (self._home.run_dir(run_id), self._home.demo / run_id) if f.is_dir()), None)
        target = run_id
        if there is not None:
            if digest_of(there) != run.digest and report.run_kind in SIDE_KINDS and report.run_kind != "baseline":
                target = f"{run_id[:110]}-{run.digest % (1 << 32):08x}"
                there = next((f for f in (self._home.run_dir(target),) if f.is_dir()), None)
            if there is not None:
                report.new = False
                same = digest_of(there) == run.digest
                reason = (
                    "the run is here already, with the same content" if same else "a run of this id is here with other content"
                )
                for file in files:
                    file.skipped.append({"where": run_id, "reason": reason, "n": run.n_events})
                    file.n_imported -= run.n_events
                    file.already |= same and not file.n_imported
                if self._stage is not None:
                    self._stage.drop(run_id)
                return report
        report.run_id = target
        if self._stage is not None:
            self._stage.flush()
            if target != run_id:
                self._stage.rename(run_id, target)
            if run.last_state and run.last_state not in FinalState:
                stopped = RunState("run", "stopped", f"it was {run.last_state} when it was exported", "", 0)
                self._stage.write(target, stopped, t, "import")
            for file in files:
                event = ImportedFile(Path(file.file).name, file.format, file.sha256, run.n_events, run.n_events, "[]", file.note)
                self._stage.write(target, event, t, "import")
            self._stage.card(target, [{"file": f.file, "sha256": f.sha256} for f in files])
        return report

    def _count(self, run: _Run, kind: str, fields: Any) -> None:
        report = run.report
        if kind == "run_created":
            report.label, report.study, report.run_kind = (
                fields["label"] or "",
                fields["experiment"] or "",
                fields["run_kind"] or "",
            )
            report.base_model, report.domain = fields["base_model"] or "", fields["domain"] or ""
        elif kind == "run_facts":
            report.size_b = fields["size_b"]
        elif kind == "response":
            report.n_answers += 1
            run.steps.add(fields["step"])
            report.question_sets[fields["question_set"]] = report.question_sets.get(fields["question_set"], 0) + 1
        elif kind == "judgement":
            report.n_scores += fields["value"] is not None or fields["verdict"] is not None
        elif kind == "judge" and fields["judge_id"] not in report.judges:
            report.judges.append(fields["judge_id"])
        elif kind == "published_rate":
            report.n_rates += 1
        elif kind == "state" and fields["phase"] == "run":
            run.last_state = fields["state"] or ""


def digest_of(run_dir: Path) -> int:
    """Identity of a run's events, whatever their order and files; events that tell of imports are left out."""
    found = 0
    for event in read_events(run_dir):
        kind = event.get("kind")
        if kind in RECORDS and kind != ImportedFile.kind and problem(kind, event) is None:
            found += _mark(line(kind, event["t"], fields_of(kind, event)))
    return found % _MARK


def fields_of(kind: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the kind's record, ``t`` first, numbers as their columns hold them; what is missing takes its default."""
    out = {}
    for item in plan(kind):
        value = event.get(item.name, item.default)
        out[item.name] = float(value) if item.python is float and value is not None else value
    return out


def _mark(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")
