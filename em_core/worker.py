"""What a run does, top to bottom: data, model, baseline, train, answer at each checkpoint, judge.

    python -m em_core.worker <run_dir>

The supervisor starts this in its own process group with the run's lease already held. Everything
that happens is appended to ``events/worker-<attempt>.jsonl``; the database is never opened here.
Stopping: `stop` puts a file into ``control/``; SIGTERM means the same.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from em_core import datasets, preview, questions, schedule
from em_core.checkpoints import parent_adapter
from em_core.errors import EMError, WorkFailed
from em_core.evaluation import Evaluation
from em_core.events import EventWriter, event_files
from em_core.home import Home
from em_core.lease import Lease
from em_core.machine import host_facts
from em_core.organism import models as organisms
from em_core.records import Checkpoint, Phase, RunFacts, RunState, State
from em_core.spec import RunSpec
from em_core.training import Session, TrainJob, TrainOutcome, open_session

_terminated = False


def work(run_dir: Path) -> TrainOutcome:
    """Do one run from its ``spec.json`` to its last judgement.

    Raises:
        EMError: The run failed; the reason is in its events too.
    """
    home, spec = Home(run_dir.parent.parent), RunSpec.model_validate(json.loads((run_dir / "spec.json").read_text())["spec"])
    attempt = 1 + sum(path.name.startswith("worker-") for path in event_files(run_dir))
    with ExitStack() as stack:
        events = stack.enter_context(EventWriter(run_dir, f"worker-{attempt}"))

        def state(phase: Phase, value: State, reason: str = "", hint: str = "") -> None:
            events.write(RunState(phase, value, reason, hint, attempt), sync=True)

        state("run", "running")
        try:
            rows, data = datasets.load_all(spec)
            question_sets = [questions.load(use) for use in spec.evaluation.question_sets]
            steps = schedule.checkpoint_steps(len(rows), spec.train, spec.checkpoints)
            session = open_session(_job(spec, rows, run_dir, home, steps))
            stack.callback(session.close)
            preview.write(run_dir, [asdict(row) for row in session.preview()])
            evaluation = stack.enter_context(
                Evaluation(home, run_dir, spec, session, question_sets, events, attempt, data.domain, rows)
            )
            events.write(_facts(spec, session, evaluation, len(rows), steps, attempt))
            evaluation.baseline()

            def on_checkpoint(checkpoint: Checkpoint) -> None:
                events.write(checkpoint, sync=True)
                evaluation.checkpoint(checkpoint.step, checkpoint.sha256)

            state("train", "running")
            try:
                outcome = session.train(events.write, on_checkpoint, lambda: _stop_request(run_dir))
            except EMError as error:
                state("train", "failed", error.message, error.hint)
                raise
            state("train", outcome.state, outcome.reason)
            if outcome.state == "finished":
                evaluation.baseline()  # in case another run was at it, and died
            evaluation.finish()
            state("run", outcome.state, outcome.reason)
            return outcome
        except EMError as error:
            state("run", "failed", error.message, error.hint)
            raise
        except Exception as error:
            state("run", "failed", f"unexpected {type(error).__name__}: {error}", "this is a bug: please report worker.log")
            raise


def _job(spec: RunSpec, rows: list[list[dict[str, str]]], run_dir: Path, home: Home, steps: list[int]) -> TrainJob:
    parent = parent_adapter(home.run_dir(spec.parent.run), spec.parent.step) if spec.parent else None
    return TrainJob(spec, rows, run_dir, organisms.resolve(spec.base_model), parent, steps)


def _facts(spec: RunSpec, session: Session, evaluation: Evaluation, n_rows: int, steps: list[int], attempt: int) -> RunFacts:
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


def _stop_request(run_dir: Path) -> Literal["", "stop", "discard"]:
    if (run_dir / "control" / "discard").exists():
        return "discard"
    return "stop" if _terminated or (run_dir / "control" / "stop").exists() else ""


def _on_sigterm(*_: object) -> None:
    global _terminated
    _terminated = True


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code (0 finished or stopped, 1 failed, 2 bad input, 3 busy)."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or not (Path(arguments[0]) / "spec.json").is_file():
        print("usage: python -m em_core.worker RUN_DIR    (a folder that `launch` made, with its spec.json)", file=sys.stderr)
        return 2
    run_dir = Path(arguments[0]).resolve()
    signal.signal(signal.SIGTERM, _on_sigterm)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        with Lease.for_worker(run_dir):
            outcome = work(run_dir)
            print(f"{run_dir.name}: {outcome.state} at step {outcome.last_step}", file=sys.stderr)
            return 0
    except EMError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code if not isinstance(error, WorkFailed) else 1
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
