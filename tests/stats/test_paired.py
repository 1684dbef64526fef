"""Differences by question between two checkpoints."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.proportion import confint_proportions_2indep

from em_core.stats import paired_by_name, paired_difference
from em_core.stats.paired import sign_flip_p, swap_p

A, B, D = np.array([2, 10, 20, 31, 8, 15]), np.array([9, 22, 19, 48, 20, 30]), np.full(6, 50)


def test_over_questions_it_is_the_paired_t_test() -> None:
    found = paired_difference(A, D, B, D)
    test = scipy_stats.ttest_rel(B / D, A / D)
    interval = test.confidence_interval()
    assert found.difference == pytest.approx((B - A).mean() / 50)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(test.pvalue)
    assert (found.misaligned_a, found.base_a, found.misaligned_b, found.base_b, found.n_questions) == (86, 300, 148, 300, 6)
    assert found.note == "6 questions: wide, t with 5 degrees of freedom; weak evidence: a permutation test gives p = 0.062"


def test_of_one_question_it_is_newcombes_interval() -> None:
    found = paired_difference(np.array([3]), np.array([20]), np.array([11]), np.array([25]))
    expected = confint_proportions_2indep(11, 25, 3, 20, compare="diff", method="newcomb")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-6)
    assert found.kind == "questions"
    assert "1 question" in found.note
    assert found.p_flip == pytest.approx(scipy_stats.fisher_exact([[3, 17], [11, 14]]).pvalue)


def test_the_p_value_belongs_to_the_interval() -> None:
    for kind, a in itertools.product(("questions", "population"), (A, np.full(6, 0), B - 1)):
        found = paired_difference(a, D, B, D, kind=kind)  # type: ignore[arg-type]
        assert found.p is not None
        for level, outside in ((1 - found.p * 1.01, True), (1 - found.p * 0.99, False)):
            if 0 < level < 1:
                at = paired_difference(a, D, B, D, kind=kind, level=level)  # type: ignore[arg-type]
                assert at.low is not None
                assert at.high is not None
                assert (at.low > 0 or at.high < 0) == outside


def test_turned_around_it_is_the_negative() -> None:
    for kind in ("questions", "population"):
        there, back = paired_difference(A, D, B, D, kind=kind), paired_difference(B, D, A, D, kind=kind)  # type: ignore[arg-type]
        assert there.low == pytest.approx(-back.high)  # type: ignore[operator]
        assert there.p == pytest.approx(back.p)
        assert there.p_flip == pytest.approx(back.p_flip, abs=0.005)


def test_each_question_counts_the_same_however_many_answers_it_has() -> None:
    found = paired_difference(np.array([0, 0]), np.array([10, 1000]), np.array([10, 0]), np.array([10, 1000]))
    assert found.difference == pytest.approx(0.5)


def test_questions_missing_on_a_side_are_named_and_left_out() -> None:
    a = {"q1": (1, 10), "q2": (5, 10), "only-a": (9, 10), "unscored-in-b": (3, 10)}
    b = {"q1": (2, 10), "q2": (6, 10), "only-b": (0, 10), "unscored-in-b": (0, 0)}
    found = paired_by_name(a, b)
    assert found.n_questions == 2
    assert found.difference == pytest.approx(0.1)
    assert found.only_a == ("only-a", "unscored-in-b")
    assert found.only_b == ("only-b",)


def test_nothing_in_common_is_no_estimate() -> None:
    for found in (
        paired_by_name({"x": (1, 2)}, {"y": (1, 2)}),
        paired_by_name({}, {}),
        paired_by_name({"x": (0, 0)}, {"x": (1, 1)}),
    ):
        assert (found.difference, found.low, found.high, found.p, found.p_flip) == (None,) * 5
        assert "no estimate" in found.note


def test_nothing_against_nothing_is_not_certainty() -> None:
    zeros = np.zeros(8)
    for samples, kind in itertools.product((1, 5, 50), ("questions", "population")):
        d = np.full(8, samples)
        found = paired_difference(zeros, d, zeros, d, kind=kind)  # type: ignore[arg-type]
        assert found.difference == 0
        assert found.p == 1
        assert found.low == pytest.approx(-found.high)  # type: ignore[operator]
        assert found.high > 1 / (8 * samples)  # type: ignore[operator]


def test_differences_that_look_alike_by_chance_are_not_certainty() -> None:
    found = paired_difference(np.zeros(3), np.full(3, 2), np.ones(3), np.full(3, 2))  # +50 points on each of three questions
    assert found.low < 0.25  # type: ignore[operator]
    assert found.p > 0.01  # type: ignore[operator]


def test_from_none_to_all_stays_within_its_range() -> None:
    found = paired_difference(np.zeros(4), np.full(4, 30), np.full(4, 30), np.full(4, 30))
    assert found.difference == 1
    assert found.high == 1
    assert 0 < found.p < 1e-10  # type: ignore[operator]


def test_fixed_questions_are_surer_than_questions_like_them() -> None:
    these, like = (paired_difference(A, D, B, D, kind=kind) for kind in ("questions", "population"))  # type: ignore[arg-type]
    assert these.high - these.low < like.high - like.low  # type: ignore[operator]
    assert these.p < like.p  # type: ignore[operator]


def test_sign_flips_equal_brute_force_and_scipy() -> None:
    deltas = np.array([0.1, -0.05, 0.3, 0.22, 0.0, 0.4, -0.1])
    brute = np.mean([abs(np.dot(s, deltas)) >= abs(deltas.sum()) - 1e-12 for s in itertools.product((1, -1), repeat=7)])
    assert sign_flip_p(deltas) == pytest.approx(brute)
    theirs = scipy_stats.permutation_test(
        (deltas,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=np.inf, vectorized=True, axis=-1
    )
    assert sign_flip_p(deltas) == pytest.approx(theirs.pvalue, abs=1e-9)


def test_many_questions_are_flipped_at_random_and_the_same_every_time() -> None:
    deltas = np.random.default_rng(5).normal(0.05, 0.2, 40)
    p = sign_flip_p(deltas)
    assert p == sign_flip_p(deltas)
    assert p == pytest.approx(scipy_stats.ttest_1samp(deltas, 0).pvalue, abs=0.03)
    assert sign_flip_p(np.ones(40)) == pytest.approx(1 / 20_001)


def test_swaps_within_questions_equal_enumeration() -> None:
    ma, mb, d = np.array([1, 0, 2]), np.array([3, 2, 2]), np.full(3, 4)
    weights = [scipy_stats.hypergeom(8, t, 4).pmf(np.arange(5)) for t in ma + mb]
    observed = abs((mb - ma).sum())
    exact = sum(
        float(np.prod([w[x] for w, x in zip(weights, on_b, strict=True)]))
        for on_b in itertools.product(range(5), repeat=3)
        if abs(2 * sum(on_b) - (ma + mb).sum()) >= observed
    )
    assert swap_p(ma, d, mb, d) == pytest.approx(exact, abs=0.01)


def test_a_permutation_test_that_disagrees_is_mentioned() -> None:
    found = paired_difference(np.array([4]), np.array([20]), np.array([10]), np.array([20]))
    assert found.p < 0.05 < found.p_flip  # type: ignore[operator]
    assert "weak evidence: a permutation test gives p = 0.096" in found.note


def test_the_second_opinion_can_be_left_out() -> None:
    assert paired_difference(A, D, B, D, second_opinion=False).p_flip is None
