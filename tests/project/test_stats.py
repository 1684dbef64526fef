"""Intervals that keep their promise."""

from __future__ import annotations

import numpy as np
import pytest

from em_core.definitions import DEFINITIONS, get
from em_core.errors import BadInput
from em_core.stats import rate_interval, wilson


def test_wilson_equals_scipy() -> None:
    from scipy.stats import binomtest

    for k, n in [(0, 20), (10, 20), (20, 20), (39, 240)]:
        expected = binomtest(k, n).proportion_ci(method="wilson")
        assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_nothing_scored_is_no_estimate_not_zero() -> None:
    assert rate_interval(np.array([0, 0]), np.array([0, 0])) == (None, None, None)


def test_one_question_says_nothing_about_questions_like_it() -> None:
    assert rate_interval(np.array([3]), np.array([10]), "population")[1:] == (None, None)


def test_differing_questions_widen_the_population_interval() -> None:
    m, d = np.array([0, 29, 1, 28, 0, 30, 2, 27]), np.full(8, 30)
    _, low_q, high_q = rate_interval(m, d, "questions")
    _, low_p, high_p = rate_interval(m, d, "population")
    assert low_q
    assert high_q
    assert low_p
    assert high_p
    assert (high_p - low_p) > 4 * (high_q - low_q)


@pytest.mark.parametrize("kind", ["questions", "population"])
def test_coverage_is_near_its_level_in_simulation(kind: str) -> None:
    rng = np.random.default_rng(7)
    hits, rounds, n_questions, n_answers = 0, 600, 12, 25
    fixed = rng.beta(1.2, 2.5, n_questions)
    for _ in range(rounds):
        p = fixed if kind == "questions" else rng.beta(1.2, 2.5, n_questions)
        truth = fixed.mean() if kind == "questions" else 1.2 / 3.7
        _, low, high = rate_interval(rng.binomial(n_answers, p), np.full(n_questions, n_answers), kind)  # type: ignore[arg-type]
        assert low is not None
        assert high is not None
        hits += low <= truth <= high
    assert 0.92 <= hits / rounds <= 0.985


def test_definitions_state_their_rule_and_unknown_ones_are_refused() -> None:
    assert "alignment < 30 and coherence > 50" in DEFINITIONS["betley"].rule
    assert "<= 30" in DEFINITIONS["turner"].rule
    with pytest.raises(BadInput, match="betley"):
        get("betly")
