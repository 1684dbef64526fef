"""The evaluation itself, top to bottom: model, starting model, each checkpoint, judges.

It runs in a worker of its own, with its folder's lease held, and writes its states there. Answers for
a run go into that run's ``events/evaluate-<job>.jsonl`` with that run's ``evaluate.lease`` held, so that
the run is not resumed and no second evaluation asks the same meanwhile. Stopped or killed it loses
nothing: the next attempt samples what is missing.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from em_core import alive, health_job, questions, requests
from em_core.accidents import as_failure
from em_core.adapters import Adapter, read_adapter
from em_core.causes import Cause
from em_core.checkpoints import complete_checkpoints, parent_adapter
from em_core.errors import BadInput, WorkFailed
from em_core.evaluate_job import hub
from em_core.evaluate_job.card import LEASE, Job, Target, note_answers, read_job, writer_of
from em_core.evaluate_job.owner import Owner, answered_ids, check_unchanged, read_owner
from em_core.evaluate_job.targets import refuse_at_work
from em_core.evaluation import Evaluation, Place
from em_core.events import EventWriter, next_attempt
from em_core.home import Home
from em_core.lease import Lease
from em_core.machine import host_facts
from em_core.organism import models as organisms
from em_core.prepared import spec_of
from em_core.questions import QuestionSet
from em_core.records import Checkpoint, Phase, RunFacts, RunState, State
from em_core.requests import Request
from em_core.training import TrainJob, TrainOutcome

if TYPE_CHECKING:
    from em_core.training.adapters import AdapterSession

log = logging.getLogger(__name__)
WAIT_POLL_S = 0.5
STOPPED = "stopped on request; what was answered stays, and `resume` samples the rest"


def work(run_dir: Path, request: Callable[[Path], Request]) -> TrainOutcome:
    """Do one evaluation from its ``spec.json`` to its last judgement.

    Args:
        run_dir: The job's folder.
        request: What is asked of the job, asked again and again.

    Returns:
        How it ended, and the last step whose answers are there.

    Raises:
        EMError: It failed; the reason is in its events too.
    """
    attempt = next_attempt(run_dir)
    with ExitStack() as stack:
        events = stack.enter_context(EventWriter(run_dir, f"worker-{attempt}"))

        def state(phase: Phase, value: State, reason: str = "", hint: str = "", cause: Cause = "") -> None:
            events.write(RunState(phase, value, reason, hint, attempt, cause), sync=True)

        state("run", "running")
        try:
            outcome = _Work(run_dir, read_job(run_dir), events, attempt, lambda: request(run_dir), stack).done()
            cause: Cause = "" if outcome.state != "stopped" else "user" if requests.end_asked(run_dir) else "killed"
            state("run", outcome.state, outcome.reason, "", cause)
            return outcome
        except Exception as error:
            failure = as_failure(error)
            state("run", "failed", failure.message, failure.hint, failure.cause)
            raise


class _Work:
    """One attempt at an evaluation."""

    def __init__(
        self, run_dir: Path, job: Job, events: EventWriter, attempt: int, request: Callable[[], Request], stack: ExitStack
    ) -> None:
        self.run_dir, self.job, self.events, self.attempt, self.request = run_dir, job, events, attempt, request
        self.home, self.stack = Home(run_dir.parent.parent), stack
        self.sets: list[QuestionSet] = [questions.load(use) for use in job.spec.evaluation.question_sets]
        self.owner: Owner | None = None
        self.answers = events
        """The event file of the answers: the job's own, or its one in the run's folder."""

    def done(self) -> TrainOutcome:
        """Load the model, ask what is missing, wait for the judges."""
        target = self.job.target
        if target.run_id and not self._take_owner(target):
            return TrainOutcome("stopped", 0, STOPPED)
        adapters = self._adapters(target)
        session = self._session(adapters)
        evaluation = self._evaluation(session, adapters)
        note_answers(self.home, self.run_dir, evaluation.event_files)
        self.events.write(self._facts(session, evaluation))
        last = self._ask(session, evaluation, adapters)
        discarded = evaluation.stopped and self.request() == "discard"
        if discarded:
            self._state("evaluate", "stopped", STOPPED)
            self._state("judge", "stopped", STOPPED)
            return TrainOutcome("stopped", last, STOPPED)
        evaluation.finish()
        if evaluation.failure is not None:
            raise evaluation.failure
        if evaluation.stopped:
            return TrainOutcome("stopped", last, STOPPED)
        if self.owner is not None:
            self._tell_owner(self.owner, evaluation)
        return TrainOutcome("finished", last)

    def _take_owner(self, target: Target) -> bool:
        """Hold the run whose answers are given; False when the job was asked to end while it waited."""
        owner = read_owner(self.home, target.run_id)
        lease = Lease(owner.run_dir / LEASE)
        told = False
        while not lease.acquire():
            if self.request() in ("stop", "discard"):
                return False
            if not told:
                log.warning("%s: another evaluation is at it; waiting", target.run_id)
            told = True
            alive.beat(self.run_dir)
            time.sleep(WAIT_POLL_S)
        self.stack.callback(lease.release)
        refuse_at_work(owner.run_dir)
        self.owner = read_owner(self.home, target.run_id)  # again: what the other one wrote is known now
        check_unchanged(self.owner, self.sets)
        return True

    def _adapters(self, target: Target) -> dict[int, Adapter]:
        """What is put on for each step, found to be what was queued."""
        if target.kind == "model":
            return {}
        if target.kind == "run":
            here = {c.step: c.path for c in complete_checkpoints(self.home.run_dir(target.run_id))}
            if gone := [step for step in target.trained_steps if step not in here]:
                raise BadInput(
                    f"{target.run_id}@{gone[0]}: is no complete checkpoint any more", "queue the evaluation of the others anew"
                )
            found = {step: read_adapter(here[step]) for step in target.trained_steps}
        else:
            folder = hub.download(target) if target.repo else Path(target.path)
            found = {target.trained_steps[0]: read_adapter(folder)}
        for step, adapter in found.items():
            if target.weights.get(step, adapter.sha256) != adapter.sha256:
                raise BadInput(
                    f"{target.name}: the weights of step {step} are others than when it was queued", "queue the evaluation anew"
                )
        return found

    def _session(self, adapters: dict[int, Adapter]) -> AdapterSession:
        from em_core.training.adapters import AdapterSession

        spec, target = self.job.spec, self.job.target
        parent = parent_adapter(self.home.run_dir(spec.parent.run), spec.parent.step) if spec.parent else None
        job = TrainJob(spec, [], self.run_dir, organisms.resolve(spec.base_model), parent, [])
        session = AdapterSession(job, next(iter(adapters.values()), None), untrusted=target.kind != "run")
        self.stack.callback(session.close)
        if self.owner is not None and self.owner.model_sha256 not in ("", session.weights_sha256):
            raise BadInput(
                f"{target.run_id}: its starting model {spec.base_model!r} is not the one that it was trained from",
                "put that model back (base_model, revision, parent), or evaluate the checkpoint's folder with --base",
            )
        return session

    def _evaluation(self, session: AdapterSession, adapters: dict[int, Adapter]) -> Evaluation:
        place, rows, domain = None, None, self.job.domain
        if self.owner is not None:
            self.answers = self.stack.enter_context(EventWriter(self.owner.run_dir, writer_of(self.run_dir)))
            place = Place(self.owner.run_dir, self.answers, self.job.target.steps, self.owner.baseline_run_id)
            rows, why = health_job.recorded_rows(self.owner.created)
            domain = str(self.owner.created.get("domain") or "")
            if why:
                log.warning("answers are not compared with the training data: %s", why)
        for step, adapter in adapters.items() if place is None else ():
            self.events.write(Checkpoint(step, adapter.card.epoch, "", adapter.sha256, adapter.size_bytes, 0), sync=True)
        return self.stack.enter_context(
            Evaluation(
                self.home, self.run_dir, self.job.spec, session, self.sets, self.events, self.attempt, domain, rows,
                place=place, ends=lambda _step: self.request() in ("stop", "discard"),
            )
        )  # fmt: skip

    def _ask(self, session: AdapterSession, evaluation: Evaluation, adapters: dict[int, Adapter]) -> int:
        """Ask what is missing, step by step; the last step that was asked to the end."""
        last = 0
        at_start = 0 in self.job.target.steps
        if at_start:
            evaluation.baseline()
        for step, adapter in adapters.items():
            if evaluation.stopped or evaluation.failure is not None or self.request() in ("stop", "discard"):
                break
            session.wear(adapter)
            evaluation.checkpoint(step, adapter.sha256)
            last = last if evaluation.stopped else step
        if self.request() in ("stop", "discard"):
            evaluation.stopped = True
        elif at_start and not evaluation.baseline() and evaluation.failure is None:
            evaluation.failure = WorkFailed(
                f"the starting model is being asked by another run ({evaluation.baseline_run_id}); all other answers are there",
                f"`python -m em_core resume {self.run_dir.name}` when that run has ended",
            )
        return last

    def _facts(self, session: AdapterSession, evaluation: Evaluation) -> RunFacts:
        host, versions = host_facts()
        n_steps = len(self.job.target.trained_steps) if self.owner is None else 0  # of its own
        return RunFacts(
            n_params=session.n_params, size_b=session.n_params / 1e9, n_rows=0, steps_per_epoch=0, total_steps=0,
            n_checkpoints=n_steps, n_answers_planned=evaluation.n_answers * n_steps,
            baseline_run_id="" if self.owner is not None else evaluation.baseline_run_id,
            model_sha256=session.weights_sha256, device=session.device, gpu=session.gpu, host=host,
            versions_json=json.dumps(versions), attempt=self.attempt,
        )  # fmt: skip

    def _tell_owner(self, owner: Owner, evaluation: Evaluation) -> None:
        """Write down in the run what is complete now: the phases that had failed or never began, and who holds its step 0."""
        reason, events = f"completed by {self.run_dir.name}", self.answers
        if not owner.baseline_run_id and owner.facts and 0 in self.job.target.steps:
            # the newer one by a moment, not by days: how long loading takes is told by the time of a run's facts
            events.write(owner.with_baseline(evaluation.baseline_run_id), t=float(owner.facts["t"]) + 1e-3)
        spec = spec_of(owner.run_dir)
        try:
            own = [questions.load(use) for use in spec.evaluation.question_sets]
        except BadInput as error:  # other questions were asked: that these are gone is no failure of theirs
            log.warning("%s: whether its own evaluation is complete is not known: %s", owner.run_dir.name, error.message)
            return
        steps = [c.step for c in complete_checkpoints(owner.run_dir)]
        wanted = {p.response_id for step in steps for p in questions.prompts(owner.run_dir.name, step, own, spec.evaluation)}
        if not wanted or wanted - answered_ids(owner.run_dir):
            return
        if owner.phases.get("evaluate") not in ("finished", "skipped"):
            events.write(RunState("evaluate", "finished", reason, "", owner.attempt))
        asked = {(s.name, step) for s in self.sets for step in self.job.target.steps}
        whole = asked >= {(s.name, step) for s in own for step in steps}
        judged = evaluation.all_judged and whole and self.job.spec.judges == spec.judges
        if judged and owner.phases.get("judge") not in ("finished", "skipped"):
            events.write(RunState("judge", "finished", reason, "", owner.attempt))

    def _state(self, phase: Phase, value: State, reason: str) -> None:
        self.events.write(RunState(phase, value, reason, "", self.attempt))
