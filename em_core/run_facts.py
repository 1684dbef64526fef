"""What only the worker knows of a run, once its model is loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence

from em_core import schedule
from em_core.evaluation import Evaluation
from em_core.machine import host_facts
from em_core.records import RunFacts
from em_core.spec import RunSpec
from em_core.training import Session


def facts_of(
    spec: RunSpec, session: Session, evaluation: Evaluation, n_rows: int, steps: Sequence[int], attempt: int
) -> RunFacts:
    """The event of one attempt.

    Args:
        spec: The run.
        session: The loaded model.
        evaluation: Its answers.
        n_rows: Training rows.
        steps: Checkpoint steps, ascending.
        attempt: Number of the attempt, from 1.
    """
    host, versions = host_facts()
    return RunFacts(
        n_params=session.n_params,
        size_b=session.n_params / 1e9,
        n_rows=n_rows,
        steps_per_epoch=schedule.steps_per_epoch(n_rows, spec.train.effective_batch, spec.train.drop_last),
        total_steps=steps[-1],
        n_checkpoints=len(steps),
        n_answers_planned=evaluation.n_answers * len(steps),
        baseline_run_id=evaluation.baseline_run_id,
        model_sha256=session.weights_sha256,
        device=session.device,
        gpu=session.gpu,
        host=host,
        versions_json=json.dumps(versions),
        attempt=attempt,
    )
