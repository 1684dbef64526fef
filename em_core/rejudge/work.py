"""One judging job from its first look to its last score.

    look -> check the judge -> five calls, an estimate, a yes -> judge page by page -> publish

Every score is an event in the job's own folder the moment it arrives, so a job can be killed at any
instant and the next one makes exactly the calls that are missing.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from em_core.errors import BadInput, Busy, EMError, WorkFailed
from em_core.events import EventWriter
from em_core.home import Home
from em_core.judges import Judge, open_judge
from em_core.judges.cache import JudgementCache
from em_core.judges.estimate import CostRange, estimate
from em_core.judges.pipeline import JudgingPipeline
from em_core.lease import Lease
from em_core.records import FinalState, Judgement, RunCreated, RunState, State
from em_core.rejudge import folder as folders
from em_core.rejudge.batch_state import open_job
from em_core.rejudge.outcome import Asking, Declined, Outcome
from em_core.rejudge.selection import Selection, Todo, look
from em_core.spec import JudgeSpec
from em_core.store.publish import publish

LARGE = 200
"""More calls than this are estimated and confirmed first."""
MAX_PENDING = 2_000
"""Answers read ahead of the judge."""
_POLL_S = 0.05
_REST = "`judge` again scores the rest, and pays for nothing twice"


def rejudge(
    home: Home, config: str, spec: JudgeSpec, selection: Selection, asking: Asking | None = None, folder: Path | None = None
) -> Outcome:
    """Score the selected answers that this judge has not scored, and publish.

    Args:
        home: Whose answers.
        config: Name of the judge's configuration, for the folder's name.
        spec: The judge.
        selection: Which answers.
        asking: Confirmation, progress, stop.
        folder: A job folder made before (`folders.make`); None = a new one, when there is something to do.

    Returns:
        What was done; a judge that failed half-way is told there, with the reason, and keeps its scores.

    Raises:
        BadInput: The judge cannot work here, the selection names what is not there, the estimate is
            over the budget, or `Declined`.
        Busy: Another job of the same judge is at work.
        WorkFailed: An event or the database could not be written.
    """
    asking = asking or Asking()
    home.writable("Judging")
    home.prepare()
    card = {"config": config, "judge_id": "", "judge": spec.model_dump(mode="json"), "selection": selection.as_dict(),
            "created_t": time.time()}  # fmt: skip
    if folder is None:
        return _begin(home, spec, selection, asking, card, None)
    try:
        return _begin(home, spec, selection, asking, card, folder)
    except EMError as error:
        if folders.job(folder).state not in FinalState:  # it was never begun: whoever prepared the folder is told there
            with EventWriter(folder, folders.WRITER) as events:
                events.write(_created(folder.name, card), RunState("judge", "failed", error.message, error.hint, 1))
        raise


def _begin(
    home: Home, spec: JudgeSpec, selection: Selection, asking: Asking, card: dict[str, Any], folder: Path | None
) -> Outcome:
    judge = open_judge(spec)
    judge_id = card["judge_id"] = judge.identity.judge_id
    with Lease(home.supervisor / f"judge-{judge_id[-8:]}.lease") as lease:
        if not lease.acquire():
            raise Busy(
                f"{judge_id}: another job of this judge is at work; both would pay for the same scores",
                "wait for it, or end it: `python -m em_core judge --jobs`, then `judge --stop JOB`",
            )
        if (out := open_job(home, judge_id)) is not None:
            raise Busy(
                f"{judge_id}: batches of {out.name} are still out; both would pay for the same scores",
                f"`judge --batch` with this judge goes on with them; to give them up, delete runs/{out.name}/batch",
            )
        publish(home)  # so that what any earlier job wrote is known
        todo = look(home, judge, spec, selection)
        for reason, n in todo.left_out.items():
            asking.tell(f"left out: {n:,} answers ({reason})")
        if not todo.n_answers and folder is None:
            return Outcome("", judge_id, "finished", todo.n_in_scope, 0, left_out=todo.left_out)
        if todo.n_answers:
            judge.check()
        folder = folder or folders.make(home, card["config"], judge_id)
        with Lease.for_worker(folder), EventWriter(folder, folders.WRITER) as events:
            try:
                return _Job(home, spec, asking, folder, card, judge, todo, events).run()
            finally:
                publish(home)


class _Job:
    """A job with its folder open and its lease held."""

    def __init__(
        self, home: Home, spec: JudgeSpec, asking: Asking, folder: Path, card: dict[str, Any], judge: Judge, todo: Todo,
        events: EventWriter,
    ) -> None:  # fmt: skip
        self.home, self.spec, self.asking, self.folder, self.judge, self.todo = home, spec, asking, folder, judge, todo
        self.events, self.began = events, time.monotonic()
        self.cost: CostRange | None = None
        self.n_scored = self.n_cached = self.n_done = 0
        self.unscored: Counter[str] = Counter()
        self.spent: tuple[int, int, float | None] = (0, 0, None)
        self.lock = threading.Lock()
        self.card = {**card, "n_in_scope": todo.n_in_scope, "n_answers": todo.n_answers, "n_scores": todo.n_scores,
                     "left_out": todo.left_out}  # fmt: skip

    def run(self) -> Outcome:
        """The whole job; every way out leaves a final state."""
        folders.write_card(self.folder, self.card)
        self.events.write(_created(self.folder.name, self.card), RunState("judge", "running", attempt=1), self.judge.identity)
        try:
            with JudgementCache(self.home.judge_cache) as cache:
                found = None if getattr(self.judge, "free", False) else cache
                return self._run(found)
        except Declined as error:
            self._state("stopped", error.message, error.hint)
            raise
        except EMError as error:
            self._state("failed", error.message, error.hint)
            raise
        except KeyboardInterrupt:
            self._state("stopped", "interrupted; what is scored is kept", _REST)
            raise
        except Exception as error:
            self._state("failed", f"unexpected {type(error).__name__}: {error}", "this is a bug: please report it")
            raise

    def _run(self, cache: JudgementCache | None) -> Outcome:
        free = getattr(self.judge, "free", False)
        if self.todo.n_answers and not free and (self.todo.n_scores > LARGE or self.asking.estimate_only):
            self._estimate(cache)
        if self._stop_asked():
            return self._end("stopped", "stopped; what is scored is kept", _REST)
        if self.asking.estimate_only:
            return self._end("stopped", "only an estimate was asked for; its scores are kept")
        already = self.cost.keys if self.cost else frozenset()
        with JudgingPipeline([self.judge], self._write, already, cache) as pipeline:
            stopped = self._feed(pipeline) or self._wait(pipeline)
            failures = pipeline.finish(0.0 if stopped else None)
            self._look_at(pipeline)
        if stopped:
            return self._end("stopped", "stopped; what is scored is kept", _REST)
        if failures:
            return self._end("failed", failures[0].message, failures[0].hint)
        return self._end("finished")

    def _estimate(self, cache: JudgementCache | None) -> None:
        """Five real calls; their scores are kept. Raises where the whole would not fit, or is not wanted."""
        self.asking.tell(f"{self.todo.n_answers:,} answers miss {self.todo.n_scores:,} scores; five of them are judged first ...")
        self.cost = cost = estimate(self.judge, self.todo.spread(), self.todo.n_answers, self._write, frozenset(), cache)
        folders.write_card(self.folder, {**self.card, "estimate": cost.sentence()})
        self.asking.tell(f"estimate: {cost.sentence()}")
        for name, low, limit, unit in (
            ("max_calls", cost.n_calls + self._n_probes(cost), self.spec.max_calls, "calls"),
            ("max_tokens", cost.tokens.low if cost.tokens else 0, self.spec.max_tokens, "tokens"),
            ("max_usd", cost.usd.low if cost.usd else 0, self.spec.max_usd, "US dollars"),
        ):
            if limit is not None and low > limit:
                fits = max(1, int(self.todo.n_answers * limit / low))
                raise BadInput(
                    f"{name}: {limit:,} {unit} are not enough, "
                    f"at least {low:,.{2 if name == 'max_usd' else 0}f} are needed ({cost.sentence()})",
                    f"raise {name}, or take fewer answers: --limit {fits}",
                )
        if not self.asking.estimate_only and not self.asking.confirm(cost):
            raise Declined(
                f"not confirmed: {cost.sentence()}; the scores of the estimate are kept",
                "say --yes, or set a budget with --max-usd",
            )

    def _n_probes(self, cost: CostRange) -> int:
        """Calls that the budget counts and that score nothing: whether the judge answers, and how."""
        budget = getattr(self.judge, "budget", None)
        return max(0, budget.n_calls - cost.n_sampled) if budget is not None else 0

    def _feed(self, pipeline: JudgingPipeline) -> bool:
        """Hand over answers, never many more than the judge is ready for. Whether a stop was asked for."""
        for item in self.todo.items():
            while True:
                if self._stop_asked():
                    return True
                now = self._look_at(pipeline)
                if now["state"] != "running":
                    return False
                if now["n_pending"] < MAX_PENDING:
                    break
                time.sleep(_POLL_S)
            pipeline.submit([item])
        return False

    def _wait(self, pipeline: JudgingPipeline) -> bool:
        """Wait for the end, which only `finish` brings about (a judge may hold scores back until then)."""
        closing = threading.Thread(target=pipeline.finish, name="judging-ends", daemon=True)
        closing.start()
        while closing.is_alive():
            closing.join(2 * _POLL_S)
            self._look_at(pipeline)
            if self._stop_asked():
                pipeline.cancel("stopped")
                return True
        return False

    def _look_at(self, pipeline: JudgingPipeline) -> dict[str, Any]:
        now = next(iter(pipeline.progress().values()))
        self.n_done = now["n_judged"] + now["n_skipped"]
        self.spent = (now["n_calls"], now["n_tokens"], now["usd"])
        rate = now["rate_per_s"]
        left = self.todo.n_answers - self.n_done
        self.asking.progress(self.n_done, self.todo.n_answers, rate, left / rate if rate > 0 else None)
        return now

    def _stop_asked(self) -> bool:
        return self.asking.stop() or (self.folder / "control" / "stop").exists()

    def _write(self, judgement: Judgement) -> None:
        self.events.write(judgement)
        with self.lock:
            self.n_cached += judgement.cached
            if judgement.unscored_reason is None:
                self.n_scored += 1
            else:
                self.unscored[judgement.unscored_reason] += 1

    def _end(self, state: State, message: str = "", hint: str = "") -> Outcome:
        self._state(state, message, hint)
        calls, tokens, usd = self.spent
        budget = getattr(self.judge, "budget", None)
        if budget is not None:  # it knows of the estimate's calls and of lost attempts too
            calls, tokens, usd = budget.n_calls, budget.n_tokens, budget.usd
        return Outcome(
            self.folder.name, self.judge.identity.judge_id, state, self.todo.n_in_scope, self.todo.n_answers, self.n_scored,
            dict(self.unscored), self.n_cached, max(0, self.todo.n_answers - self.n_done), calls, tokens, usd,
            time.monotonic() - self.began, self.todo.left_out, message, hint, _cost(self.cost),
        )  # fmt: skip

    def _state(self, state: State, reason: str = "", hint: str = "") -> None:
        try:
            self.events.write(RunState("judge", state, reason, hint, 1), sync=True)
        except WorkFailed:
            if state == "finished":
                raise


def _cost(cost: CostRange | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    return {**{k: v for k, v in asdict(cost).items() if k != "judgements"}, "sentence": cost.sentence()}


def _created(name: str, card: dict[str, Any]) -> RunCreated:
    body = json.dumps({key: card[key] for key in ("config", "judge_id", "judge", "selection")}, ensure_ascii=False, default=list)
    return RunCreated(
        run_kind="judge", label=name, experiment="", spec_json=body, spec_hash="", base_model="", revision="", backend="",
        domain="", data_sources="[]", parent_run_id="", parent_step=None, learning_rate=None, lora_r=None,
        effective_batch=None, seed=None,
    )  # fmt: skip
