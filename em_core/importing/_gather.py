"""Items of all files become runs: ids, samples, questions and judges are given here; counted, and written when asked."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from em_core.importing._files import File
from em_core.importing._items import Answer, Card, Event, Item, Rate, Skip, Unscored, Wishes
from em_core.importing._lossless import Whole
from em_core.importing._questions import made_id
from em_core.importing._report import FileReport, LeftOut, Report, RunReport
from em_core.importing._staging import Stage
from em_core.judges.identity import identify
from em_core.records import (
    Checkpoint,
    ImportedFile,
    JudgeIdentity,
    Judgement,
    QuestionRow,
    Record,
    Response,
    RunCreated,
    RunFacts,
    RunState,
    response_id,
)  # fmt: skip

_MAX_LINE = 48 << 20  # the store reads lines of up to 64 MiB


@dataclass
class _Run:
    card: Card
    run_id: str
    report: RunReport
    files: list[int] = field(default_factory=list)
    steps: set[int] = field(default_factory=set)
    sets: Counter[str] = field(default_factory=Counter)
    samples: Counter[tuple[int, str, str, int, str]] = field(default_factory=Counter)
    questions: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    judges: dict[tuple[str, str], JudgeIdentity] = field(default_factory=dict)


class Gathering:
    """Takes the items of one file after the other.

    Args:
        wishes: What the person said.
        stage: Where events are written; None = only count (a preview).
        whole: What takes the events of runs of ours.
    """

    def __init__(self, wishes: Wishes, stage: Stage | None, whole: Whole) -> None:
        self._wishes = wishes
        self._stage = stage
        self._whole = whole
        self._t = time.time()
        self._runs: dict[str, _Run] = {}
        self._files: list[FileReport] = []
        self._left: tuple[LeftOut, LeftOut] = LeftOut(), LeftOut()

    def begin(self, file: File, format: str, sha256: str) -> FileReport:
        """The items that follow are of this file."""
        self._files.append(FileReport(file.given, format, sha256, note=file.encoding_note))
        self._left = LeftOut(), LeftOut()
        return self._files[-1]

    def take(self, item: Item) -> None:
        """One item of the present file."""
        report, (skipped, unscored) = self._files[-1], self._left
        if isinstance(item, Answer):
            report.n_rows += 1
            report.n_imported += self._answer(item)
        elif isinstance(item, Rate):
            report.n_rows += 1
            report.n_imported += 1
            run = self._run(item.card)
            run.report.n_rates += 1
            self._write(run, item.rate)
        elif isinstance(item, Event):
            report.n_rows += 1
            report.n_imported += 1
            if other := self._whole.elsewhere(item.run_id, report.file):
                report.n_imported -= 1
                skipped.add(item.run_id, f"the run comes from {other} already; two exports of a run are never mixed")
                return
            self._whole.take(item, report.file)
            if item.run_id not in report.runs:
                report.runs.append(item.run_id)
        elif isinstance(item, Skip):
            report.n_rows += item.n
            skipped.add(item.where, item.reason, item.n)
        elif isinstance(item, Unscored):
            unscored.add(item.where, item.reason)
        else:
            self._run(item)

    def abandon(self, problem: str) -> None:
        """The present file cannot be read on: runs of ours that it began are not made (answers of others that came are whole)."""
        report = self._files[-1]
        report.problem = problem
        for run_id in [run_id for run_id in report.runs if self._whole.drop(run_id)]:
            report.runs.remove(run_id)
            report.n_imported = 0

    def end(self) -> None:
        """The present file has no more items."""
        report = self._files[-1]
        report.skipped, report.unscored = (left.documents() for left in self._left)

    def finish(self, n_other: int = 0) -> Report:
        """Close every run: links to baselines, cards, facts; what was imported is written into each run."""
        self._runs = {key: run for key, run in self._runs.items() if run.report.n_answers or run.report.n_rates}
        for run in self._runs.values():
            self._link(run)
        for run in self._runs.values():
            self._close(run)
        whole = self._whole.finish(self._files, self._t)
        for report in self._files:
            if not report.n_imported and not report.problem:
                reasons = [f"{entry['where']}: {entry['reason']}".removeprefix(": ") for entry in report.skipped[:2]]
                report.problem = "; ".join(reasons) or "there is no row in it"
        reports = sorted((run.report for run in self._runs.values()), key=lambda run: not run.n_answers)  # rates alone come last
        return Report(self._files, [*reports, *whole], n_other, self._stage is not None)

    def _answer(self, item: Answer) -> bool:
        run, wishes = self._run(item.card), self._wishes
        for what, length in (("answer", _length(item.text)), ("question", _length(item.prompt) + _length(item.system))):
            if length > _MAX_LINE:
                self._left[0].add(item.where, f"the {what} is longer than {_MAX_LINE >> 20} MB")
                return False
        name = wishes.question_set or _encodable(item.question_set)
        question = item.question_id or made_id(item.prompt)
        paraphrase, known = _paraphrase(run, name, question, item.system + "\0" + item.prompt)
        place = (item.step, name, question, paraphrase, item.cue)
        sample = run.samples[place]
        judge = None
        if item.scores:
            by = (_encodable(item.judge) or wishes.judge_name or f"scores of {run.card.study}", item.mode)
            judge = run.judges.get(by)
            if judge is None:
                judge = run.judges[by] = identify("imported", *by, "", {})
                self._write(run, judge)
        if self._stage is not None:
            if not known:
                self._write(run, QuestionRow(name, "", question, paraphrase, item.system, item.prompt, "", item.question_kind))
            self._write(run, *_records(item, run.run_id, name, question, paraphrase, sample, judge))
        run.samples[place] = sample + 1
        run.report.n_answers += 1
        run.report.n_scores += sum(s.value is not None or s.verdict is not None for s in item.scores)
        run.steps.add(item.step)
        run.sets[name] += 1
        return True

    def _run(self, card: Card) -> _Run:
        file = self._files[-1]
        key, run = card.key, self._runs.get(card.key)
        if run is None:
            card = replace(
                card, key=_encodable(key), label=_encodable(card.label), study=_encodable(card.study),
                base_model=_encodable(card.base_model), domain=_encodable(card.domain),
            )  # fmt: skip
            digest = hashlib.sha256(f"{card.key}\x1f{file.sha256}".encode()).hexdigest()[:8]
            slug = re.sub(r"[^A-Za-z0-9._]+", "-", card.label).strip("-.")[:60] or "run"
            run_id = f"imported-{slug}-{digest}"
            label = self._wishes.label or card.label
            report = RunReport(run_id, label, card.study, "imported", card.base_model, card.size_b, card.domain)
            run = self._runs[key] = _Run(card, run_id, report)
        if len(self._files) - 1 not in run.files:
            run.files.append(len(self._files) - 1)
            file.runs.append(run.run_id)
        if run.card.config == "{}" and card.config != "{}":
            run.card = card
        return run

    def _link(self, run: _Run) -> None:
        """A base model's answers are step 0 of the runs of its study whose names begin as its folder does."""
        prefix = run.card.baseline_of
        mine = [
            other for other in self._runs.values()
            if prefix and not other.card.baseline_of and other.card.study == run.card.study
            and other.report.n_answers and 0 not in other.steps
            and re.match(rf"{re.escape(prefix)}(?![a-z0-9])", other.card.label, re.IGNORECASE)
        ]  # fmt: skip
        for other in mine:
            other.report.baseline = run.run_id
            if run.report.base_model == "unknown":
                run.report.base_model, run.report.size_b = other.report.base_model, other.report.size_b
        if mine:
            run.report.run_kind = "baseline"

    def _close(self, run: _Run) -> None:
        card, report = run.card, run.report
        report.steps, report.question_sets = sorted(run.steps), dict(run.sets)
        report.judges = sorted(judge.judge_id for judge in run.judges.values())
        if self._stage is None:
            return
        facts = RunFacts(
            round(report.size_b * 1e9) if report.size_b else None, report.size_b, card.n_rows, card.steps_per_epoch,
            card.total_steps or max(report.steps, default=0), sum(step > 0 for step in report.steps), report.n_answers,
            report.baseline, "", "", "", "", "{}", 1,
        )  # fmt: skip
        created = RunCreated(
            run_kind=report.run_kind, label=report.label, experiment=card.study, spec_json=card.config, spec_hash="",
            base_model=report.base_model, revision="", backend="imported", domain=card.domain, data_sources="[]",
            parent_run_id="", parent_step=None, learning_rate=card.learning_rate, lora_r=card.lora_r,
            effective_batch=card.effective_batch, seed=card.seed, toy=report.base_model.startswith("organism"),
        )  # fmt: skip
        records: list[Record] = [created, facts, RunState("run", "finished", "imported results", "", 1)]
        if card.steps_per_epoch:
            records += [
                Checkpoint(step, step / card.steps_per_epoch, "", "", 0, step * (card.effective_batch or 0))
                for step in report.steps
            ]
        files = [self._files[number] for number in run.files]
        records += [imported(file) for file in files]
        for record in records:
            self._stage.write(run.run_id, record, self._t, "import")
        self._stage.card(run.run_id, [{"file": f.file, "sha256": f.sha256} for f in files])

    def _write(self, run: _Run, *records: Record) -> None:
        if self._stage is not None:
            for record in records:
                self._stage.write(run.run_id, record, self._t)


