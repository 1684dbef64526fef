"""What a form can offer for a run: its checkpoints, its own questions and judges, and the other question sets."""

from __future__ import annotations

from dataclasses import dataclass

from em_core import prepared, questions
from em_core.checkpoints import complete_checkpoints
from em_core.errors import BadInput
from em_core.evaluate_job.targets import refuse_at_work
from em_core.home import Home


@dataclass(frozen=True)
class Offers:
    """What there is to choose from.

    Args:
        steps: 0 (the starting model) and the steps of the complete checkpoints, ascending.
        sets: Name or file of every question set on offer, by its short name; the run's own come first.
        own: Short names of those that the run was asked; a file of theirs may be gone.
        samples: Answers per wording that the run itself gives.
        judges: The run's own judges, in words.
    """

    steps: tuple[int, ...]
    sets: dict[str, str]
    own: tuple[str, ...]
    samples: int
    judges: tuple[str, ...]


def offers(home: Home, run_id: str) -> Offers:
    """Look at a run.

    Raises:
        BadInput: It was not trained here.
        Busy: It is at work.
    """
    folder = home.run_dir(run_id)
    try:
        spec = prepared.spec_of(folder)
    except BadInput as error:
        raise BadInput(f"{run_id}: was not trained here", "evaluate the folder of its adapter from the command line") from error
    refuse_at_work(folder)
    own = {questions.name_of(use): use.name for use in spec.evaluation.question_sets}
    shipped = {name: name for name in questions.available() if name not in own}
    steps = (0, *(checkpoint.step for checkpoint in complete_checkpoints(folder)))
    judges = tuple(f"{judge.name} {judge.model}".strip() for judge in spec.judges)
    return Offers(steps, {**own, **shipped}, tuple(own), spec.evaluation.samples, judges)
