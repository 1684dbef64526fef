"""What a run works with, read from its folder: training rows, question sets, checkpoint steps, where it goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from em_core import datasets, questions, schedule
from em_core.checkpoints import CompleteCheckpoint, parent_adapter, resume_point
from em_core.datasets import DataInfo
from em_core.errors import BadInput
from em_core.home import Home
from em_core.organism import models as organisms
from em_core.questions import QuestionSet
from em_core.spec import RunSpec
from em_core.training import Messages, TrainJob


@dataclass(frozen=True)
class Prepared:
    """A run that can begin.

    Args:
        home: Where it is.
        run_dir: Its folder.
        spec: The run.
        rows: Training rows in file order.
        data: Where they come from.
        question_sets: What is asked at each checkpoint.
        steps: Checkpoint steps, ascending; the last one ends the training.
        resume: The checkpoint that an earlier attempt left to go on from; None = begin at the beginning.
    """

    home: Home
    run_dir: Path
    spec: RunSpec
    rows: list[Messages]
    data: DataInfo
    question_sets: list[QuestionSet]
    steps: list[int]
    resume: CompleteCheckpoint | None

    def train_job(self) -> TrainJob:
        """What the trainer needs of it.

        Raises:
            BadInput: The parent's checkpoint is not there.
        """
        parent = self.spec.parent
        adapter = parent_adapter(self.home.run_dir(parent.run), parent.step) if parent else None
        base = organisms.resolve(self.spec.base_model)
        return TrainJob(
            self.spec, self.rows, self.run_dir, base, adapter, self.steps, self.resume.step if self.resume else 0
        )  # fmt: skip


def spec_of(run_dir: Path) -> RunSpec:
    """The spec in a run's folder.

    Raises:
        BadInput: It is missing, damaged or of an older workbench.
    """
    path = run_dir / "spec.json"
    try:
        return RunSpec.model_validate(json.loads(path.read_text(encoding="utf-8"))["spec"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: is not a usable spec ({str(error).splitlines()[0]})", "launch it from a spec file") from error


def prepare(run_dir: Path, spec: RunSpec) -> Prepared:
    """Read everything that a run needs.

    Raises:
        BadInput: Its data or questions are unusable.
    """
    rows, data = datasets.load_all(spec)
    sets = [questions.load(use) for use in spec.evaluation.question_sets]
    steps = schedule.checkpoint_steps(len(rows), spec.train, spec.checkpoints)
    return Prepared(Home(run_dir.parent.parent), run_dir, spec, rows, data, sets, steps, resume_point(run_dir))
