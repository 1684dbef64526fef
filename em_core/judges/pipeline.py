"""Judging beside training: every judge in a thread of its own, fed as answers are sampled.

    pipeline = JudgingPipeline(judges, write, already_judged(read_events(run_dir, "judgement")), cache)
    pipeline.submit(items)          # returns at once
    pipeline.know(keys)             # scores that turned up elsewhere meanwhile
    pipeline.progress()             # {judge_id: {"n_pending": 12, "rate_per_s": 40.0, "eta_s": 0.3, ...}}
    failures = pipeline.finish()    # waits; a judge that failed keeps what it had scored

An answer is given to a judge at most once, for the metrics that are still missing, and not at all
if none is. What a failed judge left over is in its `JudgeFailure`; the next `judge` scores it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from em_core.judges import Judge, ToJudge
from em_core.judges.cache import JudgementCache
from em_core.judges.feed import Cancelled
from em_core.judges.lane import JudgeFailure, Key, Lane
from em_core.records import Judgement

__all__ = ["Cancelled", "JudgeFailure", "JudgingPipeline", "Key", "already_judged"]

CLOSE_S = 10.0


class JudgingPipeline:
    """Feeds judges and writes down what they say.

    Args:
        judges: Each runs in its own thread.
        write: Called with every judgement, from the judges' threads, in the order of arrival.
        already: ``(response_id, judge_id, metric)`` of scores that exist; they are not made again.
        cache: Scores by content, across runs; a hit is written with ``cached=True`` and costs no call, and
            answers with the same content that are in flight together share one call.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        write: Callable[[Judgement], None],
        already: AbstractSet[Key] = frozenset(),
        cache: JudgementCache | None = None,
    ) -> None:
        self._lanes = [Lane(judge, write, already, cache) for judge in judges]
        self._finished = False

    def submit(self, items: Iterable[ToJudge]) -> None:
        """Queue answers for every judge; never blocks on them."""
        for item in items:
            for lane in self._lanes:
                lane.submit(item)

    def know(self, keys: Iterable[Key]) -> None:
        """Scores that were found after the start (another process made them): not asked for any more, as far as
        their calls have not begun, and never written again. From any thread."""
        found = list(keys)
        for lane in self._lanes:
            lane.know(found)

    def progress(self) -> dict[str, dict[str, Any]]:
        """By judge id: ``state`` (running, finished, failed, cancelled), ``n_submitted``, ``n_judged`` and
        ``n_pending`` answers, ``n_skipped`` (scored before), ``n_unscored`` and ``n_cached`` judgements,
        ``n_calls``, ``n_tokens`` (in and out), ``usd`` (None = price unknown), ``rate_per_s`` (answers, over the
        last 10 s), ``eta_s`` (of what is pending; None = not known yet), ``message``."""
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


def already_judged(judgements: Iterable[Mapping[str, Any]]) -> set[Key]:
    """What need not be judged again, for `JudgingPipeline(already=...)` and `know`.

    Args:
        judgements: Judgement events or rows, in any order. A failed call (`api_error`) counts as
            not judged.

    Returns:
        ``(response_id, judge_id, metric)`` of every other one.
    """
    return {
        (row["response_id"], row["judge_id"], row["metric"]) for row in judgements if row.get("unscored_reason") != "api_error"
    }
