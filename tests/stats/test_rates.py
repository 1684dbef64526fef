"""One rate and its interval: the formulas against independent implementations, and the edges."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.proportion import proportion_confint

from em_core.stats import bootstrap_interval, estimate, interval_note, rate_interval, rate_intervals, wilson
from em_core.stats.bootstrap import bootstrap_rates
from em_core.stats.wilson import score_bounds

DIFFERENT = np.array([0, 29, 1, 28, 0, 30, 2, 27]), np.full(8, 30)


@pytest.mark.parametrize(("k", "n"), [(0, 20), (1, 20), (10, 20), (20, 20), (39, 240), (1, 1), (0, 1)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_equals_statsmodels_and_scipy(k: int, n: int, level: float) -> None:
    assert wilson(k, n, level) == pytest.approx(proportion_confint(k, n, 1 - level, method="wilson"), abs=1e-12)
    ours = scipy_stats.binomtest(k, n).proportion_ci(level, method="wilson")
    assert wilson(k, n, level) == pytest.approx((ours.low, ours.high), abs=1e-9)


def test_wilson_of_nothing_is_not_a_number() -> None:
    assert np.isnan(wilson(0, 0)).all()
    assert np.isnan(score_bounds(np.array([np.nan]), np.array([np.inf]))).all()


def test_ten_of_twenty_is_thirty_to_seventy_percent() -> None:
    assert wilson(10, 20) == pytest.approx((0.30, 0.70), abs=0.005)


@pytest.mark.parametrize("kind", ["questions", "population"])
@pytest.mark.parametrize("method", ["wilson", "t", "bootstrap"])
def test_nothing_scored_is_no_estimate_not_zero(kind: str, method: str) -> None:
    for empty in (np.array([0, 0]), np.array([])):
        assert rate_interval(empty, empty, kind, method=method) == (None, None, None)  # type: ignore[arg-type]
        found = estimate(empty, empty, kind, method=method)  # type: ignore[arg-type]
        assert (found.rate, found.low, found.high, found.n) == (None, None, None, 0)
        assert "no estimate" in found.note


def test_one_question_says_nothing_about_questions_like_it() -> None:
    assert rate_interval(np.array([3]), np.array([10]), "population")[1:] == (None, None)


@pytest.mark.parametrize("kind", ["questions", "population"])
@pytest.mark.parametrize("method", ["wilson", "t", "bootstrap"])
def test_one_question_gets_wilsons_interval_and_a_note(kind: str, method: str) -> None:
    found = estimate(np.array([3, 0]), np.array([10, 0]), kind, method=method)  # type: ignore[arg-type]
    assert (found.low, found.high) == pytest.approx(wilson(3, 10))
    assert (found.kind, found.method, found.n_questions) == ("questions", "wilson", 1)
    assert "1 question" in found.note
    assert ("nothing about other questions" in found.note) == (kind == "population")


@pytest.mark.parametrize("kind", ["questions", "population"])
@pytest.mark.parametrize("samples", [1, 5, 40])
def test_none_and_all_have_an_exact_end_and_an_honest_width(kind: str, samples: int) -> None:
    d = np.full(8, samples)
    rate, low, high = rate_interval(np.zeros(8), d, kind)  # type: ignore[arg-type]
    assert (rate, low) == (0.0, 0.0)
    assert high is not None
    # these questions: as many answers as there are; questions like these: as if a question were one answer
    assert high == pytest.approx(wilson(0, 8 * samples)[1] if kind == "questions" else wilson(0, 8, dof=7)[1])
    assert rate_interval(d, d, kind) == (1.0, pytest.approx(1 - high), 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["questions", "population"])
@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_methods_without_a_width_at_the_ends_say_so_instead_of_claiming_certainty(kind: str, method: str) -> None:
    found = estimate(np.zeros(8), np.full(8, 30), kind, method=method)  # type: ignore[arg-type]
    assert (found.rate, found.low, found.high) == (0.0, None, None)
    assert "gives no width" in found.note


def test_one_answer_a_question_is_as_good_as_independent_answers() -> None:
    m, d = np.array([1, 0, 0, 1, 0, 0, 0, 0, 1, 0]), np.ones(10)
    assert rate_interval(m, d, "questions")[1:] == pytest.approx(wilson(3, 10))


def test_differing_questions_widen_the_population_interval() -> None:
    _, low_q, high_q = rate_interval(*DIFFERENT, "questions")
    _, low_p, high_p = rate_interval(*DIFFERENT, "population")
    assert low_q
    assert high_q
    assert low_p
    assert high_p
    assert (high_p - low_p) > 4 * (high_q - low_q)
    assert wilson(117, 240)[1] - wilson(117, 240)[0] > high_q - low_q  # fixed questions: less than independent answers


def test_mirrored_counts_have_the_mirrored_interval() -> None:
    m, d = np.array([0, 1, 7, 0, 3]), np.array([10, 12, 9, 30, 4])
    for kind in ("questions", "population"):
        rate, low, high = rate_interval(m, d, kind)  # type: ignore[arg-type]
        other = rate_interval(d - m, d, kind)  # type: ignore[arg-type]
        assert other == pytest.approx((1 - rate, 1 - high, 1 - low))  # type: ignore[operator]


def test_questions_without_scored_answers_change_nothing() -> None:
    m, d = DIFFERENT
    for kind in ("questions", "population"):
        assert rate_interval(np.append(m, 0), np.append(d, 0), kind) == rate_interval(m, d, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["questions", "population"])
def test_many_cells_at_once_equal_one_by_one(kind: str) -> None:
    rng = np.random.default_rng(3)
    cell = np.repeat(np.arange(60), rng.integers(1, 12, 60))
    d = rng.integers(0, 9, len(cell))
    m = rng.binomial(d, rng.beta(0.3, 1, len(cell)))
    rate, low, high = rate_intervals(m, d, cell, 61, kind)  # type: ignore[arg-type]
    assert np.isnan([rate[60], low[60], high[60]]).all()
    for i in range(60):
        one = rate_interval(m[cell == i], d[cell == i], kind)  # type: ignore[arg-type]
        many = [None if np.isnan(v[i]) else v[i] for v in (rate, low, high)]
        assert many == pytest.approx(one)
        if one[1] is not None:
            assert 0 <= one[1] <= one[0] <= one[2] <= 1  # type: ignore[operator]


def test_thousands_of_cells_take_milliseconds() -> None:
    cells, k = 5000, 8
    rng = np.random.default_rng(0)
    m, cell = rng.binomial(20, 0.2, cells * k), np.repeat(np.arange(cells), k)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        rate_intervals(m, np.full(cells * k, 20), cell, cells, "population")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.2


def test_t_over_questions_of_equal_size_is_the_t_interval_of_their_rates() -> None:
    m, d = np.array([3, 9, 0, 14, 7, 11]), np.full(6, 20)
    expected = scipy_stats.ttest_1samp(m / d, 0).confidence_interval()
    assert rate_interval(m, d, "population", method="t")[1:] == pytest.approx((expected.low, expected.high))


def test_t_on_these_questions_uses_the_variance_within_them() -> None:
    m, d = np.array([3, 9]), np.array([10, 20])
    parts = (d / 30) ** 2 * (m / d) * (1 - m / d) / (d - 1)
    dof = parts.sum() ** 2 / (parts**2 / (d - 1)).sum()
    half = scipy_stats.t.ppf(0.975, dof) * parts.sum() ** 0.5
    assert rate_interval(m, d, "questions", method="t")[1:] == pytest.approx((0.4 - half, 0.4 + half))


def test_the_cluster_bootstrap_is_scipys() -> None:
    m, d = np.array([0, 2, 33, 3, 24, 18, 2, 2]), np.full(8, 50)
    ours = bootstrap_interval(m, d, "population", resamples=100_000)
    theirs = scipy_stats.bootstrap(
        (m, d),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        axis=-1,
        method="percentile",
        n_resamples=20_000,
        rng=1,
    )
    # rates of 400 answers come in steps of a quarter of a point; resampling error is another half
    assert ours == pytest.approx((theirs.confidence_interval.low, theirs.confidence_interval.high), abs=0.011)
    assert bootstrap_rates(m, d, "population", resamples=100_000).std() == pytest.approx(theirs.standard_error, rel=0.02)


def test_the_bootstrap_within_questions_keeps_each_questions_rate() -> None:
    m, d = np.array([5, 10, 0]), np.array([10, 10, 10])
    rates = bootstrap_rates(m, d, "questions", resamples=50_000)
    assert rates.mean() == pytest.approx(0.5, abs=0.002)
    assert rates.var() == pytest.approx(10 * 0.25 / 900, rel=0.03)  # only the first question varies


def test_the_bootstrap_is_the_same_every_time() -> None:
    assert bootstrap_interval(*DIFFERENT) == bootstrap_interval(*DIFFERENT)
    assert bootstrap_interval(*DIFFERENT) != bootstrap_interval(*DIFFERENT, seed=1)


def test_few_questions_are_said_in_words() -> None:
    assert interval_note(8, "population") == "8 questions: wide, t with 7 degrees of freedom"
    assert interval_note(2, "population").endswith("1 degree of freedom")
    assert interval_note(9, "population") == ""
    assert interval_note(8, "questions") == ""
    assert "bootstrap" in interval_note(5, "population", "bootstrap")
    assert "no estimate" in interval_note(0, "population")


def test_a_few_misaligned_answers_are_not_surer_than_none() -> None:
    d = np.full(8, 100)
    none, one = (rate_interval(np.array([n, *[0] * 7]), d, "population")[2] for n in (0, 1))
    assert none is not None
    assert one is not None
    assert none > one > 0.1  # one answer of 800 does not show that questions are alike
