"""What a judging job will take, from five real calls' worth of it: calls, tokens, money, time.

    found = estimate(judge, items, write=events.write, already=keys, cache=cache)
    print(found.sentence())     # 1,990 calls, 1.1 M tokens (1.0-1.2 M), $2.31 ($2.10-$2.52), 20 s - 2 min
    pipeline = JudgingPipeline([judge], events.write, keys | found.keys, cache)

The five answers are spread over the job, and their scores are kept: nothing is paid for in vain.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from em_core.errors import WorkFailed
from em_core.judges import Judge, ToJudge
from em_core.judges.budget import Budget
from em_core.judges.cache import JudgementCache, key
from em_core.judges.lane import Key
from em_core.judges.pipeline import JudgingPipeline, already_judged
from em_core.judges.throttle import START, Throttle
from em_core.records import Judgement
from em_core.view.run_words import time_range

SAMPLE = 5
_T_95 = (0.0, 0.0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Two-sided 95 % points of Student's t by number of observations."""


@dataclass(frozen=True)
class Span:
    """A mean with its range."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class CostRange:
    """What a judging job takes; the sample's own calls are part of it.

    Args:
        n_answers: Answers of the job.
        n_calls: Calls that the job makes: scores that are neither there nor cached.
        n_cached: Scores that the cache has.
        n_sampled: Calls of these that were made for the estimate.
        tokens: Tokens in and out; None = the server does not count them. The range is the 95 % interval of
            the mean, within what single calls took.
        usd: US dollars; None = price not known.
        time_s: Seconds, from the full to the first concurrency; without the server's rate limits, which are not known.
        judgements: The sample's scores.
    """

    n_answers: int
    n_calls: int
    n_cached: int
    n_sampled: int
    tokens: Span | None
    usd: Span | None
    time_s: Span
    judgements: tuple[Judgement, ...]

    @property
    def keys(self) -> set[Key]:
        """The sample's scores, for `JudgingPipeline(already=...)`."""
        return already_judged({"response_id": j.response_id, "judge_id": j.judge_id, "metric": j.metric,
                               "unscored_reason": j.unscored_reason} for j in self.judgements)  # fmt: skip

    def sentence(self) -> str:
        """The estimate in words, for a person who is about to pay."""
        cached = f" ({self.n_cached:,} scores cached)" if self.n_cached else ""
        tokens = "tokens not told by the server"
        if self.tokens is not None:
            tokens = f"{_count(self.tokens.mean)} tokens ({_count(self.tokens.low)} to {_count(self.tokens.high)})"
        usd = "price unknown"
        if self.usd is not None:
            usd = f"${self.usd.mean:,.2f} (${self.usd.low:,.2f} to ${self.usd.high:,.2f})" if self.usd.high else "no cost"
        took = time_range(self.time_s.low, self.time_s.high)
        return f"{self.n_calls:,} calls{cached}, {tokens}, {usd}, {took}"


