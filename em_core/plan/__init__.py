"""What a spec would do, before anything starts; and everything that is wrong with it.

    validate(spec, home)       raises ManyProblems with all problems at once, or returns nothing
    plan(spec, home).text()    steps, checkpoints, tokens, answers, judge calls and cost, memory, disk, time, warnings
    needs(spec)                only what the queue asks: GPUs and their memory

Loads no torch. Nothing is written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from em_core import questions, schedule
from em_core.home import Home
from em_core.machine import Gpu
from em_core.plan import base_model, costs, disk, hardware, memory, phases, rows, timing, tokens
from em_core.plan.base_model import BaseModel
from em_core.plan.memory import Memory, Needs
from em_core.plan.phases import Phase
from em_core.plan.preflight import validate
from em_core.plan.rows import Rows
from em_core.plan.warnings import warnings_of
from em_core.questions import QuestionSet
from em_core.spec import RunSpec

__all__ = ["Needs", "Plan", "needs", "plan", "validate"]


@dataclass(frozen=True)
class Plan:
    """What a run would do. JSON-able by `as_dict`.

    Args:
        label: The run's label.
        base_model: As in the spec.
        n_params: Parameters of the base model, where known.
        toy: Whether the base model or the data belong to the toy world.
        domain: Domain label of the training data.
        data: One object a part: name, path, domain, rows, n_rows_file, sha256.
        n_rows: Training rows.
        effective_batch: Rows per optimizer step.
        steps_per_epoch: Optimizer steps in one pass.
        total_steps: Optimizer steps in all.
        checkpoint_steps: Steps that are saved and evaluated.
        tokens_per_epoch: Training tokens in one pass, rows cut to the longest length.
        tokens_total: Training tokens in all.
        tokens_estimated: Whether the tokens are guessed (the tokenizer is not on this machine).
        n_truncated: Rows longer than ``train.max_length``.
        longest_row_tokens: Tokens of the longest row, before cutting.
        question_sets: One object a set: name, hash, questions, wordings, samples, answers.
        answers_per_checkpoint: Answers at one checkpoint.
        n_evaluations: Checkpoints, and step 0 (which runs share).
        n_answers: Answers in all.
        judges: One object a judge: name, model, calls, cost_usd (low, high; null = unknown).
        device: ``cpu``, or the GPU's name.
        gpus: GPUs that share the run.
        layout: micro_batch, accumulation, gradient_checkpointing and compiled as ``auto`` would choose, rows_at_once in
            sampling (0: nothing is sampled); null where unknown.
        memory_gib: Peak memory of the process on its device, about, libraries included; null where the model's shape
            is unknown.
        memory_train_gib: Of it, what PyTorch allocates at the peak of training (``gpu_mem_gib`` of the run's metrics).
        memory_sample_gib: The same at the peak of sampling; null also where nothing is sampled.
        memory_split: One object a phase and part: phase (training, sampling), part, gib.
        gpu_gib: Of `memory_gib`, what is asked of each GPU in the queue; null where a GPU is needed alone (`memory.Needs`).
        memory_free_gib: Memory there is: the whole of the largest GPU, or what is available to a CPU run.
        fit: ``fits``, ``tight``, ``too_big`` for that memory, or ``unknown``.
        cards: One object a GPU: index, name, total_gib, free_gib, fit (for the whole card), fit_now (for what is free).
        adapter_params: Trained parameters; null where unknown.
        disk_gib: For everything in `disk_split`.
        disk_split: GiB by purpose: checkpoints, resume state, events, download.
        disk_free_gib: Free disk space of the home.
        phases: One object a phase (load, train, sample, judge): low_s, middle_s, high_s, source, beside.
        time_source: Where the time of training comes from: ``from 3 runs on this machine``, ``rough``.
        time_s: (low, high) for the whole run; null where unknown.
        warnings: What is likely to disappoint, one sentence each.
        notes: What a person should know about the files.
    """

    label: str
    base_model: str
    n_params: int | None
    toy: bool
    domain: str
    data: list[dict[str, Any]]
    n_rows: int
    effective_batch: int
    steps_per_epoch: int
    total_steps: int
    checkpoint_steps: list[int]
    tokens_per_epoch: int
    tokens_total: int
    tokens_estimated: bool
    n_truncated: int
    longest_row_tokens: int
    question_sets: list[dict[str, Any]]
    answers_per_checkpoint: int
    n_evaluations: int
    n_answers: int
    judges: list[dict[str, Any]]
    device: str
    gpus: int
    layout: dict[str, Any] | None
    memory_gib: float | None
    memory_train_gib: float | None
    memory_sample_gib: float | None
    memory_split: list[dict[str, Any]]
    gpu_gib: float | None
    memory_free_gib: float
    fit: memory.Fit
    cards: list[dict[str, Any]]
    adapter_params: int | None
    disk_gib: float
    disk_split: dict[str, float]
    disk_free_gib: float
    phases: list[dict[str, Any]]
    time_source: str
    time_s: tuple[float, float] | None
    warnings: list[str]
    notes: list[str]

    @property
    def judge_calls(self) -> int:
        """Calls of all judges."""
        return sum(int(judge["calls"]) for judge in self.judges)

    def as_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return {**asdict(self), "judge_calls": self.judge_calls}

    def text(self) -> str:
        """The plan for a person, about 15 lines."""
        from em_core.plan.printing import printed

        return printed(self)


@dataclass(frozen=True)
class _Found:
    """What a spec names, looked up."""

    model: BaseModel
    rows: Rows
    sets: list[QuestionSet]
    steps: list[int]
    gpu: Gpu | None
    memory: Memory | None


def needs(spec: RunSpec) -> Needs:
    """What the run needs of this machine's GPUs.

    Raises:
        BadInput: Its data, questions or model cannot be read.
    """
    found = _look(spec)
    return memory.needs(spec, found.memory.peak_gib if found.memory else None, found.gpu is None)


def plan(spec: RunSpec, home: Home | None = None) -> Plan:
    """Work out what a run would do.

    Args:
        spec: The run.
        home: Where it would be kept: its disk space and its past runs count.

    Raises:
        BadInput: Its data, questions or model cannot be read (`validate` reports all problems at once).
    """
    home = home or Home.find()
    found = _look(spec)
    model, data, sets, steps, need = found.model, found.rows, found.sets, found.steps, found.memory
    per_epoch = schedule.steps_per_epoch(data.n, spec.train.effective_batch, spec.train.drop_last)
    count = data.count(spec.train.max_length)
    used = spec.train.effective_batch * per_epoch / data.n if spec.train.drop_last else 1.0
    tokens_total = round(count.total * min(used, 1.0) * steps[-1] / per_epoch)
    per_checkpoint = questions.n_answers(sets, spec.evaluation)
    n_evaluations = (len(steps) + 1) if sets else 0
    longest = costs.longest_answer(sets)
    judges, judging = [], []
    for judge in spec.judges if sets else ():
        calls = costs.judge_calls(judge, sets, spec.evaluation, n_evaluations, data.domain)
        cost = costs.judge_cost_usd(judge, calls, longest)
        judges.append({"name": judge.name, "model": judge.model, "calls": calls, "cost_usd": cost})
        judging.append((judge, calls or costs.SCORES * per_checkpoint * n_evaluations))
    adapter = model.shape.n_lora(spec.lora) if model.shape else None
    times: list[Phase] = []
    if model.n_params:
        work = _work(spec, found)
        rows_at_once = need.sampling.rows if need and need.sampling else per_checkpoint
        times = phases.phases(
            home, work, steps[-1], tokens_total / steps[-1] / spec.train.gpus, len(steps), n_evaluations, per_checkpoint,
            rows_at_once, longest, judging,
        )  # fmt: skip
    split = disk.split(spec, adapter, len(steps), per_checkpoint * n_evaluations, longest, judging, model, found.gpu is None)
    room = hardware.memory_gib()
    result = Plan(
        label=spec.label,
        base_model=spec.base_model,
        n_params=model.n_params,
        toy=model.kind == "organism" or data.toy,
        domain=data.domain,
        data=[dict(part) for part in data.sources],
        n_rows=data.n,
        effective_batch=spec.train.effective_batch,
        steps_per_epoch=per_epoch,
        total_steps=steps[-1],
        checkpoint_steps=steps,
        tokens_per_epoch=count.total,
        tokens_total=tokens_total,
        tokens_estimated=count.estimated,
        n_truncated=count.n_truncated,
        longest_row_tokens=count.longest,
        question_sets=[
            {"name": s.name, "hash": s.hash, "questions": len(s.entries), "wordings": s.n_wordings,
             "samples": questions.samples(s, spec.evaluation), "answers": s.n_wordings * questions.samples(s, spec.evaluation)}
            for s in sets
        ],
        answers_per_checkpoint=per_checkpoint,
        n_evaluations=n_evaluations,
        n_answers=per_checkpoint * n_evaluations,
        judges=judges,
        device=found.gpu.name if found.gpu else "cpu",
        gpus=spec.train.gpus,
        layout=need.chosen() if need else None,
        memory_gib=round(need.peak_gib, 2) if need else None,
        memory_train_gib=round(need.train_gib, 2) if need else None,
        memory_sample_gib=round(need.sample_gib, 2) if need and need.sample_gib else None,
        memory_split=need.split() if need else [],
        gpu_gib=memory.needs(spec, need.peak_gib if need else None, found.gpu is None).gpu_gib,
        memory_free_gib=round(room, 2),
        fit=memory.fit(need.peak_gib if need else None, room),
        cards=memory.cards(need.peak_gib if need else None, hardware.gpus()),
        adapter_params=adapter,
        disk_gib=round(sum(split.values()), 3),
        disk_split={name: round(gib, 3) for name, gib in split.items()},
        disk_free_gib=round(hardware.disk_free_gib(home.root), 2),
        phases=[phase.as_dict() for phase in times],
        time_source=next((phase.source for phase in times if phase.name == "train"), ""),
        time_s=phases.total_s(times, n_evaluations) if times else None,
        warnings=[],
        notes=[*data.notes, *(f"{s.name}: {note}" for s in sets for note in s.notes)],
    )  # fmt: skip
    result.warnings.extend(warnings_of(spec, result, model, sets))
    return result


def _look(spec: RunSpec) -> _Found:
    model = base_model.describe(spec)
    data = rows.read(spec, model.folder)
    sets = [questions.load(use) for use in spec.evaluation.question_sets]
    steps = schedule.checkpoint_steps(data.n, spec.train, spec.checkpoints)
    gpu = hardware.largest_gpu()
    need = None
    if model.shape is not None:
        columns, prompt_tokens = tokens.prompts(sets, model.folder)
        need = memory.plan(
            spec, model.shape, data.in_order(spec.train, steps[-1]), steps[-1], questions.n_answers(sets, spec.evaluation),
            columns, prompt_tokens, hardware.memory_gib(), cpu=gpu is None,
        )  # fmt: skip
    return _Found(model, data, sets, steps, gpu, need)


def _work(spec: RunSpec, found: _Found) -> timing.Work:
    layout = found.memory.layout if found.memory else None
    return timing.Work(
        n_params=found.model.n_params or 0,
        layers=found.model.shape.layers if found.model.shape else timing.layers_of(found.model.n_params or 0),
        precision=spec.train.precision,
        gpu=found.gpu.name if found.gpu else "",
        compiled=found.memory.compiled if found.memory else False,
        checkpointing=layout.checkpointing if layout else False,
        accumulation=layout.accumulation if layout else 1,
    )
