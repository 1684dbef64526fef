"""Judges: one module each, found by its name (`JudgeSpec.name`).

A judge module has ``open(spec: JudgeSpec) -> Judge``. Answers are scored once per judge; judging is
a separate, repeatable step with its own identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from em_core import plugins
from em_core.records import JudgeIdentity, Judgement
from em_core.spec import JudgeSpec

NOT_PLUGINS: tuple[str, ...] = (
    "batch_api", "beside", "budget", "cache", "endpoint", "estimate", "feed", "identity", "lane", "pace", "pipeline", "prices",
    "replies", "rubrics", "stream", "throttle",
)  # fmt: skip


@dataclass(frozen=True)
class ToJudge:
    """One answer to score. `judge_prompts` are the question file's own templates, ``{metric: template}``;
    `skip_metrics` are already scored and need no call; `repeat` counts judgings of the same content, from 0
    (part of the cache key); `domain` is what the model was trained on, for rubrics that ask about it."""

    response_id: str
    question: str
    answer: str
    system: str = ""
    finish_reason: str = "stop"
    judge_prompts: dict[str, str] = field(default_factory=dict)
    skip_metrics: frozenset[str] = frozenset()
    repeat: int = 0
    domain: str = ""


class Judge(Protocol):
    """Scores answers."""

    identity: JudgeIdentity

    def check(self) -> None:
        """Make sure that this judge can work here and now (endpoint up, key accepted, model known).

        Raises:
            EMError: It cannot; the message says why and what to do.
        """
        ...

    def metrics(self, item: ToJudge) -> tuple[str, ...]:
        """The metrics that this judge scores of that answer (skipped ones too)."""
        ...

    def judge(self, items: Iterable[ToJudge]) -> Iterator[Judgement]:
        """Scores as they arrive, one `Judgement` per item and metric, in any order. `items` may be a
        live feed that blocks until the next answers are sampled. An error raised by it ends the
        judging; a feed that has ``on_cancel(callback)`` passes such an error on even after its last item.

        Raises:
            EMError: Nothing more can be scored (quota, key); what was yielded before is kept.
        """
        ...


def open_judge(spec: JudgeSpec) -> Judge:
    """Open the judge that the spec names.

    Raises:
        EMError: It is unknown or misconfigured.
    """
    judge: Judge = plugins.load(__name__, "judge", spec.name).open(spec)
    return judge
