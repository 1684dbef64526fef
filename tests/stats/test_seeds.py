"""Runs that differ in the seed only."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from em_core.stats import across_seeds, estimate, wilson

RNG = np.random.default_rng(0)
M = RNG.binomial(20, np.clip(RNG.beta(1, 2, 9) + RNG.normal(0, 0.08, (4, 1)), 0.02, 0.98))
D = np.full((4, 9), 20)


def test_its_parts_are_those_of_a_two_way_analysis_of_variance() -> None:
    import pandas as pd

    seed, question = np.indices(M.shape)
    frame = pd.DataFrame({"rate": (M / D).ravel(), "seed": seed.ravel(), "question": question.ravel()})
    table = anova_lm(ols("rate ~ C(seed) + C(question)", frame).fit())
    squares = table["mean_sq"]
    found = across_seeds(M, D)
    assert found.rate == pytest.approx(M.sum() / D.sum())
    assert found.sd_rest == pytest.approx(squares["Residual"] ** 0.5)
    assert found.sd_seed == pytest.approx((max(0, squares["C(seed)"] - squares["Residual"]) / 9) ** 0.5)
    assert found.sd_question == pytest.approx((max(0, squares["C(question)"] - squares["Residual"]) / 4) ** 0.5)
    assert (found.n_seeds, found.n_questions, found.n_misaligned, found.n) == (4, 9, M.sum(), 720)


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = np.tile([2, 5, 1, 9, 0, 7], (3, 1))
    apart = np.clip(alike + np.array([[-3], [0], [3]]) * 2, 0, 20)
    d = np.full((3, 6), 20)
    for kind in ("questions", "population"):
        one, two = across_seeds(alike, d, kind), across_seeds(apart, d, kind)  # type: ignore[arg-type]
        assert two.high - two.low > one.high - one.low  # type: ignore[operator]
        assert one.sd_seed == pytest.approx(0, abs=1e-9)


def test_on_these_questions_it_is_a_t_interval_over_seeds() -> None:
    rates = np.array([0.50, 0.55, 0.65, 0.45])
    found = across_seeds(np.tile(200 * rates[:, None], 5), np.full((4, 5), 200), "questions")
    expected = scipy_stats.ttest_1samp(rates, 0).confidence_interval()
    size = rates.mean() * (1 - rates.mean()) / (rates.var(ddof=1) / 4)
    assert found.dof == pytest.approx(3)
    assert (found.low, found.high) == pytest.approx(wilson(rates.mean() * size, size, dof=3))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)  # score against plain t


def test_one_seed_says_so() -> None:
    found = across_seeds(M[0], D[0])
    expected = estimate(M[0], D[0], "population")
    assert (found.rate, found.low, found.high) == (expected.rate, expected.low, expected.high)
    assert found.sd_seed is None
    assert "1 seed: the interval says nothing about other seeds" in found.note


def test_two_seeds_are_called_few() -> None:
    assert "2 seeds" in across_seeds(M[:2], D[:2]).note


def test_nothing_scored_is_no_estimate() -> None:
    for shape in ((2, 3), (0, 3), (2, 0)):
        found = across_seeds(np.zeros(shape), np.zeros(shape))
        assert (found.rate, found.low, found.high) == (None, None, None)
        assert "no estimate" in found.note
    holes = np.array([[5, 0], [0, 5]])
    assert across_seeds(holes * 0, holes).rate is None  # no question was answered under both seeds


def test_questions_missing_under_a_seed_and_empty_seeds_are_left_out() -> None:
    m, d = np.vstack([M, np.zeros(9)]), np.vstack([D, np.zeros(9)])
    d[1, 3] = m[1, 3] = 0
    found = across_seeds(m, d)
    assert (found.n_seeds, found.n_questions) == (4, 8)


@pytest.mark.parametrize("kind", ["questions", "population"])
def test_none_and_all_keep_a_width(kind: str) -> None:
    none = across_seeds(np.zeros((3, 8)), np.full((3, 8), 20), kind)  # type: ignore[arg-type]
    assert (none.rate, none.low) == (0.0, 0.0)
    assert 0.005 < none.high < 0.9  # type: ignore[operator]
    every = across_seeds(np.full((3, 8), 20), np.full((3, 8), 20), kind)  # type: ignore[arg-type]
    assert (every.rate, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(1 - none.high)  # type: ignore[operator]


def test_one_question_under_several_seeds_speaks_of_that_question_only() -> None:
    found = across_seeds(np.array([[3], [5], [4]]), np.array([[20], [20], [20]]))
    assert found.kind == "questions"
    assert found.low is not None
    assert "nothing about other questions" in found.note