def _records(
    item: Answer, run_id: str, name: str, question: str, paraphrase: int, sample: int, judge: JudgeIdentity | None
) -> Iterator[Record]:
    key = response_id(run_id, item.step, name, question, paraphrase, sample, item.cue)
    yield Response(
        key, item.step, name, question, paraphrase, sample, item.cue, item.text, item.finish_reason, item.n_tokens, 0, item.seed,
        item.decoding, "",
    )  # fmt: skip
    if judge is not None:
        for s in item.scores:
            yield Judgement(
                key, judge.judge_id, s.metric, s.value, s.reason, s.raw, s.token_probs, None, None, False, s.verdict
            )  # fmt: skip


def imported(file: FileReport) -> ImportedFile:
    """The event that tells of a file."""
    left = [*file.skipped, *({**entry, "reason": f"kept without a score: {entry['reason']}"} for entry in file.unscored)]
    name = file.file.replace("\\", "/").rsplit("/", 1)[-1]
    return ImportedFile(
        name, file.format, file.sha256, file.n_rows, file.n_imported, json.dumps(left, ensure_ascii=False), file.note
    )


def _length(text: str) -> int:
    """Characters of the text as JSON, at least; exact where it matters."""
    return len(json.dumps(text)) if len(text) > _MAX_LINE // 12 else len(text)


def _encodable(text: str) -> str:
    """The text without lone surrogates, which JSON may hold and no name, file or table can."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _paraphrase(run: _Run, name: str, question: str, prompt: str) -> tuple[int, bool]:
    """Which wording of the question this is, and whether it was seen before."""
    known = run.questions.setdefault((name, question), [])
    digest = hashlib.blake2b(prompt.encode("utf-8", "replace"), digest_size=8).digest()
    if digest in known:
        return known.index(digest), True
    known.append(digest)
    return len(known) - 1, False
