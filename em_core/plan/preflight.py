"""Everything that is wrong with a run, before anything starts. Nothing is written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from em_core import checkpoints, datasets, judges, plugins, questions, sampling, schedule, training
from em_core.errors import BadInput, EMError, ManyProblems
from em_core.home import Home
from em_core.plan import base_model, hardware
from em_core.plan.base_model import BaseModel
from em_core.spec import RunSpec
from em_core.training.memory import ModelShape, estimate

Problem = tuple[str, str, str]

MIN_FREE_GIB = 0.1
"""Events, logs and the database want this much beside the checkpoints."""
SHORT_ROW = 128
"""Tokens of a row that surely is among the data."""


@dataclass
class _Found:
    """What earlier checks learned, for later ones."""

    n_rows: int = 0
    model: BaseModel | None = None
    sets: list[questions.QuestionSet] | None = None
    n_checkpoints: int = 0


def validate(spec: RunSpec, home: Home | None = None, online: bool = True) -> None:
    """Make sure that a run can start here and now.

    Args:
        spec: The run.
        home: Where it would be kept.
        online: Also ask the judges' endpoints and, for a base model that is not on this machine, the
            Hub (seconds); a form leaves this to the launch.

    Raises:
        ManyProblems: With every problem: field or file:line, what was found, the fix.
        Refused: This is a read-only demonstration.
    """
    home = home or Home.find()
    home.writable("Launching a run")
    found, problems = _Found(), []
    for check, field in _CHECKS:
        problems += _collect(lambda check=check: check(spec, home, found), field)  # type: ignore[misc]
    if online:
        if found.model is not None:
            model = found.model
            problems += _collect(lambda: base_model.check_hub(model, spec.revision), "base_model")
        problems += _judges(spec)
    if problems:
        raise ManyProblems("" if len(problems) == 1 else spec.label, problems)


def _collect(check: Callable[[], None], field: str) -> list[Problem]:
    """What a check finds, each problem placed at its field of the spec (`field` where it names none)."""
    try:
        check()
    except ManyProblems as error:
        more = error.message.rsplit("\n", 1)[-1].strip()
        return [_placed(*problem, field) for problem in error.problems] + (
            [(field, more, "")] if more.startswith("... and ") else []
        )
    except EMError as error:
        return [_placed("", error.message, error.hint, field)]
    return []


def _placed(place: str, message: str, hint: str, field: str) -> Problem:
    text = f"{place}: {message}" if place else message
    head, _, rest = text.partition(": ")
    if rest and re.fullmatch(r"[a-z_]+(\.[a-z0-9_]+)*", head) and head.split(".")[0] in RunSpec.model_fields:
        if head.startswith("judges.") and field.startswith("judges.") and not head.split(".")[1].isdigit():
            head = f"{field}.{head.removeprefix('judges.')}"
        return head, rest, hint
    return field, text, hint


def _data(spec: RunSpec, home: Home, found: _Found) -> None:
    rows, _ = datasets.load_all(spec)
    found.n_rows = len(rows)


def _questions(spec: RunSpec, home: Home, found: _Found) -> None:
    problems: list[Problem] = []
    sets: list[questions.QuestionSet] = []
    for use in spec.evaluation.question_sets:
        problems += _collect(lambda use=use: sets.append(questions.load(use)), "evaluation.question_sets")  # type: ignore[misc]
    for name in dict.fromkeys(s.name for s in sets):
        files = [s.path for s in sets if s.name == name]
        if len(files) > 1:
            what = "is there twice" if len(set(files)) == 1 else f"is the name of {len(files)} files"
            problems.append(
                ("evaluation.question_sets", f"{name!r} {what}", "name each set once; rename a file if two share a name")
            )
    if problems:
        raise ManyProblems("", problems)
    found.sets = sets


def _model(spec: RunSpec, home: Home, found: _Found) -> None:
    found.model = base_model.describe(spec)


def _parent(spec: RunSpec, home: Home, found: _Found) -> None:
    if spec.parent is None:
        return
    folder = home.run_dir(spec.parent.run)
    if not folder.is_dir():
        raise BadInput(
            f"parent.run: there is no run {spec.parent.run!r} in {home.runs}", "`python -m em_core runs` lists the runs"
        )
    checkpoints.parent_adapter(folder, spec.parent.step)


def _plugins(spec: RunSpec, home: Home, found: _Found) -> None:
    wanted = [("backend", training, spec.backend), ("evaluation.sampler", sampling, spec.evaluation.sampler)]
    wanted += [(f"judges.{number}.name", judges, judge.name) for number, judge in enumerate(spec.judges)]
    problems = []
    for place, package, name in wanted:
        known = plugins.names(package.__name__)
        if name not in known:
            problems.append((place, f"{name!r} is unknown", f"choose one of: {', '.join(known)}"))
    if problems:
        raise ManyProblems("", problems)


def _schedule(spec: RunSpec, home: Home, found: _Found) -> None:
    if found.n_rows:
        found.n_checkpoints = len(schedule.checkpoint_steps(found.n_rows, spec.train, spec.checkpoints))


def _device(spec: RunSpec, home: Home, found: _Found) -> None:
    if hardware.gpus():
        return
    problems = []
    if spec.train.precision == "fp16":
        problems.append(("train.precision", "fp16 needs a GPU, and none was found", "use bf16 or fp32 on a CPU"))
    if spec.train.optimizer == "paged_adamw_8bit":
        problems.append(("train.optimizer", "paged_adamw_8bit needs a GPU, and none was found", "use adamw_torch_fused on a CPU"))
    if problems:
        raise ManyProblems("", problems)


def _gpus(spec: RunSpec, home: Home, found: _Found) -> None:
    wanted, there = spec.train.gpus, len(hardware.gpus())
    if wanted > max(1, there):
        has = "has no GPU" if not there else f"has {there} GPU{'s' if there > 1 else ''}"
        raise BadInput(f"train.gpus: {wanted} asked for, this machine {has}", f"use train.gpus={max(1, there)}")


def _memory(spec: RunSpec, home: Home, found: _Found) -> None:
    """Refuse what cannot fit whatever is chosen: one row at a time, checkpointed, and weights alone."""
    shape = found.model.shape if found.model else None
    if shape is None:
        return
    cpu = not hardware.gpus()
    room = hardware.total_gib()
    row = min(spec.train.max_length, SHORT_ROW)
    least = estimate(shape, spec.lora, spec.train.precision, row, True, optimizer=spec.train.optimizer, cpu=cpu).total_gib
    if least > room:
        what = "this machine has" if cpu else "the largest GPU has"
        smaller = "" if spec.train.precision == "nf4" else "train.precision=nf4, "
        raise BadInput(
            f"base_model: {spec.base_model} in {spec.train.precision} needs at least {least:.1f} GiB, {what} {room:.1f} GiB",
            f"use {'' if cpu else smaller}a smaller base model, or a larger {'machine' if cpu else 'GPU'}",
        )


def _adapter(spec: RunSpec, home: Home, found: _Found) -> None:
    shape: ModelShape | None = found.model.shape if found.model else None
    beyond = [n for n in spec.lora.layers or () if n < 0 or (shape is not None and n >= shape.layers)]
    if beyond:
        last = f"0 to {shape.layers - 1}" if shape else "from 0"
        raise BadInput(f"lora.layers: {beyond[0]} is no layer of {spec.base_model}, expected {last}", f"use layers {last}")


def _home(spec: RunSpec, home: Home, found: _Found) -> None:
    folder = hardware.existing(home.runs)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(f"{home.runs}: no write permission ({folder})", "choose a writable folder with --home or EM_HOME")
    shape = found.model.shape if found.model else None
    need = MIN_FREE_GIB + (shape.n_lora(spec.lora) * 4 * max(1, found.n_checkpoints) / 2**30 if shape else 0.0)
    free = hardware.disk_free_gib(home.runs)
    if free < need:
        raise BadInput(
            f"{home.runs}: {free:.2f} GiB of disk are free, the run needs about {need:.2f} GiB",
            "free disk space, or choose another folder with --home",
        )


def _judges(spec: RunSpec) -> list[Problem]:
    problems: list[Problem] = []
    if not spec.evaluation.question_sets:
        return problems
    known = plugins.names(judges.__name__)
    for number, judge in enumerate(spec.judges):
        if judge.name in known and judge not in spec.judges[:number]:
            problems += _collect(lambda judge=judge: judges.open_judge(judge).check(), f"judges.{number}")  # type: ignore[misc]
    return problems


_CHECKS: tuple[tuple[Callable[[RunSpec, Home, _Found], None], str], ...] = (
    (_data, "data"),
    (_questions, "evaluation.question_sets"),
    (_model, "base_model"),
    (_parent, "parent.run"),
    (_plugins, "backend"),
    (_schedule, "train.batch_size"),
    (_device, "train.precision"),
    (_gpus, "train.gpus"),
    (_memory, "base_model"),
    (_adapter, "lora.layers"),
    (_home, ""),
)
"""The checks in the order that a person would fix things, and the field that each is about."""
