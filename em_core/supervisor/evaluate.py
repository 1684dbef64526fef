"""Queue an evaluation: answers without training, as a job of the same queue.

queue(home, Wanted("my-run", question_sets=("organism-general",), samples=20))
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from em_core import evaluate_job
from em_core.adapters import CONFIG, read_config
from em_core.errors import BadInput
from em_core.evaluate_job import Job
from em_core.evaluate_job.todo import Todo, Wanted, look
from em_core.home import Home
from em_core.organism.models import is_organism
from em_core.plan.memory import Needs
from em_core.records import RunCreated
from em_core.supervisor.launch import Entry, enqueue


@dataclass(frozen=True)
class Queued:
    """What became of a request.

    Args:
        run_id: The job; empty when every answer is there already.
        todo: What it asks.
        created: Whether it is new.
    """

    run_id: str
    todo: Todo
    created: bool = True


def queue(home: Home, wanted: Wanted, *, again: bool = False, start: bool = True) -> Queued:
    """Queue an evaluation; nothing is queued when every answer is there.

    Args:
        home: Whose runs.
        wanted: What is asked for.
        again: Although an identical evaluation is there.
        start: See that a supervisor runs.

    Raises:
        BadInput: The target, a question set or a judge is not usable, it fits no GPU here, or the home cannot be written.
        Busy: The target is at work, or an identical evaluation exists.
        WorkFailed: No supervisor could be started; the job stays queued.
    """
    home.writable("Evaluating")
    todo = look(home, wanted)
    if not todo.n_answers:
        return Queued("", todo, False)
    _check_fits(todo)
    launched = enqueue(home, [_entry(todo, wanted.name)], again=again, start=start)[0]
    return Queued(launched.run_id, todo, launched.created)


def _check_fits(todo: Todo) -> None:
    takes = todo.takes
    if takes is None or takes.fit != "too_big" or takes.device == "cpu":  # what is free beside a CPU changes all the time
        return
    precision = todo.job.spec.train.precision
    nf4 = "" if precision == "nf4" else "use --precision nf4 (for a run: with the folder of its checkpoint), or "
    raise BadInput(
        f"{todo.job.target.name}: answering in {precision} needs about {takes.memory_gib:.1f} GiB, the largest GPU has "
        f"{takes.memory_free_gib:.1f} GiB",
        f"{nf4}a machine with a larger GPU",
    )


def _entry(todo: Todo, name: str) -> Entry:
    job = todo.job
    needs = todo.takes.needs if todo.takes else Needs(1, None)
    label = name or f"evaluate-{job.target.name}"
    toy = is_organism(job.spec.base_model)
    record = RunCreated(
        run_kind=evaluate_job.KIND, label=label, experiment=job.spec.experiment, spec_json=json.dumps(job.told),
        spec_hash=job.digest, base_model=job.spec.base_model, revision=job.spec.revision, backend="", domain=job.domain,
        data_sources="[]", parent_run_id="", parent_step=None, learning_rate=None, lora_r=_rank(job), effective_batch=None,
        seed=None, toy=toy,
    )  # fmt: skip
    return Entry(label, job.digest, record, job.document(asdict(needs)))


def _rank(job: Job) -> int | None:
    """Rank of an adapter that lies here."""
    folder = Path(job.target.path)
    if not job.target.path or not (folder / CONFIG).is_file():
        return None
    try:
        rank = read_config(folder).get("r")
    except BadInput:
        return None
    return rank if isinstance(rank, int) else None