def estimate(
    judge: Judge,
    items: Sequence[ToJudge],
    n_total: int | None = None,
    write: Callable[[Judgement], None] | None = None,
    already: AbstractSet[Key] = frozenset(),
    cache: JudgementCache | None = None,
    n_sample: int = SAMPLE,
) -> CostRange:
    """Judge a few answers of a job and say what the whole of it takes.

    Args:
        judge: Who scores.
        items: The answers of the job, or a sample of them.
        n_total: Answers of the job, where `items` is a sample of it; None = `items` is the job.
        write: Keeps the sample's judgements; without it they are in the result alone.
        already: Scores that exist.
        cache: Scores of other runs.
        n_sample: Answers to judge.

    Raises:
        WorkFailed: The judge could not score them.
    """
    todo, n_calls, n_cached = _missing(judge, items, already, None if getattr(judge, "free", False) else cache)
    scale = max(1.0, n_total / len(items)) if n_total and items else 1.0
    sample = [todo[int((i + 0.5) * len(todo) / n_sample)] for i in range(n_sample)] if len(todo) > n_sample else todo
    found: list[Judgement] = []
    took: list[float] = []
    began = time.monotonic()

    def keep(judgement: Judgement) -> None:
        found.append(judgement)
        if not judgement.cached:
            took.append(time.monotonic() - began)
        if write is not None:
            write(judgement)

    with JudgingPipeline([judge], keep, already, cache) as pipeline:
        pipeline.submit(sample)
        failures = pipeline.finish()
    if failures:
        raise WorkFailed(f"{failures[0].judge_id}: {failures[0].message}", failures[0].hint)
    calls = [(j.input_tokens, j.output_tokens) for j in found if not j.cached and j.unscored_reason != "api_error"]
    counted = [(i, o or 0) for i, o in calls if i is not None]
    n = round(n_calls * scale)
    budget: Budget | None = getattr(judge, "budget", None)
    usd_per_m = budget.usd_per_m if budget else (0.0, 0.0)
    return CostRange(
        n_answers=n_total or len(items),
        n_calls=n,
        n_cached=round(n_cached * scale),
        n_sampled=len(took),
        tokens=_span([i + o for i, o in counted], n),
        usd=_usd(counted, n, usd_per_m),
        time_s=_time(n, took, getattr(judge, "throttle", None)),
        judgements=tuple(found),
    )


def _missing(
    judge: Judge, items: Sequence[ToJudge], already: AbstractSet[Key], cache: JudgementCache | None
) -> tuple[list[ToJudge], int, int]:
    """(answers that need a call, calls, scores in the cache); the same content counts once where there is a cache."""
    judge_id, todo, n_calls, n_cached = judge.identity.judge_id, [], 0, 0
    seen: set[bytes] = set()
    for item in items:
        n = 0
        for metric in set(judge.metrics(item)) - item.skip_metrics:
            if (item.response_id, judge_id, metric) in already or not item.answer.strip():
                continue
            if cache is not None:
                content = key(judge_id, metric, item)
                if content in seen or cache.get(judge_id, metric, item) is not None:
                    n_cached += 1
                    continue
                seen.add(content)
            n += 1
        n_calls += n
        if n:
            todo.append(item)
    return todo, n_calls, n_cached


def _span(values: Sequence[float], n: int) -> Span | None:
    """`n` times the mean, with the 95 % interval of the mean, within the smallest and the largest value."""
    if not n:
        return Span(0.0, 0.0, 0.0)
    if not values:
        return None
    mean = statistics.fmean(values)
    wide = max(values) - min(values)
    if len(values) > 1:
        wide = _T_95[min(len(values), len(_T_95) - 1)] * statistics.stdev(values) / len(values) ** 0.5
    return Span(n * max(min(values), mean - wide), n * mean, n * min(max(values), mean + wide))


def _usd(counted: Sequence[tuple[int, int]], n: int, usd_per_m: tuple[float, float] | None) -> Span | None:
    if usd_per_m is None:
        return None
    if not any(usd_per_m):
        return Span(0.0, 0.0, 0.0)
    return _span([(i * usd_per_m[0] + o * usd_per_m[1]) / 1e6 for i, o in counted], n)


def _time(n: int, took: Sequence[float], throttle: Throttle | None) -> Span:
    """Calls of a far server run side by side; a judge without a throttle was as fast as the sample, or faster in bulk."""
    if not n or not took:
        return Span(0.0, 0.0, 0.0)
    if throttle is None:
        mean = n * max(took) / len(took)
        return Span(mean / 3, mean, mean)
    shortest, longest, mean = min(took), max(took), statistics.fmean(took)
    at_first = min(START, throttle.maximum)
    low = max(shortest, n * mean / throttle.maximum)
    return Span(low, max(mean, low), max(longest, n * longest / at_first))


def _count(tokens: float) -> str:
    return f"{tokens / 1e6:,.1f} M" if tokens >= 1e6 else f"{tokens / 1e3:,.0f} k" if tokens >= 1e4 else f"{tokens:,.0f}"
