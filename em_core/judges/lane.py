"""One judge at work: its feed, its thread, what it was given, what came back and what it still owes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Literal

from em_core.errors import EMError
from em_core.judges import Judge, ToJudge
from em_core.judges.budget import Budget, BudgetReached
from em_core.judges.cache import JudgementCache, key, shared
from em_core.judges.feed import Cancelled, Feed
from em_core.judges.pace import Pace
from em_core.records import METRICS, Judgement

Key = tuple[str, str, str]
"""``(response_id, judge_id, metric)`` of one score."""


@dataclass(frozen=True)
class JudgeFailure:
    """A judge that did not get through.

    Args:
        judge_id: Which.
        message: Why.
        hint: What to do.
        n_unjudged: Answers that it was given and did not score completely.
    """

    judge_id: str
    message: str
    hint: str
    n_unjudged: int


class Lane:
    """One judge in a thread of its own.

    Args:
        judge: Who scores.
        write: Called with every judgement, from the lane's threads.
        already: Scores that exist; those of other judges are ignored.
        cache: Scores of other runs by content; not used for judges that cost nothing (``free = True``).
    """

    def __init__(
        self, judge: Judge, write: Callable[[Judgement], None], already: AbstractSet[Key], cache: JudgementCache | None
    ) -> None:
        self.judge, self.judge_id, self._write = judge, judge.identity.judge_id, write
        self._cache = None if getattr(judge, "free", False) else cache
        self._lock = threading.Lock()
        self._scored: dict[str, set[str]] = {}  # metrics by answer: found, or written by this lane
        self._owed: dict[str, set[str]] = {}  # metrics still to come by answer in hand
        self._seen: set[str] = set()
        self._unasked: set[str] = set()  # answers with no metric for this judge
        self._asked: dict[tuple[str, str], tuple[bytes, ToJudge]] = {}  # (answer, metric) -> content, while in flight
        self._followers: dict[bytes, list[ToJudge]] = {}  # same content as one in flight: share its score
        self._pace = Pace()
        self.state: Literal["running", "finished", "failed", "cancelled"] = "running"
        self.message = self.hint = ""
        self._n_skipped = self._n_unscored = self._n_cached = self._n_tokens = self._n_calls = 0
        self.know(already)
        self.feed = Feed(self._prepare)
        self.thread = threading.Thread(target=self._run, name=f"judge-{self.judge_id}", daemon=True)
        self.thread.start()

    def know(self, keys: Iterable[Key]) -> None:
        """These scores exist: they are not asked for, and not written again should they be on their way."""
        with self._lock:
            for response_id, judge_id, metric in keys:
                if judge_id == self.judge_id:
                    self._scored.setdefault(response_id, set()).add(metric)

    def submit(self, item: ToJudge) -> None:
        """Queue one answer, unless it was given before or is scored already; never blocks."""
        wanted = self._metrics(item)
        with self._lock:
            if item.response_id in self._seen:
                return
            self._seen.add(item.response_id)
            missing = self._missing(item, wanted)
            if wanted and not missing:
                self._n_skipped += 1
                return
            self._owed[item.response_id] = missing
            if not wanted:
                self._unasked.add(item.response_id)
            self._pace.given()
        self.feed.put(item)

    def _metrics(self, item: ToJudge) -> tuple[str, ...]:
        """What the judge scores of an answer; () = it cannot, and says why when it is asked."""
        return self.judge.metrics(item) if hasattr(self.judge, "metrics") else METRICS

    def _missing(self, item: ToJudge, wanted: Iterable[str]) -> set[str]:
        return set(wanted) - item.skip_metrics - self._scored.get(item.response_id, set())

    def _prepare(self, item: ToJudge) -> ToJudge | None:
        """Its turn has come: what is known by now, cached, or asked for by another answer needs no call."""
        wanted = self._metrics(item)
        with self._lock:
            ask = self._missing(item, wanted)
            self._owed[item.response_id] = set(ask)
            if wanted and not ask:
                self._n_skipped += 1
                self._done(item.response_id)
        if self._cache is not None and item.answer.strip():
            for metric in sorted(ask):
                content = key(self.judge_id, metric, item)
                with self._lock:
                    if content in self._followers:
                        self._followers[content].append(item)
                        ask.discard(metric)
                        continue
                found = self._cache.get(self.judge_id, metric, item)
                if found is not None:
                    ask.discard(metric)
                    self._keep(found)
                    continue
                with self._lock:
                    self._asked[item.response_id, metric] = content, item
                    self._followers[content] = []
        if wanted and not ask:
            return None
        return replace(item, skip_metrics=item.skip_metrics | (set(wanted) - ask)) if set(wanted) - ask else item

    def _run(self) -> None:
        try:
            for judgement in self.judge.judge(self.feed):
                self._arrived(judgement)
            self._drop_empty()
            self.state = "finished"
        except Cancelled as error:
            self.state, self.message, self.hint = "cancelled", error.message, error.hint
        except BudgetReached as error:
            self.state, self.message, self.hint = "failed", error.message + "; {n_left:,} answers left", error.hint
        except EMError as error:
            self.state, self.message, self.hint = "failed", error.message, error.hint
        except Exception as error:
            self.state, self.hint = "failed", "this is a bug in the judge: please report it"
            self.message = f"unexpected {type(error).__name__}: {error}"

    def _arrived(self, judgement: Judgement) -> None:
        with self._lock:
            self._n_calls += judgement.input_tokens is not None
            self._n_tokens += (judgement.input_tokens or 0) + (judgement.output_tokens or 0)
            content, item = self._asked.pop((judgement.response_id, judgement.metric), (b"", None))
        self._keep(judgement)
        if item is None:
            return
        if self._cache is not None:
            self._cache.put(judgement, item)
        with self._lock:
            followers = self._followers.pop(content)
        for follower in followers:
            self._keep(shared(judgement, follower))

    def _keep(self, judgement: Judgement) -> None:
        """Write one judgement, unless it is known already."""
        with self._lock:
            scored = self._scored.setdefault(judgement.response_id, set())
            known = judgement.metric in scored
            scored.add(judgement.metric)
        if not known:
            self._write(judgement)
        with self._lock:
            self._n_cached += judgement.cached and not known
            self._n_unscored += judgement.unscored_reason is not None
            owed = self._owed.get(judgement.response_id)
            if owed is not None:
                owed.discard(judgement.metric)
                if not owed:
                    self._done(judgement.response_id)

    def _done(self, response_id: str) -> None:
        if self._owed.pop(response_id, None) is not None:
            self._pace.done()

    def _drop_empty(self) -> None:
        """Answers of which the judge scores no metric, and about which it did not complain, count as skipped."""
        with self._lock:
            for response_id in [name for name in self._unasked if name in self._owed]:
                self._n_skipped += 1
                self._done(response_id)

    def failure(self) -> JudgeFailure | None:
        """What to tell when it is over; None when everything it was given is scored."""
        with self._lock:
            n_left = len(self._owed)
            if self.state == "finished" and not n_left:
                return None
            message = self.message.replace("{n_left:,}", f"{n_left:,}")
            if self.state == "finished":
                message = f"{n_left} answers got no judgement"
            elif self.state == "running":
                message = "did not stop in time"
            return JudgeFailure(self.judge_id, message, self.hint or "`judge` scores the rest", n_left)

    def progress(self) -> dict[str, Any]:
        """See `JudgingPipeline.progress`."""
        with self._lock:
            n_pending, rate = len(self._owed), self._pace.rate_per_s()
            spent: Budget | None = getattr(self.judge, "budget", None)
            return {
                "state": self.state,
                "n_submitted": self._pace.n_given,
                "n_judged": self._pace.n_done,
                "n_pending": n_pending,
                "n_skipped": self._n_skipped,
                "n_unscored": self._n_unscored,
                "n_cached": self._n_cached,
                "n_calls": spent.n_calls if spent else self._n_calls,
                "n_tokens": spent.n_tokens if spent else self._n_tokens,
                "usd": spent.usd if spent else 0.0,
                "rate_per_s": rate,
                "eta_s": n_pending / rate if rate > 0 else (None if n_pending else 0.0),
                "message": self.message,
            }
