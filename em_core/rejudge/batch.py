"""Judging existing answers through a server's batch API: half the price, within a day.

    look -> one tiny call, for a large job five and a yes -> plan -> submit -> poll -> fetch -> write -> (what failed) plan

Every step is on disk before the next, so a job may be killed at any instant or left alone for hours
(`wait=False`); the next call goes on with it. What was submitted is not submitted again, and what is
judged, cached or empty is not submitted at all. A request that comes back without a result (lost,
expired, cancelled, 429, 5xx) goes into a later batch, three at most; one that the server refuses for
good is `api_error`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from em_core import durable
from em_core.errors import BadInput, Busy, EMError
from em_core.events import EventWriter, read_events
from em_core.home import Home
from em_core.judges import open_judge
from em_core.judges._batch_lines import MAX_BYTES, MAX_REQUESTS
from em_core.judges.batch_api import DISCOUNT, PAUSE_S, SETTLE_S, BatchApi, BatchView, Gone, Unreachable, in_words, probe
from em_core.judges.cache import JudgementCache
from em_core.judges.estimate import CostRange, Span, estimate
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.lease import Lease
from em_core.records import Judgement, RunState, State
from em_core.rejudge import folder as folders
from em_core.rejudge.batch_plan import Planned, Planner, Room
from em_core.rejudge.batch_results import Collector
from em_core.rejudge.batch_state import Batch, BatchState, open_job
from em_core.rejudge.batch_submit import submit
from em_core.rejudge.outcome import Asking, Declined, Outcome
from em_core.rejudge.selection import Selection, Todo, look
from em_core.rejudge.work import LARGE, _cost, _created
from em_core.spec import JudgeSpec
from em_core.store.publish import publish

AGAIN = "`judge --batch` with this judge goes on: nothing is submitted or paid twice"
SUBMITTED = "submitted"


@dataclass(frozen=True)
class Waiting:
    """How patient a job is.

    Args:
        first_s, factor, longest_s: Pauses between looks: the first, how they grow, the longest.
        misses: Looks in a row that may fail before the job ends (and can be called again).
        pause_s, settle_s: See `BatchApi`.
        max_requests, max_bytes: Most in one input file.
    """

    first_s: float = 5.0
    factor: float = 1.5
    longest_s: float = 60.0
    misses: int = 10
    pause_s: float = PAUSE_S
    settle_s: float = SETTLE_S
    max_requests: int = MAX_REQUESTS
    max_bytes: int = MAX_BYTES


def rejudge_batch(
    home: Home, config: str, spec: JudgeSpec, selection: Selection, asking: Asking | None = None, wait: bool = True,
    waiting: Waiting | None = None,
) -> Outcome:  # fmt: skip
    """Score the selected answers that this judge has not scored, in batches, and publish.

    A job of this judge whose batches are still out is gone on with, whatever is selected now.

    Args:
        home: Whose answers.
        config: Name of the judge's configuration, for the folder's name.
        spec: The judge; its budget counts batches at half price.
        selection: Which answers.
        asking: Confirmation, progress, stop.
        wait: Wait for the results; else submit, collect what is ready, and return (state ``submitted``).
        waiting: Pauses and limits.

    Raises:
        BadInput: The server has no batch API, the judge cannot work here, or `Declined`.
        Busy: Another job of the same judge is at work.
        WorkFailed: The server does not answer, or a file could not be written; the next call goes on.
    """
    asking, waiting = asking or Asking(), waiting or Waiting()
    home.writable("Judging")
    home.prepare()
    judge = open_judge(spec)
    if not isinstance(judge, OpenAICompatibleJudge):
        raise BadInput(f"--batch: judge `{spec.name}` is not behind an endpoint with a batch API", "leave out --batch")
    judge_id = judge.identity.judge_id
    with Lease(home.supervisor / f"judge-{judge_id[-8:]}.lease") as lease:
        if not lease.acquire():
            raise Busy(
                f"{judge_id}: another job of this judge is at work; both would pay for the same scores",
                "wait for it, or stop it: `python -m em_core judge --jobs` lists them",
            )
        publish(home)
        folder, todo, length_field = open_job(home, judge_id), None, ""
        if folder is not None:
            selection = _selection(BatchState(folder), selection, folder, asking)
        else:
            todo = look(home, judge, spec, selection)
            for reason, n in todo.left_out.items():
                asking.tell(f"left out: {n:,} answers ({reason})")
            if not todo.n_answers:
                return Outcome("", judge_id, "finished", todo.n_in_scope, 0, left_out=todo.left_out)
        with BatchApi(judge, waiting.pause_s, waiting.settle_s) as api:
            if folder is None:
                api.check()
                length_field = probe(judge)
                folder = folders.make(home, config, judge_id)
            with Lease.for_worker(folder), EventWriter(folder, folders.WRITER) as events:
                job = _BatchJob(home, config, spec, selection, asking, waiting, folder, judge, api, events)
                try:
                    return job.run(todo, length_field, wait)
                finally:
                    publish(home)


def _selection(state: BatchState, wanted: Selection, folder: Path, asking: Asking) -> Selection:
    """What an open job was started for."""
    said: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in state.begun["selection"].items()
    }
    found = Selection(**said)
    asking.tell(f"going on with {folder.name}, whose batches are still out")
    if found != wanted:
        asking.tell("what was selected for that job counts; call again after it for another selection")
    return found


class _BatchJob:
    """A job with its folder open and its lease held."""

    def __init__(
        self, home: Home, config: str, spec: JudgeSpec, selection: Selection, asking: Asking, waiting: Waiting, folder: Path,
        judge: OpenAICompatibleJudge, api: BatchApi, events: EventWriter,
    ) -> None:  # fmt: skip
        self.home, self.config, self.spec, self.selection, self.asking = home, config, spec, selection, asking
        self.waiting, self.folder, self.judge, self.api, self.events = waiting, folder, judge, api, events
        self.state, self.began, self.lock = BatchState(folder), time.monotonic(), threading.Lock()
        self.resumed = bool(self.state.begun)
        self.settled: set[tuple[str, str]] = set()
        self.n_scored = self.n_cached = self.misses = 0
        self.unscored: Counter[str] = Counter()
        self.views: dict[int, BatchView] = {}
        self.planned = Planned()
        self.cost: CostRange | None = None
        self.said: dict[int, tuple[str, int, int]] = {}
        self.numbers: dict[str, Any] = {}
        self.todo: Todo | None = None  # what there is to do, while that is fresh

    def run(self, todo: Todo | None, length_field: str, wait: bool) -> Outcome:
        """The whole job, or what of it can be done now."""
        for event in read_events(self.folder, "judgement"):
            self._count(event["response_id"], event["metric"], event["unscored_reason"], event["cached"])
        with self._told(), JudgementCache(self.home.judge_cache) as cache:
            if todo is not None:
                self._begin(todo, length_field, cache)
                self.todo = todo
                if self.asking.estimate_only:
                    return self._end("stopped", "only an estimate was asked for; its scores are kept")
            else:
                self.events.write(RunState("judge", "running", attempt=len(self.state.notes) + 2))
                self.state.append("resumed")
            self.planner = Planner(
                self.judge, self.state, self.state.begun["token"], cache, self._write, self.waiting.max_requests,
                self.waiting.max_bytes,
            )  # fmt: skip
            self.collector = Collector(self.judge, self.api, self.state, cache, self._write, self.settled, self.asking.tell)
            self.state.clean()
            (self.folder / "control" / "stop").unlink(missing_ok=True)  # it was meant for an earlier call
            return self._work(wait)

    def _begin(self, todo: Todo, length_field: str, cache: JudgementCache) -> None:
        """A new job: its card, the estimate of a large one, and the line that makes it one to go on with."""
        numbers: dict[str, Any] = {"n_in_scope": todo.n_in_scope, "n_answers": todo.n_answers, "n_scores": todo.n_scores,
                   "left_out": todo.left_out}  # fmt: skip
        card: dict[str, Any] = {
            "config": self.config, "judge_id": self.judge.identity.judge_id, "judge": self.spec.model_dump(mode="json"),
            "selection": self.selection.as_dict(), "created_t": time.time(), "batch": True, **numbers,
        }  # fmt: skip
        folders.write_card(self.folder, card)
        self.events.write(_created(self.folder.name, card), RunState("judge", "running", attempt=1), self.judge.identity)
        self.numbers = numbers
        if todo.n_scores > LARGE or self.asking.estimate_only:
            self.cost = self._estimate(todo, cache)
            folders.write_card(self.folder, {**card, "estimate": self.cost.sentence()})
        if self.asking.estimate_only:
            return
        budget = self.judge.budget
        self.state.append(
            "begun", judge_id=self.judge.identity.judge_id, token=f"{self.folder.name[:40]}-{secrets.token_hex(8)}",
            length_field=length_field, selection=self.selection.as_dict(), **numbers,
            one_by_one=[budget.n_calls, budget.input_tokens, budget.output_tokens],
        )  # fmt: skip

    def _estimate(self, todo: Todo, cache: JudgementCache) -> CostRange:
        """Five ordinary calls; their scores are kept."""
        self.asking.tell(f"{todo.n_answers:,} answers miss {todo.n_scores:,} scores; five of them are judged first ...")
        full = estimate(self.judge, todo.spread(), todo.n_answers, self._write, frozenset(), cache)
        usd = full.usd and Span(full.usd.low * DISCOUNT, full.usd.mean * DISCOUNT, full.usd.high * DISCOUNT)
        cost = replace(full, usd=usd)
        self.asking.tell(f"estimate, at the batch price: {cost.sentence()} one by one; a batch may take 24 hours")
        if not self.asking.estimate_only and not self.asking.confirm(cost):
            raise Declined(
                f"not confirmed: {cost.sentence()}; the scores of the estimate are kept",
                "say --yes, or set a budget with --max-usd",
            )
        return cost

    def _work(self, wait: bool) -> Outcome:
        self.numbers = self.state.begun
        for batch in self._open():
            submit(self.api, self.state, batch, self.asking.tell, recovered=True)
        if not wait:
            self._look_at_all()
            self._plan()
            if n := sum(batch.n for batch in self._open()):
                return self._end(SUBMITTED, f"{n:,} requests are at {self.judge.endpoint.host}", AGAIN)
            return self._done()
        self._plan()
        pause_s = self.waiting.first_s
        while self._open():
            if self._look_at_all():
                self._plan()
                pause_s = self.waiting.first_s
            elif self._pause(pause_s):
                n = sum(batch.n for batch in self._open())
                return self._end("stopped", f"stopped waiting; {n:,} requests go on at {self.judge.endpoint.host}", AGAIN)
            else:
                pause_s = min(pause_s * self.waiting.factor, self.waiting.longest_s)
        return self._done()

    def _open(self) -> list[Batch]:
        return [batch for batch in self.state.batches.values() if batch.open]

    def _plan(self) -> None:
        """Put what is missing into new batches, and submit them."""
        refused = [batch.said for batch in self.state.batches.values() if batch.step == "refused" and batch.said.get("again")]
        newest = max((batch.said.get("planned_t", 0.0) for batch in self.state.batches.values()), default=0.0)
        full = self._open() and any(said["refused_t"] > newest for said in refused)  # the server takes no more at once
        if self.collector.failure is not None or full:
            return
        alone = [said["n"] // 2 for said in refused if said.get("alone")]
        self.planner.max_requests = max(1, min([self.waiting.max_requests, *alone]))
        if (todo := self.todo) is None:
            publish(self.home)
            todo = look(self.home, self.judge, self.spec, self.selection)
        self.todo = None
        field = next((note["length_field"] for note in self.state.notes if "length_field" in note), "")
        self.planned = self.planner.plan(
            todo.items(), self.settled, self._room(), field or self.state.begun["length_field"], self.selection.limit
        )
        for batch in self._open():
            if batch.step == "planned":
                submit(self.api, self.state, batch, self.asking.tell)

    def _look_at_all(self) -> bool:
        """Look at every batch, and collect those that ended; whether there were any."""
        changed = False
        for batch in self._open():
            if batch.step == "created":
                try:
                    view = self.views[batch.number] = self.api.look(batch.said["batch_id"])
                except Gone as error:
                    raise Gone(error.message, f"{error.hint}; to give its results up, delete {self.state.folder}") from None
                except Unreachable as error:
                    self.misses += 1
                    self.asking.tell(f"batch {batch.number}: {error.message}")
                    if self.misses >= self.waiting.misses:
                        raise
                    continue
                self.misses = 0
                self._tell(batch, view)
                if not view.ended:
                    continue
                if view.status == "failed":
                    self.collector.refused(batch, view, alone=len(self._open()) == 1, words=in_words(view, self.api.key))
                    changed = True
                    continue
                self.collector.fetch(batch, view)
            if batch.step == "fetched":
                self.collector.write(batch, lambda: durable.sync(self.events.path))
                changed = True
        self._progress()
        return changed

    def _tell(self, batch: Batch, view: BatchView) -> None:
        now = (view.status, view.n_completed, view.n_failed)
        if self.said.get(batch.number) != now:
            self.said[batch.number] = now
            failed = f", {view.n_failed:,} failed" if view.n_failed else ""
            self.asking.tell(f"batch {batch.number}: {view.status}, {view.n_completed:,} of {batch.n:,} done{failed}")

    def _progress(self) -> None:
        """Answers, as far as the counts of the requests tell; the rate is that of this call."""
        total, n_scores = self.numbers["n_answers"], max(1, self.numbers["n_scores"])
        views = [self.views[batch.number] for batch in self._open() if batch.number in self.views]
        share = min(1.0, (len(self.settled) + sum(view.n_completed + view.n_failed for view in views)) / n_scores)
        rate = share * total / max(time.monotonic() - self.began, 1e-3) if not self.resumed else 0.0
        self.asking.progress(int(share * total), total, rate, (1 - share) * total / rate if rate else None)

    def _pause(self, seconds: float) -> bool:
        """Wait; whether a stop was asked for."""
        until = time.monotonic() + seconds
        while True:
            if self.asking.stop() or (self.folder / "control" / "stop").exists():
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, 0.2))

    def _room(self) -> Room:
        return Room.of(self.judge.budget, self.state, self.resumed)

    def _write(self, judgement: Judgement) -> None:
        self.events.write(judgement)
        with self.lock:
            self._count(judgement.response_id, judgement.metric, judgement.unscored_reason, judgement.cached)

    def _count(self, response_id: str, metric: str, reason: str | None, cached: bool) -> None:
        self.settled.add((response_id, metric))
        self.n_cached += cached
        if reason is None:
            self.n_scored += 1
        else:
            self.unscored[reason] += 1

    def _done(self) -> Outcome:
        """Nothing is out any more."""
        failure = self.collector.failure
        if failure is not None:
            return self._end("failed", failure.message, failure.hint)
        if self.planned.over_budget:
            reached = self._room().reached(self.planned.over_budget)
            return self._end("failed", reached.message, reached.hint)
        if self.planned.left:
            why = ", ".join(f"{n:,} {reason}" for reason, n in self.collector.last_reasons().most_common(5))
            message = f"{len(self.planned.left):,} answers got no result in the batches they were sent in"
            return self._end("failed", f"{message} (the last: {why})", "`judge` scores the rest, with --batch or without")
        return self._end("finished")

    def _end(self, state: str, message: str = "", hint: str = "") -> Outcome:
        told: State = "stopped" if state == SUBMITTED else state  # type: ignore[assignment]
        self.events.write(RunState("judge", told, message, hint, 1), sync=True)
        if state in ("finished", "failed") and self.state.begun:
            self.state.append("ended", state=state, message=message)
            self.state.clean()
        room, numbers = self._room(), self.numbers
        left = len(self.planned.left) if state in ("finished", "failed") else numbers["n_answers"] - self._n_complete()
        return Outcome(
            self.folder.name, self.judge.identity.judge_id, state, numbers["n_in_scope"], numbers["n_answers"], self.n_scored,
            dict(self.unscored), self.n_cached, max(0, left), room.n_calls, room.n_tokens, room.usd,
            time.monotonic() - self.began, numbers["left_out"], message, hint, _cost(self.cost),
        )  # fmt: skip

    def _n_complete(self) -> int:
        """Answers of which nothing is out."""
        out = {key[0] for batch in self._open() for pair in self.state.pairs(batch.number) for key in pair.settles()}
        return len({response_id for response_id, _ in self.settled} - out)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Every way out leaves a last word in the events."""
        try:
            yield
        except Declined as error:
            self.events.write(RunState("judge", "stopped", error.message, error.hint, 1), sync=True)
            raise
        except EMError as error:
            self.events.write(RunState("judge", "failed", error.message, error.hint, 1), sync=True)
            raise
        except KeyboardInterrupt:
            self.events.write(RunState("judge", "stopped", "interrupted; batches go on at the server", AGAIN, 1), sync=True)
            raise
        except Exception as error:
            words = f"unexpected {type(error).__name__}: {error}"
            self.events.write(RunState("judge", "failed", words, "this is a bug: please report it", 1), sync=True)
            raise
