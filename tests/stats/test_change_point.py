"""When a trajectory changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate
from scipy import stats as scipy_stats

from em_core.stats import change_point, design_effect_of

STEPS, M, N = np.array([0, 110, 220, 330, 440]), np.array([0, 1, 2, 9, 11]), np.full(5, 20)


def test_the_posterior_equals_numerical_integration() -> None:
    def evidence(m: np.ndarray, n: np.ndarray) -> float:
        return float(integrate.quad(lambda p: float(np.prod(scipy_stats.binom.pmf(m, n, p))), 0, 1, epsabs=1e-15)[0])

    found = change_point(STEPS, M, N)
    places = np.array([evidence(M[:i], N[:i]) * evidence(M[i:], N[i:]) for i in range(1, 5)])
    assert found.posterior == pytest.approx(tuple(places / places.sum()), rel=1e-5)
    assert found.bayes_factor == pytest.approx(places.mean() / evidence(M, N), rel=1e-5)
    assert found.p_change == pytest.approx(found.bayes_factor / (1 + found.bayes_factor))


def test_a_clear_jump_is_found_with_its_place_and_levels() -> None:
    found = change_point(STEPS, M, N)
    assert (found.previous, found.step) == (220, 330)
    assert found.credible == (330,)
    assert found.p_change > 0.99
    assert found.before == pytest.approx(4 / 62)
    assert found.after == pytest.approx(21 / 42)


def test_the_order_of_checkpoints_and_those_without_answers_do_not_matter() -> None:
    order = np.array([3, 0, 4, 1, 2])
    steps, m, n = np.append(STEPS[order], 500), np.append(M[order], 0), np.append(N[order], 0)
    assert change_point(steps, m, n) == change_point(STEPS, M, N)


def test_noise_is_not_called_a_change() -> None:
    found = change_point(STEPS, np.array([5, 6, 4, 5, 6]), N)
    assert found.p_change < 0.25
    assert len(found.credible) == 4  # nothing is known of the place of what is not there


def test_the_published_peak_and_recovery_is_noise() -> None:
    # per checkpoint, of 20 answers each: 70, 45, 55, 70, 55, 50 %
    found = change_point(np.array([110, 220, 330, 440, 880, 1320]), np.array([14, 9, 11, 14, 11, 10]), np.full(6, 20))
    assert found.bayes_factor < 1


def test_two_checkpoints_are_enough_and_one_is_not() -> None:
    two = change_point(np.array([0, 100]), np.array([0, 20]), np.array([20, 20]))
    assert (two.step, two.posterior) == (100, (1.0,))
    assert two.p_change > 0.99
    for m, n in (([3], [20]), ([], []), ([0, 3], [0, 20])):
        one = change_point(np.arange(len(m)), np.array(m), np.array(n))
        assert one.step is None
        assert one.credible == ()
        assert math.isnan(one.p_change)
        assert "fewer than two" in one.note


def test_unequal_questions_make_it_less_sure() -> None:
    alone = change_point(STEPS, M, N)
    doubted = change_point(STEPS, M, N, design_effect=4.0)
    assert doubted.p_change < alone.p_change
    assert len(doubted.credible) >= len(alone.credible)
    assert "independent" in alone.note
    assert doubted.note == ""


def test_the_design_effect_is_seen_in_the_questions() -> None:
    rng = np.random.default_rng(0)
    steps, n = np.arange(30), np.full((30, 20), 25)
    steady = rng.binomial(25, rng.uniform(0.05, 0.6, 20) * np.ones((30, 1)))
    jumpy = rng.binomial(25, rng.beta(0.5, 1, (30, 20)))
    assert design_effect_of(steady, n) == pytest.approx(1, abs=0.1)  # what a question keeps cancels
    assert design_effect_of(jumpy, n) == pytest.approx(1 + 24 / 2.5, rel=0.35)  # correlation 1 / (1 + 1.5)
    assert change_point(steps, jumpy, n).p_change < change_point(steps, jumpy.sum(axis=1), n.sum(axis=1)).p_change
    assert change_point(steps, jumpy, n).note == ""


def test_one_jump_hardly_counts_as_unequal_questions() -> None:
    rng = np.random.default_rng(1)
    n = np.full((12, 8), 50)
    after = np.array([0.05, 0.9, 0.1, 0.8, 0.5, 0.05, 0.6, 0.2])
    m = rng.binomial(50, np.vstack([np.full((6, 8), 0.05), np.tile(after, (6, 1))]))
    assert design_effect_of(m, n) < 2
    assert change_point(np.arange(12), m, n).credible == (6,)


def test_counts_without_variance_have_no_design_effect() -> None:
    assert design_effect_of(np.zeros((4, 3)), np.full((4, 3), 9)) == 1
    assert design_effect_of(np.zeros((4, 1)), np.full((4, 1), 9)) == 1
    flat = change_point(np.arange(4), np.zeros((4, 3)), np.full((4, 3), 9))
    assert flat.p_change < 0.5
