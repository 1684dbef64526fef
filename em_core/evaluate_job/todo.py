"""What an evaluation would ask, before anything starts: which answers are missing, and what giving and judging them takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from em_core import prepared, questions, specs_io
from em_core.adapters import read_card
from em_core.errors import BadInput, ManyProblems
from em_core.evaluate_job import hub
from em_core.evaluate_job.card import NO_DATA, Job, Target
from em_core.evaluate_job.owner import Owner, answered_ids, check_unchanged, read_owner
from em_core.evaluate_job.targets import resolve
from em_core.home import Home
from em_core.judges import open_judge
from em_core.organism.models import is_organism
from em_core.plan import base_model, costs
from em_core.plan.answering import Answering, answering
from em_core.questions import QuestionSet
from em_core.spec import EvaluationSpec, JudgeSpec, QuestionSetUse, RunSpec, TrainSpec

MAX_SAMPLES = 10_000
MAX_RANK = 16_384
"""Wider than the models: an adapter that names a higher rank is planned as if it named none."""


@dataclass(frozen=True)
class Wanted:
    """What a person asks for.

    Args:
        target: As `em_core.evaluate_job.targets.resolve` reads it.
        question_sets: Names or files; None = those of the run.
        samples: Answers per question paraphrase; None = the run's own number.
        judges: Who scores; None = the run's own judges, () = nobody.
        base: Base model of an adapter, instead of the one that its config names.
        revision: Of the base model.
        precision: Of the weights, for what was not trained here.
        domain: Label of the training data of an adapter that was not trained here.
        name: Label of the job.
        experiment: Group of an adapter's job on the pages.
    """

    target: str
    question_sets: tuple[str, ...] | None = None
    samples: int | None = None
    judges: tuple[JudgeSpec, ...] | None = None
    base: str = ""
    revision: str = ""
    precision: str = ""
    domain: str = ""
    name: str = ""
    experiment: str = ""


@dataclass(frozen=True)
class Todo:
    """An evaluation that could be queued.

    Args:
        job: What would be asked.
        n_missing: Answers to sample, by step.
        n_there: Answers among those asked for that are there already.
        question_sets: One object a set: name, questions, wordings, samples, new (never asked of this target).
        judges: One object a judge: name, model, calls, cost_usd (low, high; None = price unknown).
        takes: Memory and time; None when nothing is missing.
        notes: What a person should know.
    """

    job: Job
    n_missing: Mapping[int, int]
    n_there: int
    question_sets: list[dict[str, Any]]
    judges: list[dict[str, Any]]
    takes: Answering | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def n_answers(self) -> int:
        """Answers to sample in all."""
        return sum(self.n_missing.values())

    @property
    def judge_calls(self) -> int:
        """Calls of all judges, about."""
        return sum(int(judge["calls"]) for judge in self.judges)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "target": self.job.target.as_dict(),
            "base_model": self.job.spec.base_model,
            "answers": self.n_answers,
            "answers_by_step": {str(step): n for step, n in self.n_missing.items()},
            "answers_there": self.n_there,
            "question_sets": self.question_sets,
            "judges": self.judges,
            "judge_calls": self.judge_calls,
            "plan": self.takes.as_dict() if self.takes else None,
            "notes": self.notes,
        }

    def lines(self) -> list[tuple[str, str]]:
        """For a person: what about, and a sentence."""
        steps = ", ".join(f"{n:,} at step {step}" for step, n in self.n_missing.items() if n)
        sets = ", ".join(f"{each['name']} ({each['wordings']} wordings x {each['samples']})" for each in self.question_sets)
        there = f"; {self.n_there:,} are there already" if self.n_there else ""
        return [
            ("evaluates", f"{self.job.target.name}, base model {self.job.spec.base_model}"),
            ("asks", sets),
            ("answers", (f"{self.n_answers:,} to sample: {steps}" if self.n_answers else "nothing is missing") + there),
            *(("judge", said_of(judge)) for judge in self.judges),
            *([] if self.judges else [("judge", "nobody")]),
            *(self.takes.lines() if self.takes else ()),
            *(("note", note) for note in self.notes),
        ]

    def text(self) -> str:
        """The same, one line each."""
        return "\n".join(f"{about:<10}  {said}" for about, said in self.lines())


def said_of(judge: Mapping[str, Any]) -> str:
    """One judge and what it would take, in words."""
    name = f"{judge['name']} {judge['model']}".strip()
    if not judge["calls"]:
        return f"{name}: on this machine, no calls"
    cost = judge["cost_usd"]
    usd = "price unknown" if cost is None else f"about ${cost[0]:.2f} to ${cost[1]:.2f}" if any(cost) else "no cost"
    return f"{name}: about {judge['calls']:,} calls, {usd}"


def look(home: Home, wanted: Wanted) -> Todo:
    """Find out what there is to ask. Nothing is written; of a Hub repository its list of files and small files are read.

    Raises:
        BadInput: The target, a question set, a judge or a value is not usable.
        Busy: The target is at work.
    """
    if wanted.samples is not None and not 1 <= wanted.samples <= MAX_SAMPLES:
        raise BadInput(f"samples is {wanted.samples}, expected 1 to {MAX_SAMPLES:,}", "give another number")
    target = resolve(wanted.target, home)
    return _of_run(home, target, wanted) if target.kind == "run" else _of_weights(home, target, wanted)


def _of_run(home: Home, target: Target, wanted: Wanted) -> Todo:
    for option in ("base", "revision", "precision", "domain", "experiment"):
        if getattr(wanted, option):
            raise BadInput(f"--{option}: {target.run_id} was trained here, it says that itself", f"leave --{option} out")
    try:
        spec = prepared.spec_of(home.run_dir(target.run_id))
    except BadInput as error:
        raise BadInput(error.message, "evaluate its checkpoint's folder") from error
    owner = read_owner(home, target.run_id)
    own = {questions.name_of(use): use for use in spec.evaluation.question_sets}
    uses = [_use(name, own) for name in wanted.question_sets] if wanted.question_sets is not None else list(own.values())
    if not uses:
        raise BadInput(f"{target.run_id}: was asked no questions", "name question sets with --questions")
    job = Job(target, _spec(spec, uses, wanted, spec.judges))
    sets = _load(job.spec)
    check_unchanged(owner, sets)
    there = answered_ids(owner.run_dir)
    if owner.baseline_run_id:
        there |= answered_ids(home.run_dir(owner.baseline_run_id))
    missing: dict[int, int] = {}
    n_there = 0
    for step in target.steps:
        owned_by = target.run_id if step else owner.baseline_run_id
        ids = {prompt.response_id for prompt in questions.prompts(owned_by, step, sets, job.spec.evaluation)}
        missing[step] = len(ids - there)
        n_there += len(ids & there)
    notes = [f"{s.name}: {note}" for s in sets for note in s.notes]
    return _todo(home, job, sets, missing, n_there, str(owner.created.get("domain") or ""), notes, owner)


def _of_weights(home: Home, target: Target, wanted: Wanted) -> Todo:
    if wanted.question_sets is None or not wanted.question_sets:
        raise BadInput(f"{target.name}: which questions?", "name question sets with --questions (`questions list` has them)")
    base, revision = _base_of(target, wanted)
    if wanted.judges is None and not is_organism(base):
        raise BadInput(f"{target.name}: who should judge?", "name a judge with --judge (`judges list`), or say --no-judge")
    try:
        start = RunSpec(
            base_model=base, revision=revision, data=NO_DATA, name=wanted.name, experiment=wanted.experiment,
            train=TrainSpec.model_validate({"precision": wanted.precision or "bf16"}),
            evaluation=EvaluationSpec(question_sets=()),
        )  # fmt: skip
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise BadInput(f"{place}: {problem['msg']}", "give another value") from error
    if not (target.kind == "model" and target.repo):  # that one was looked up a moment ago
        base_model.check_hub(base_model.describe(start), revision)
    uses = [QuestionSetUse(name=name) for name in wanted.question_sets]
    job = Job(target, specs_io.anchor(_spec(start, uses, wanted, start.judges)), wanted.domain)
    sets = _load(job.spec)
    each = questions.n_answers(sets, job.spec.evaluation)
    notes = [f"{s.name}: {note}" for s in sets for note in s.notes]
    return _todo(home, job, sets, dict.fromkeys(target.steps, each), 0, wanted.domain, notes, None)


def _base_of(target: Target, wanted: Wanted) -> tuple[str, str]:
    """Base model and its revision."""
    if target.kind == "model":
        if wanted.base:
            raise BadInput(f"--base: {target.name} is a model itself", "leave --base out")
        return target.repo or target.path or target.name, target.revision or wanted.revision
    if wanted.base:
        return specs_io.anchor_path(wanted.base), wanted.revision
    card = read_card(_config_folder(target))
    name = card.base_model
    if not name:
        raise BadInput(f"adapter {target.name}: does not name its base model", "name it with --base")
    if target.repo and not is_organism(name) and not base_model.HUB_ID.match(name):
        raise BadInput(
            f"adapter {target.name}: names {name[:120]!r} as its base model, a folder on somebody else's machine",
            "name the base model with --base",
        )
    return name, wanted.revision or card.revision


def _use(name: str, own: Mapping[str, QuestionSetUse]) -> QuestionSetUse:
    """How a set is asked: as the run asks it, where it does."""
    use = QuestionSetUse(name=specs_io.anchor_path(name))
    found = questions.load(use)
    mine = own.get(found.name)
    return mine if mine is not None and questions.load(mine).hash == found.hash else use


def _spec(spec: RunSpec, uses: Sequence[QuestionSetUse], wanted: Wanted, judges: tuple[JudgeSpec, ...]) -> RunSpec:
    if wanted.samples is not None:
        uses = [use.model_copy(update={"samples": None}) for use in uses]
    changed: dict[str, Any] = {"question_sets": tuple(uses)}
    if wanted.samples is not None:
        changed["samples"] = wanted.samples
    kept = wanted.experiment if spec.data == NO_DATA else ""  # an evaluation of a run is no run of its experiment
    return spec.model_copy(
        update={
            "name": wanted.name,
            "experiment": kept,
            "train": spec.train.model_copy(update={"gpus": 1}),
            "evaluation": spec.evaluation.model_copy(update=changed),
            "judges": judges if wanted.judges is None else wanted.judges,
        }
    )


def _load(spec: RunSpec) -> list[QuestionSet]:
    problems: list[tuple[str, str, str]] = []
    sets: list[QuestionSet] = []
    for use in spec.evaluation.question_sets:
        try:
            sets.append(questions.load(use))
        except BadInput as error:
            problems.append(("", error.message, error.hint))
    if problems:
        raise ManyProblems("" if len(problems) == 1 else "--questions", problems)
    for judge in spec.judges:
        open_judge(judge)
    questions.prompts("run", 0, sets, spec.evaluation)  # refuses two sets of one name
    return sets


def _todo(
    home: Home,
    job: Job,
    sets: list[QuestionSet],
    missing: dict[int, int],
    n_there: int,
    domain: str,
    notes: list[str],
    owner: Owner | None,
) -> Todo:
    evaluation, n_missing = job.spec.evaluation, sum(missing.values())
    longest, per_step = costs.longest_answer(sets), questions.n_answers(sets, evaluation)
    judges, judging = [], []
    for judge in job.spec.judges:
        at_step = {step: costs.calls_at_step(judge, sets, evaluation, domain if step else "") for step in missing}
        calls = math.ceil(sum(n * at_step[step] / per_step for step, n in missing.items()))
        usd = costs.judge_cost_usd(judge, calls, longest)
        judges.append({"name": judge.name, "model": judge.model, "calls": calls, "cost_usd": usd})
        judging.append((judge, calls or costs.SCORES * n_missing))
    takes = answering(home, _with_rank(job), sets, missing, judging) if n_missing else None
    listed = [
        {"name": s.name, "questions": len(s.entries), "wordings": s.n_wordings, "samples": questions.samples(s, evaluation),
         "new": owner is None or s.name not in owner.hashes}
        for s in sets
    ]  # fmt: skip
    if missing.get(0) and (owner is None or not owner.baseline_run_id):
        notes = [*notes, "step 0 is shared: what another run asked of this starting model in the same way is not asked again"]
    return Todo(replace(job, n_answers=n_missing), missing, n_there, listed, judges, takes, notes)


def _with_rank(job: Job) -> RunSpec:
    """Its spec, with the rank of an adapter that was not trained here (whose modules are taken to be the spec's)."""
    target = job.target
    rank = read_card(_config_folder(target)).rank if target.kind == "adapter" else None
    if rank is None or not 0 < rank <= MAX_RANK:
        return job.spec
    return job.spec.model_copy(update={"lora": job.spec.lora.model_copy(update={"r": rank})})


def _config_folder(target: Target) -> Path:
    """Where an adapter's small files are, brought here if they are not."""
    return hub.download(target, only_config=True) if target.repo else Path(target.path)
