"""What a spec would do, before anything starts; and everything that is wrong with it.

    validate(spec, home)       raises ManyProblems with all problems at once, or returns nothing
    plan(spec, home).text()    steps, checkpoints, tokens, answers, judge calls and cost, memory, disk, time, warnings

Loads no torch. Nothing is written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from em_core import datasets, questions, schedule
from em_core.home import Home
from em_core.machine import Gpu
from em_core.plan import base_model, costs, hardware, tokens
from em_core.plan.base_model import BaseModel
from em_core.plan.preflight import validate
from em_core.plan.warnings import warnings_of
from em_core.spec import RunSpec

__all__ = ["Plan", "plan", "validate"]


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
        layout: micro_batch, accumulation, gradient_checkpointing as ``auto`` would choose; null where unknown.
        memory_gib: Peak memory of a training step, about; null where the model's shape is unknown.
        memory_free_gib: Memory there is.
        adapter_params: Trained parameters; null where unknown.
        disk_gib: For checkpoints, and for a base model that has to be downloaded.
        disk_free_gib: Free disk space of the home.
        time_s: (low, high) for training and sampling; null where unknown.
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
    layout: dict[str, Any] | None
    memory_gib: float | None
    memory_free_gib: float
    adapter_params: int | None
    disk_gib: float
    disk_free_gib: float
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


def plan(spec: RunSpec, home: Home | None = None) -> Plan:
    """Work out what a run would do.

    Args:
        spec: The run.
        home: Where it would be kept (for the disk space).

    Raises:
        BadInput: Its data, questions or model cannot be read (`validate` reports all problems at once).
    """
    home = home or Home.find()
    rows, info = datasets.load_all(spec)
    sets = [questions.load(use) for use in spec.evaluation.question_sets]
    model = base_model.describe(spec)
    per_epoch = schedule.steps_per_epoch(len(rows), spec.train.effective_batch, spec.train.drop_last)
    steps = schedule.checkpoint_steps(len(rows), spec.train, spec.checkpoints)
    count = tokens.count(rows, spec.train.max_length, model.folder)
    used = spec.train.effective_batch * per_epoch / len(rows) if spec.train.drop_last else 1.0
    tokens_total = round(count.total * min(used, 1.0) * steps[-1] / per_epoch)
    per_checkpoint = questions.n_answers(sets, spec.evaluation)
    n_evaluations = (len(steps) + 1) if sets else 0
    found = hardware.gpus()
    gpu = max(found, key=lambda g: g.total_gib) if found else None
    layout, adapter = _layout(spec, model, count.longest, gpu)
    longest = costs.longest_answer(sets)
    sampled = costs.answer_tokens(sets, spec.evaluation) * n_evaluations
    judges = []
    for judge in spec.judges if sets else ():
        calls = costs.judge_calls(judge, sets, spec.evaluation, n_evaluations, info.domain)
        judges.append(
            {"name": judge.name, "model": judge.model, "calls": calls, "cost_usd": costs.judge_cost_usd(judge, calls, longest)}
        )
    partial = Plan(
        label=spec.label,
        base_model=spec.base_model,
        n_params=model.n_params,
        toy=model.kind == "organism" or any(part.toy for part in info.parts),
        domain=info.domain,
        data=info.sources(),
        n_rows=len(rows),
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
        device=gpu.name if gpu else "cpu",
        layout=layout,
        memory_gib=layout["memory_gib"] if layout else None,
        memory_free_gib=round(hardware.memory_gib(), 2),
        adapter_params=adapter,
        disk_gib=round((len(steps) * (adapter or 0) * 4 + model.size_on_disk) / 2**30, 3),
        disk_free_gib=round(hardware.disk_free_gib(home.root), 2),
        time_s=costs.time_s(model.n_params, gpu, tokens_total, steps[-1], sampled, n_evaluations, longest),
        warnings=[],
        notes=info.notes + [f"{s.name}: {note}" for s in sets for note in s.notes],
    )  # fmt: skip
    partial.warnings.extend(warnings_of(spec, partial, model, sets))
    return partial


def _layout(spec: RunSpec, model: BaseModel, longest: int, gpu: Gpu | None) -> tuple[dict[str, Any] | None, int | None]:
    """How a step would be computed, as the trainer chooses it, and the adapter's parameters."""
    if model.shape is None:
        return None, None
    from em_core.errors import EMError
    from em_core.training import _layout as layouts

    packed = spec.train.padding_free == "on" or (spec.train.padding_free == "auto" and gpu is not None)
    lengths = [min(longest, spec.train.max_length)] * spec.train.effective_batch
    try:
        chosen = layouts.choose(spec.train, spec.lora, model.shape, lengths, 0.9 * hardware.memory_gib(), packed)
    except EMError:  # too large whatever is chosen: show the smallest that there is
        from em_core.training.memory import estimate

        need = estimate(model.shape, spec.lora, spec.train.precision, lengths[0], True, optimizer=spec.train.optimizer)
        chosen = layouts.Layout(1, spec.train.effective_batch, packed, True, need.total_gib)
    body = {
        "micro_batch": chosen.micro_batch,
        "accumulation": chosen.accumulation,
        "gradient_checkpointing": chosen.checkpointing,
        "memory_gib": round(chosen.estimate_gib, 2),
    }
    return body, model.shape.n_lora(spec.lora)
