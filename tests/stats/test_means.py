"""Intervals of mean scores, against general implementations, by hand, and by how often they are right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.regression.linear_model import OLS

from em_core.stats.association import pearson, spearman, within
from em_core.stats.kinds import IntervalKind
from em_core.stats.means import mean_intervals, mean_note


def sums(values: np.ndarray, question: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = np.bincount(question)
    return n, np.bincount(question, weights=values), np.bincount(question, weights=values**2)


def interval(values: np.ndarray, question: np.ndarray, kind: IntervalKind) -> tuple[float, float, float]:
    n, total, squares = sums(values, question)
    mean, low, high = mean_intervals(n, total, squares, np.zeros(len(n), dtype=int), 1, kind)
    return float(mean[0]), float(low[0]), float(high[0])


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    question = np.repeat(np.arange(9), rng.integers(3, 30, 9))
    level = rng.uniform(30, 90, 9)
    return np.clip(np.round(level[question] + rng.normal(0, 12, len(question))), 0, 100), question


def test_population_is_a_cluster_robust_t_interval(scores: tuple[np.ndarray, np.ndarray]) -> None:
    values, question = scores
    fit = OLS(values, np.ones((len(values), 1))).fit(cov_type="cluster", cov_kwds={"groups": question}, use_t=True)
    low, high = fit.conf_int()[0]
    assert interval(values, question, "population") == pytest.approx((values.mean(), low, high))


def test_questions_is_the_stratified_t_interval(scores: tuple[np.ndarray, np.ndarray]) -> None:
    values, question = scores
    size = len(values)
    parts = [np.bincount(question)[q] * values[question == q].var(ddof=1) / size**2 for q in range(9)]
    dof = sum(parts) ** 2 / sum(part**2 / (np.bincount(question)[q] - 1) for q, part in enumerate(parts))
    half = scipy_stats.t.ppf(0.975, dof) * sum(parts) ** 0.5
    assert interval(values, question, "questions") == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))


def test_one_question_is_the_usual_t_interval() -> None:
    values = np.array([10.0, 20.0, 80.0, 95.0])
    low, high = scipy_stats.t.interval(0.95, 3, values.mean(), scipy_stats.sem(values))
    found = interval(values, np.zeros(4, dtype=int), "questions")
    assert found == pytest.approx((values.mean(), max(0, low), min(100, high)))
    assert np.isnan(interval(values, np.zeros(4, dtype=int), "population")[1:]).all()


@pytest.mark.parametrize("kind", ["questions", "population"])
def test_one_score_throughout_has_no_width(kind: IntervalKind) -> None:
    mean, low, high = interval(np.full(30, 97.3), np.repeat(np.arange(3), 10), kind)
    assert mean == pytest.approx(97.3)
    assert np.isnan([low, high]).all()
    assert "no width" in mean_note(30, 3, kind, False)


def test_nothing_scored_is_no_estimate_and_one_answer_no_interval() -> None:
    mean, low, _ = mean_intervals(np.array([0, 1]), np.array([0, 55.0]), np.array([0, 55.0**2]), np.array([0, 1]), 3)
    assert np.isnan(mean).tolist() == [True, False, True]
    assert mean[1] == 55
    assert np.isnan(low).all()
    assert mean_note(0, 0, "questions", False) == "nothing scored: no estimate"
    assert mean_note(1, 1, "questions", False) == "1 answer: no interval"


def test_population_is_never_narrower_than_independent_answers() -> None:
    values = np.tile([0.0, 100.0], 20)  # two questions with exactly the same mean
    mean, low, high = interval(values, np.repeat([0, 1], 20), "population")
    half = scipy_stats.norm.ppf(0.975) * values.std(ddof=1) / 40**0.5
    assert (low, high) == pytest.approx((mean - half, mean + half))


def test_intervals_stay_within_the_scores() -> None:
    _, low, high = interval(np.array([100.0, 100.0, 99.0, 1.0]), np.array([0, 0, 1, 1]), "questions")
    assert low >= 0
    assert high == 100


@pytest.mark.parametrize("kind", ["questions", "population"])
def test_many_cells_at_once_are_each_alone(kind: IntervalKind) -> None:
    rng = np.random.default_rng(1)
    cell = np.sort(rng.integers(0, 40, 300))
    n = rng.integers(0, 9, 300)
    answers = [rng.uniform(0, 100, k) for k in n]
    total, squares = np.array([a.sum() for a in answers]), np.array([(a**2).sum() for a in answers])
    together = mean_intervals(n, total, squares, cell, 41, kind)
    for k in range(41):
        mine = cell == k
        alone = mean_intervals(n[mine], total[mine], squares[mine], np.zeros(mine.sum(), dtype=int), 1, kind)
        assert [v[k] for v in together] == pytest.approx([v[0] for v in alone], nan_ok=True)


@pytest.mark.parametrize(("kind", "n_questions"), [("questions", 8), ("population", 8), ("population", 24)])
def test_intervals_hold_the_truth_as_often_as_they_say(kind: IntervalKind, n_questions: int) -> None:
    rng, trials, each = np.random.default_rng(2), 1500, 10
    truth = np.full((trials, n_questions), 60.0)
    levels = rng.normal(60, 12, (trials, n_questions) if kind == "population" else (1, n_questions)) + 0 * truth
    answers = levels[:, :, None] + rng.normal(0, 15, (trials, n_questions, each))
    n = np.full(trials * n_questions, each)
    cell = np.repeat(np.arange(trials), n_questions)
    _, low, high = mean_intervals(n, answers.sum(2).ravel(), (answers**2).sum(2).ravel(), cell, trials, kind, bounds=(-999, 999))
    wanted = 60.0 if kind == "population" else levels.mean(axis=1)
    assert 0.93 < np.mean((low <= wanted) & (wanted <= high)) < 0.97


def made(n_questions: int = 30, each: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    question = np.repeat(np.arange(n_questions), each)
    both = rng.normal(size=(n_questions, 2)) @ np.array([[1, 0.6], [0, 0.8]])
    values = both[question] + rng.normal(size=(len(question), 2)) @ np.array([[1, 0.5], [0, 0.9]])
    x, y = np.clip(np.round(np.array([60, 75])[:, None] + 20 * values.T), 0, 100)
    return x, y, question


def test_correlations_are_scipys_ties_and_all() -> None:
    x, y, question = made()
    assert (x == 100).sum() > 5  # ties
    n = np.ones(len(x))
    assert pearson(x, y, n, question).r == pytest.approx(scipy_stats.pearsonr(x, y)[0])
    assert spearman(x, y, n, question).r == pytest.approx(scipy_stats.spearmanr(x, y)[0])


def test_equal_pairs_can_be_counted() -> None:
    x, y, question = made()
    rows, counts = np.unique(np.column_stack([x, y, question]), axis=0, return_counts=True)
    for correlate in (pearson, spearman):
        single, counted = correlate(x, y, np.ones(len(x)), question), correlate(*rows.T[:2], counts, rows.T[2])
        assert (counted.r, counted.low, counted.high) == pytest.approx((single.r, single.low, single.high))
        assert (counted.n, counted.n_questions) == (len(x), 30)


@pytest.mark.parametrize("kind", ["questions", "population"])
def test_intervals_of_correlations_are_about_those_of_a_bootstrap(kind: IntervalKind) -> None:
    x, y, question = made()
    rng = np.random.default_rng(4)
    groups = [np.flatnonzero(question == q) for q in range(30)]
    found: dict[str, list[float]] = {"pearson": [], "spearman": []}
    for _ in range(400):
        if kind == "population":
            chosen = np.concatenate([groups[q] for q in rng.integers(0, 30, 30)])
        else:
            chosen = np.concatenate([rng.choice(group, len(group)) for group in groups])
        found["pearson"].append(np.corrcoef(x[chosen], y[chosen])[0, 1])
        found["spearman"].append(scipy_stats.spearmanr(x[chosen], y[chosen])[0])
    for name, correlate in (("pearson", pearson), ("spearman", spearman)):
        mine = correlate(x, y, np.ones(len(x)), question, kind)
        assert mine.low is not None
        assert mine.high is not None
        low, high = np.quantile(found[name], [0.025, 0.975])
        assert (mine.low, mine.high) == pytest.approx((low, high), abs=0.25 * (high - low))


def test_within_is_the_correlation_of_deviations() -> None:
    x, y, question = made()
    means = [np.bincount(question, weights=v) / np.bincount(question) for v in (x, y)]
    dx, dy = x - means[0][question], y - means[1][question]
    moments = {
        "xx": (2, 0),
        "yy": (0, 2),
        "xy": (1, 1),
        "xxxx": (4, 0),
        "yyyy": (0, 4),
        "xxxy": (3, 1),
        "xyyy": (1, 3),
        "xxyy": (2, 2),
    }
    by_question = {name: np.bincount(question, weights=dx**a * dy**b) for name, (a, b) in moments.items()}
    found = within({"n": np.bincount(question), **by_question})
    assert found.r == pytest.approx(np.corrcoef(dx, dy)[0, 1])
    again = pearson(dx, dy, np.ones(len(dx)), question)  # the same influence, answer by answer
    assert (found.low, found.high) == pytest.approx((again.low, again.high))


def test_what_cannot_be_correlated_says_why() -> None:
    two = pearson(np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.ones(2), np.zeros(2))
    flat = spearman(np.full(9, 97.0), np.arange(9.0), np.ones(9), np.arange(9) % 3)
    assert (two.r, two.note) == (None, "fewer than 3 answers with both scores")
    assert (flat.r, flat.note) == (None, "one of the two scores never differs")
    assert pearson(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0)).r is None
    assert within({name: np.zeros(0) for name in ("n", "xx", "yy", "xy", "xxxx", "yyyy", "xxxy", "xyyy", "xxyy")}).n == 0
    one = pearson(np.arange(9.0), np.arange(9.0) ** 2, np.ones(9), np.zeros(9), "population")
    assert one.r is not None
    assert (one.low, one.note) == (None, "1 question: says nothing about other questions")
