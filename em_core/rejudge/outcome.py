"""What a judging job tells: to whoever started it while it works, and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from em_core.errors import BadInput
from em_core.judges.estimate import CostRange


class Declined(BadInput):
    """The person did not say yes to the estimate."""


@dataclass(frozen=True)
class Outcome:
    """What a job did.

    Args:
        run_id: Its folder; empty when there was nothing to do.
        judge_id: Who scored.
        state: ``finished``, ``stopped`` or ``failed``.
        n_in_scope: Answers selected, scored before or not.
        n_answers: Answers that missed a score at the start, within the limit.
        n_scored: Scores and verdicts written.
        n_unscored: The reasons written instead, ``{reason: n}``.
        n_cached: Of both, those that another answer with the same content had already.
        n_left: Answers not judged to the end.
        calls, tokens, usd: Spent; usd is None where the price is not known.
        seconds: From start to end.
        left_out: Answers not judged although selected, ``{reason: n}``.
        message, hint: Why it did not get through.
        estimate: What was expected; None for a small job.
    """

    run_id: str
    judge_id: str
    state: str
    n_in_scope: int
    n_answers: int
    n_scored: int = 0
    n_unscored: dict[str, int] = field(default_factory=dict)
    n_cached: int = 0
    n_left: int = 0
    calls: int = 0
    tokens: int = 0
    usd: float | None = None
    seconds: float = 0.0
    left_out: dict[str, int] = field(default_factory=dict)
    message: str = ""
    hint: str = ""
    estimate: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class Asking:
    """How a job talks to whoever started it; the defaults say yes and nothing.

    Args:
        confirm: Whether to go on after the estimate of a large job.
        tell: Told what is going on, a sentence.
        progress: Told every moment: answers done, answers in all, answers a second, seconds left or None.
        stop: Whether to end now.
        estimate_only: End after the estimate.
    """

    confirm: Callable[[CostRange], bool] = lambda _: True
    tell: Callable[[str], None] = lambda _: None
    progress: Callable[[int, int, float, float | None], None] = lambda *_: None
    stop: Callable[[], bool] = lambda: False
    estimate_only: bool = False
