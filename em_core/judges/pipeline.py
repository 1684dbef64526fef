"""Judging beside training: every judge in a thread of its own, fed as answers are sampled.

    pipeline = JudgingPipeline(judges, write, already_judged(read_events(run_dir, "judgement")))
    pipeline.submit(items)          # returns at once
    pipeline.progress()             # {judge_id: {"n_pending": 12, "rate_per_s": 40.0, ...}}
    failures = pipeline.finish()    # waits; a judge that failed keeps what it had scored

An answer is given to a judge at most once, and not at all if its scores are there already. What a
failed judge left over is in its `JudgeFailure`; the next `judge` scores it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Literal

from em_core.errors import EMError
from em_core.judges import Judge, ToJudge
from em_core.records import METRICS, Judgement

CLOSE_S = 10.0
_END = object()


@dataclass(frozen=True)
class JudgeFailure:
    """A judge that did not get through.

    Args:
        judge_id: Which.
        message: Why.
        hint: What to do.
        n_unjudged: Answers that it was given and did not score.
    """

    judge_id: str
    message: str
    hint: str
    n_unjudged: int


class Cancelled(EMError):
    """Judging was cancelled before its end; answers in flight are left unjudged."""


class JudgingPipeline:
    """Feeds judges and writes down what they say.

    Args:
        judges: Each runs in its own thread.
        write: Called with every judgement, from the judges' threads, in the order of arrival.
        already: ``(response_id, judge_id)`` of answers with all their scores, and
            ``(response_id, judge_id, metric)`` of single scores; neither is made again.
    """

    def __init__(
        self, judges: Sequence[Judge], write: Callable[[Judgement], None], already: AbstractSet[tuple[str, ...]] = frozenset()
    ) -> None:
        self._lanes = [_Lane(judge, write, already) for judge in judges]
        self._finished = False

    def submit(self, items: Iterable[ToJudge]) -> None:
        """Queue answers for every judge; never blocks on them."""
        for item in items:
            for lane in self._lanes:
                lane.submit(item)

    def progress(self) -> dict[str, dict[str, Any]]:
        """By judge id: ``state`` (running, finished, failed, cancelled), ``n_submitted``, ``n_judged`` and
        ``n_pending`` answers, ``n_skipped`` (scored before), ``n_unscored`` judgements, ``rate_per_s``
        (answers), ``message``."""
        return {lane.judge_id: lane.progress() for lane in self._lanes}

    def finish(self, timeout: float | None = None) -> list[JudgeFailure]:
        """Wait until everything submitted is judged.

        Args:
            timeout: Seconds for all judges together; None waits as long as it takes. After that
                the rest is cancelled.

        Returns:
            One failure per judge that did not get through; empty when all did.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for lane in self._lanes:
            lane.feed.end()
        for lane in self._lanes:
            lane.thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        late = [lane for lane in self._lanes if lane.thread.is_alive()]
        if late:
            self.cancel(f"not done within {timeout or 0:g} s")
        self._finished = True
        return [failure for lane in self._lanes if (failure := lane.failure()) is not None]

    def cancel(self, why: str = "cancelled") -> None:
        """Stop all judges now; scores that were written stay."""
        for lane in self._lanes:
            lane.feed.cancel(why)
        deadline = time.monotonic() + CLOSE_S
        for lane in self._lanes:
            lane.thread.join(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """End the threads: nothing to do after `finish`, else `cancel`."""
        if not self._finished:
            self.cancel()

    def __enter__(self) -> JudgingPipeline:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Lane:
    """One judge, its feed and its thread."""

    def __init__(self, judge: Judge, write: Callable[[Judgement], None], already: AbstractSet[tuple[str, ...]]) -> None:
        self.judge, self.judge_id, self.write = judge, judge.identity.judge_id, write
        self.seen = {key[0] for key in already if len(key) == 2 and key[1] == self.judge_id}
        self.scored: dict[str, set[str]] = {}
        for key in already:
            if len(key) == 3 and key[1] == self.judge_id:
                self.scored.setdefault(key[0], set()).add(key[2])
        self.feed = _Feed()
        self.lock = threading.Lock()
        self.state: Literal["running", "finished", "failed", "cancelled"] = "running"
        self.message = self.hint = ""
        self.given: set[str] = set()
        self.judged: set[str] = set()
        self.n_skipped = self.n_unscored = 0
        self.first_at = self.last_at = 0.0
        self.thread = threading.Thread(target=self._run, name=f"judge-{self.judge_id}", daemon=True)
        self.thread.start()

    def submit(self, item: ToJudge) -> None:
        with self.lock:
            if item.response_id in self.seen:
                self.n_skipped += item.response_id not in self.given
                return
            self.seen.add(item.response_id)
            self.given.add(item.response_id)
            self.first_at = self.first_at or time.monotonic()
            if item.response_id in self.scored:
                item = replace(item, skip_metrics=item.skip_metrics | self.scored[item.response_id])
        self.feed.put(item)

    def _run(self) -> None:
        try:
            for judgement in self.judge.judge(self.feed):
                if judgement.metric in self.scored.get(judgement.response_id, ()):
                    continue
                self.write(judgement)
                with self.lock:
                    self.judged.add(judgement.response_id)
                    self.n_unscored += judgement.value is None
                    self.last_at = time.monotonic()
            self.state = "finished"
        except Cancelled as error:
            self.state, self.message, self.hint = "cancelled", error.message, error.hint
        except EMError as error:
            self.state, self.message, self.hint = "failed", error.message, error.hint
        except Exception as error:
            self.state, self.hint = "failed", "this is a bug in the judge: please report it"
            self.message = f"unexpected {type(error).__name__}: {error}"

    def failure(self) -> JudgeFailure | None:
        with self.lock:
            n_left = len(self.given - self.judged)
            if self.state == "finished" and not n_left:
                return None
            message = self.message
            if self.state == "finished":
                message = f"{n_left} answers got no judgement"
            elif self.state == "running":
                message = "did not stop in time"
            return JudgeFailure(self.judge_id, message, self.hint or "`judge` scores the rest", n_left)

    def progress(self) -> dict[str, Any]:
        with self.lock:
            spent = self.last_at - self.first_at
            return {
                "state": self.state,
                "n_submitted": len(self.given),
                "n_judged": len(self.judged),
                "n_pending": len(self.given - self.judged),
                "n_skipped": self.n_skipped,
                "n_unscored": self.n_unscored,
                "rate_per_s": len(self.judged) / spent if spent > 0 else 0.0,
                "message": self.message,
            }


class _Feed:
    """An endless iterator over a queue; `end` ends it after what is queued, `cancel` at once."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._cancelled: Cancelled | None = None
        self._callbacks: list[Callable[[BaseException], None]] = []

    def put(self, item: ToJudge) -> None:
        self._queue.put(item)

    def end(self) -> None:
        self._queue.put(_END)

    def cancel(self, why: str) -> None:
        with self._lock:
            self._cancelled = self._cancelled or Cancelled(f"judging was cancelled: {why}", "`judge` scores the rest")
            callbacks, error = list(self._callbacks), self._cancelled
        self._queue.put(_END)
        for callback in callbacks:
            callback(error)

    def on_cancel(self, callback: Callable[[BaseException], None]) -> None:
        """Ask to be told, even after the last item; at once if it is cancelled already."""
        with self._lock:
            self._callbacks.append(callback)
            error = self._cancelled
        if error is not None:
            callback(error)

    def __iter__(self) -> Iterator[ToJudge]:
        return self

    def __next__(self) -> ToJudge:
        item = self._queue.get()
        if self._cancelled is not None:
            self._queue.put(_END)
            raise self._cancelled
        if item is _END:
            self._queue.put(_END)
            raise StopIteration
        return item  # type: ignore[no-any-return]


def already_judged(judgements: Iterable[Mapping[str, Any]], metrics: Sequence[str] = METRICS) -> set[tuple[str, ...]]:
    """What need not be judged again, for `JudgingPipeline(already=...)`.

    Args:
        judgements: Judgement events or rows, in any order. A failed call (`api_error`) counts as
            not judged.
        metrics: The metrics that make an answer complete.

    Returns:
        ``(response_id, judge_id)`` of complete answers, ``(response_id, judge_id, metric)`` of the
        scores of others.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for row in judgements:
        if row.get("unscored_reason") != "api_error":
            found.setdefault((row["response_id"], row["judge_id"]), set()).add(row["metric"])
    keys: set[tuple[str, ...]] = set()
    for pair, names in found.items():
        if names >= set(metrics):
            keys.add(pair)
        else:
            keys |= {(*pair, name) for name in names}
    return keys
