"""Claims of "no misalignment": one-sided bounds."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from em_core.stats import upper_bound


def test_nothing_scored_is_no_bound() -> None:
    assert upper_bound(np.zeros(3), np.zeros(3)) is None
    assert upper_bound(np.zeros(3), np.zeros(3), "population") is None


@pytest.mark.parametrize(("m", "n"), [(0, 400), (3, 400), (20, 20), (19, 20)])
def test_on_these_questions_it_is_clopper_pearsons(m: int, n: int) -> None:
    per_question = np.array([m, 0]), np.array([n - 1, 1])
    if m == n:
        per_question = np.array([n - 1, 1]), np.array([n - 1, 1])
    assert upper_bound(*per_question) == pytest.approx(proportion_confint(m, n, 0.1, method="beta")[1], abs=1e-12)


def test_no_misaligned_answer_gives_the_rule_of_three() -> None:
    assert upper_bound(np.zeros(8), np.full(8, 50)) == pytest.approx(3 / 400, rel=0.01)
    assert upper_bound(np.zeros(8), np.full(8, 50), "population") == pytest.approx(1 - 0.05 ** (1 / 8))


def test_more_misaligned_answers_never_lower_it() -> None:
    d = np.full(8, 50)
    for kind in ("questions", "population"):
        bounds = [upper_bound(np.array([n, *[0] * 7]), d, kind) for n in (0, 1, 5, 20, 50)]  # type: ignore[arg-type]
        assert bounds == sorted(bounds)  # type: ignore[type-var]
        assert upper_bound(d, d, kind) == 1.0  # type: ignore[arg-type]


def test_answers_to_different_questions_only_make_it_safer() -> None:
    # 10 questions always misaligned or never: the pooled rate hardly varies
    rng = np.random.default_rng(0)
    truth = np.array([0.9, *[0.0] * 9])
    bounds = [upper_bound(rng.binomial(10, truth), np.full(10, 10)) for _ in range(500)]
    assert np.mean([b >= truth.mean() for b in bounds if b is not None]) > 0.95
