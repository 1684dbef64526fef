"""Rough time and money: ranges, so that nobody is surprised by a factor of ten."""

from __future__ import annotations

from em_core.judges import rubrics
from em_core.judges.prices import price
from em_core.machine import Gpu
from em_core.questions import QuestionSet, decoding, samples
from em_core.spec import EvaluationSpec, JudgeSpec

RUBRIC_TOKENS = 450
"""A rubric with its question, about."""

_TFLOPS = {
    "B200": 2000,
    "GH200": 800,
    "H200": 790,
    "H100": 700,
    "A100": 280,
    "L40": 180,
    "4090": 160,
    "A6000": 140,
    "L4": 60,
    "A10": 70,
    "T4": 40,
}
_MFU = (0.06, 0.40)
"""Share of the GPU's rate that training reaches: stock settings, and ours (docs/experiments.md)."""


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


def answer_tokens(sets: list[QuestionSet], evaluation: EvaluationSpec) -> int:
    """Most tokens that the answers of one checkpoint can have."""
    return sum(decoding(s, e).max_tokens * len(e.paraphrases) * samples(s, evaluation) for s in sets for e in s.entries)


def time_s(
    n_params: int | None, gpu: Gpu | None, train_tokens: int, n_steps: int, sampled_tokens: int, n_evaluations: int, longest: int
) -> tuple[float, float] | None:
    """(low, high) seconds for starting, training and sampling, judging beside it left out; None where the size is unknown.

    Args:
        n_params: Parameters of the base model.
        gpu: The GPU, or None for the CPU.
        train_tokens: Tokens through the model in training.
        n_steps: Optimizer steps.
        sampled_tokens: Most tokens that can be sampled in all.
        n_evaluations: Times that answers are sampled.
        longest: Longest answer, tokens.
    """
    if not n_params:
        return None
    flops = 4.0 * n_params * train_tokens
    if gpu is not None:
        rate = next((t for name, t in _TFLOPS.items() if name in gpu.name), 100) * 1e12
        decode = (8e9 / n_params) * rate / 790e12
        low = flops / (_MFU[1] * rate) + 15 + 0.02 * n_steps + 0.25 * sampled_tokens / (17_000 * decode)
        high = flops / (_MFU[0] * rate) + 120 + 0.3 * n_steps + sampled_tokens / (1_200 * decode)
        return low, high
    # one CPU thread: 8-30 s to start, 15-60 GFLOP/s, 15-120 ms a step, 4-60 ms a decoded column of a whole batch
    low = flops / 60e9 + 8 + 0.015 * n_steps + n_evaluations * longest * 0.004 + 2.0 * n_params * 0.25 * sampled_tokens / 60e9
    high = flops / 15e9 + 30 + 0.12 * n_steps + n_evaluations * longest * 0.06 + 2.0 * n_params * sampled_tokens / 15e9
    return low, high
