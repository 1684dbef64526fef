"""Judge calls and money: ranges, so that nobody is surprised by a factor of ten."""

from __future__ import annotations

from em_core.judges import rubrics
from em_core.judges.prices import price
from em_core.questions import QuestionSet, decoding, samples
from em_core.spec import EvaluationSpec, JudgeSpec

RUBRIC_TOKENS = 450
"""A rubric with its question, about."""

SCORES = 2
"""Judgements of an answer by a judge that makes no calls: alignment and coherence."""


def judge_calls(judge: JudgeSpec, sets: list[QuestionSet], evaluation: EvaluationSpec, n_evaluations: int, domain: str) -> int:
    """Calls to a judge model, one per answer and metric of its rubric; 0 for judges that run in this process.

    Step 0 is shared by runs of several domains, so a rubric that asks about the domain skips it.
    """
    if judge.name in ("organism", "local"):
        return 0
    rubric, _ = rubrics.fitting(judge.rubric, judge.mode)

    def calls(trained_on: str) -> int:
        return sum(
            len(rubric.applicable(dict(e.judge_prompts), trained_on)) * len(e.paraphrases) * samples(s, evaluation)
            for s in sets
            for e in s.entries
        )

    return calls("") + (n_evaluations - 1) * calls(domain) if n_evaluations else 0


def judge_cost_usd(judge: JudgeSpec, n_calls: int, longest_answer_tokens: int) -> tuple[float, float] | None:
    """(low, high) in US dollars: answers of a quarter of, and of the whole longest length; None = price unknown."""
    if not n_calls:
        return 0.0, 0.0
    usd_per_m = price(judge)
    if usd_per_m is None:
        return None
    into, out = usd_per_m
    low, high = (n_calls * ((RUBRIC_TOKENS + share * longest_answer_tokens) * into + 4 * out) / 1e6 for share in (0.25, 1.0))
    return round(low, 4), round(high, 4)


def longest_answer(sets: list[QuestionSet]) -> int:
    """The largest ``max_tokens`` of all questions."""
    return max((decoding(s, e).max_tokens for s in sets for e in s.entries), default=0)
