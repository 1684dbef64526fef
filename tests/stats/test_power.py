"""How many answers it takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import power_proportions_2indep

from em_core.stats import answers_needed, detectable_difference, paired_difference, power, samples_needed


@pytest.mark.parametrize(("p1", "p2"), [(0.3, 0.6), (0.05, 0.2), (0.0, 0.1), (0.5, 0.45), (0.9, 1.0)])
def test_answers_needed_are_the_fewest_that_statsmodels_finds_enough(p1: float, p2: float) -> None:
    n = answers_needed(p1, p2)
    enough = power_proportions_2indep(p2 - p1, p1, n, return_results=False)
    too_few = power_proportions_2indep(p2 - p1, p1, n - 1, return_results=False)
    assert too_few < 0.8 <= enough + 1e-6
    assert answers_needed(p2, p1) == n


def test_it_answers_what_the_plan_asks() -> None:
    assert answers_needed(0.3, 0.6) == 42


def test_the_same_rates_can_never_be_told_apart() -> None:
    for pair in ((0.3, 0.3), (-0.1, 0.5), (0.2, 1.1)):
        with pytest.raises(ValueError, match="two different rates"):
            answers_needed(*pair)
        with pytest.raises(ValueError, match="two different rates"):
            samples_needed(*pair)


def test_power_over_questions_is_that_of_a_t_test() -> None:
    p1, p2, k, m, rho, shared = 0.2, 0.45, 12, 10, 0.25, 0.5
    v1, v2 = p1 * (1 - p1), p2 * (1 - p2)
    sd = math.sqrt((1 - rho) * (v1 + v2) / m + rho * (v1 + v2 - 2 * shared * math.sqrt(v1 * v2)))
    expected = TTestPower().power((p2 - p1) / sd, k, 0.05)
    assert power(p1, p2, k, m, rho, shared) == pytest.approx(expected)


def test_on_these_questions_power_is_the_normal_one() -> None:
    se = math.sqrt((0.21 + 0.24) / 80)
    expected = scipy_stats.norm.sf(1.959964 - 0.3 / se)
    assert power(0.3, 0.6, 8, 10, kind="questions") == pytest.approx(expected, abs=1e-6)


def test_more_of_anything_helps_and_correlation_hurts() -> None:
    base = power(0.3, 0.5, 10, 10, 0.2)
    assert power(0.3, 0.5, 20, 10, 0.2) > base
    assert power(0.3, 0.5, 10, 40, 0.2) > base
    assert power(0.3, 0.6, 10, 10, 0.2) > base
    assert power(0.3, 0.5, 10, 10, 0.2, shared=0.8) > base
    assert power(0.3, 0.5, 10, 10, 0.4) < base
    assert power(0.3, 0.3, 10, 10, 0.2) == pytest.approx(0.05, abs=0.001)
    assert power(0.0, 1.0, 10, 10) == 1.0
    assert power(0.3, 0.5, 1, 10) == 0.0


def test_samples_needed_are_the_fewest_that_are_enough() -> None:
    found = samples_needed(0.3, 0.6, n_questions=8, correlation=0.2, shared=0.5)
    assert found.samples is not None
    assert power(0.3, 0.6, 8, found.samples, 0.2, 0.5) >= 0.8 > power(0.3, 0.6, 8, found.samples - 1, 0.2, 0.5)
    assert found.answers == 8 * found.samples
    assert f"{found.samples} answers to each of 8 questions" in found.words
    assert "30 % from 60 %" in found.words


def test_where_no_number_of_answers_is_enough_it_says_how_many_questions_are() -> None:
    found = samples_needed(0.3, 0.45, n_questions=8, correlation=0.3)
    assert (found.samples, found.answers) == (None, None)
    assert found.questions_needed is not None
    assert (
        power(0.3, 0.45, found.questions_needed, math.inf, 0.3)
        >= 0.8
        > power(0.3, 0.45, found.questions_needed - 1, math.inf, 0.3)
    )
    assert f"takes {found.questions_needed} questions" in found.words


def test_the_promised_power_is_reached_in_simulation() -> None:
    rng = np.random.default_rng(4)
    p1, p2, k, rho = 0.3, 0.5, 20, 0.15
    found = samples_needed(p1, p2, k, rho)
    assert found.samples is not None
    total, d = 1 / rho - 1, np.full(k, found.samples)
    hits = 0
    for _ in range(300):
        a, b = (rng.binomial(found.samples, rng.beta(p * total, (1 - p) * total, k)) for p in (p1, p2))
        hits += paired_difference(a, d, b, d).p < 0.05  # type: ignore[operator]
    assert hits / 300 == pytest.approx(found.power, abs=0.07)


def test_what_could_be_seen_shrinks_with_more_answers() -> None:
    few, many = (detectable_difference(0.1, 8, n, kind="questions") for n in (5, 500))
    assert few is not None
    assert many is not None
    assert few > 0.2 > 0.03 > many
    assert power(0.1, 0.1 + many, 8, 500, kind="questions") == pytest.approx(0.8, abs=0.001)
    assert detectable_difference(0.9, 2, 1) is None
