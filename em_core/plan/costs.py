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
    """Calls to a judge model in `n_evaluations`, the first of which is step 0; 0 for judges that run in this process."""
    if not n_evaluations:
        return 0
    return calls_at_step(judge, sets, evaluation, "") + (n_evaluations - 1) * calls_at_step(judge, sets, evaluation, domain)


def calls_at_step(judge: JudgeSpec, sets: list[QuestionSet], evaluation: EvaluationSpec, domain: str) -> int:
    """Calls for all answers of one step, one per answer and metric of its rubric.

    Step 0 is shared by runs of several domains and has none ("") here: a rubric that asks about the domain skips it.
    """
    if judge.name in ("organism", "local"):
        return 0
    rubric, _ = rubrics.fitting(judge.rubric, judge.mode)
    return sum(
        len(rubric.applicable(dict(e.judge_prompts), domain)) * len(e.paraphrases) * samples(s, evaluation)
        for s in sets
        for e in s.entries
    )


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
