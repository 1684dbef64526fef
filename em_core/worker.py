"""What a run does, top to bottom: data, model, baseline, train, answer at each checkpoint, judge.

    python -m em_core.worker <run_dir>

The supervisor starts this in its own process group with the run's lease already held. Everything
that happens is appended to ``events/worker-<attempt>.jsonl``; the database is never opened here.
Stopping: `stop` puts a file into ``control/`` (`em_core.requests`); SIGTERM means the same, but nobody
asked for it, so the run is resumed. SIGUSR1 writes where it stands into the log.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import shutil
import signal
import sys
import traceback
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from em_core import preview, ranks, requests
from em_core.accidents import as_failure
from em_core.causes import Cause
from em_core.checkpoints import RESUME, as_record
from em_core.errors import EMError, WorkFailed
from em_core.evaluate_job import is_job
from em_core.evaluation import Evaluation
from em_core.events import EventWriter, next_attempt, read_events
from em_core.following import follow
from em_core.lease import Lease
from em_core.prepared import prepare, spec_of
from em_core.records import Checkpoint, Phase, RunState, State
from em_core.run_facts import facts_of
from em_core.training import TrainOutcome, open_session

_terminated = False


def work(run_dir: Path) -> TrainOutcome:
    """Do one run from its ``spec.json`` to its last judgement.

    Raises:
        EMError: The run failed; the reason is in its events too.
    """
    attempt = next_attempt(run_dir)
    with ExitStack() as stack:
        events = stack.enter_context(EventWriter(run_dir, f"worker-{attempt}"))

        def state(phase: Phase, value: State, reason: str = "", hint: str = "", cause: Cause = "") -> None:
            events.write(RunState(phase, value, reason, hint, attempt, cause), sync=True)

        state("run", "running")
        try:
            ready = prepare(run_dir, spec_of(run_dir))
            session = open_session(ready.train_job())
            stack.callback(session.close)
            preview.write(run_dir, [asdict(row) for row in session.preview()])
            evaluation = stack.enter_context(
                Evaluation(
                    ready.home, run_dir, ready.spec, session, ready.question_sets, events, attempt, ready.data.domain, ready.rows,
                    ends=lambda step: _request(run_dir) in (("discard",) if step else ("discard", "stop")),  # 0 is asked again
                )
            )  # fmt: skip
            events.write(facts_of(ready.spec, session, evaluation, len(ready.rows), ready.steps, attempt))
            evaluation.baseline()

            def on_checkpoint(checkpoint: Checkpoint) -> None:
                events.write(checkpoint, sync=True)
                if checkpoint.step in ready.steps or _request(run_dir) != "save":
                    evaluation.checkpoint(checkpoint.step, checkpoint.sha256)

            if ready.resume is not None:  # its event or its answers may be missing; one that was only saved gets none
                events.write(checkpoint := as_record(ready.resume), sync=True)
                if checkpoint.step in {*ready.steps, *(answer["step"] for answer in read_events(run_dir, "response"))}:
                    evaluation.checkpoint(checkpoint.step, checkpoint.sha256)
            state("train", "running")
            try:
                outcome = session.train(events.write, on_checkpoint, lambda: _request(run_dir))
            except EMError as error:
                state("train", "failed", error.message, error.hint, error.cause)
                raise
            cause: Cause = "" if outcome.state != "stopped" else "user" if requests.end_asked(run_dir) else "killed"
            state("train", outcome.state, outcome.reason, "", cause)
            if outcome.state == "finished":
                evaluation.baseline()  # in case another run was at it, and died
            evaluation.finish()
            state("run", outcome.state, outcome.reason, "", cause)
            if outcome.state == "finished":
                shutil.rmtree(run_dir / RESUME, ignore_errors=True)
            return outcome
        except Exception as error:
            failure = as_failure(error)
            state("run", "failed", failure.message, failure.hint, failure.cause)
            raise


def _request(run_dir: Path) -> requests.Request:
    asked = requests.asked(run_dir)
    return "stop" if _terminated and asked != "discard" else asked


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
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("em_core").setLevel(logging.INFO)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:  # its older name; unset, PyTorch keeps twice what training and sampling need
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        place = ranks.enter()
        if place.rank > 0:
            signal.signal(signal.SIGTERM, ranks.end_soon)
            follow(run_dir, place)
            return 0
        with Lease.for_worker(run_dir) if place.world == 1 else ranks.lease(run_dir):
            if is_job(run_dir):
                from em_core.evaluate_job.work import work as evaluate  # loads what training does not need

                outcome = evaluate(run_dir, _request)
            else:
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
