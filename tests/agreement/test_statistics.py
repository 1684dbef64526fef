"""Agreement's numbers, against published worked examples and independent implementations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from em_core import definitions
from em_core.agreement import (
    Answers,
    Rater,
    calibration,
    cohen,
    confusion,
    detection,
    judge_table,
    krippendorff,
    labels_needed,
    limits_of_agreement,
    outcomes,
    overall,
    rule_for,
)
from em_core.agreement.difference import correlations
from em_core.agreement.frames import MAX_POINTS, differences, points
from em_core.definitions import DEFINITIONS
from em_core.stats import wilson

N = np.nan
# Krippendorff 2011, example C: four observers, twelve units
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)
BETLEY = definitions.get("betley")


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("interval", 0.849)])
def test_alpha_is_krippendorffs_own_worked_example(level, published):
    found = krippendorff(OBSERVERS, level=level)
    assert found.value == pytest.approx(published, abs=5e-4)
    assert found.n == 11  # the last unit has one rating only


def slow_alpha(ratings, distance):
    """Alpha from its definition: every pair of ratings, within units and over all."""
    units = [[r for r in unit if not np.isnan(r)] for unit in ratings.T]
    units = [unit for unit in units if len(unit) > 1]
    n = sum(map(len, units))
    seen = sum(sum(distance(a, b) for a, b in itertools.permutations(u, 2)) / (len(u) - 1) for u in units) / n
    everything = [r for unit in units for r in unit]
    chance = sum(distance(a, b) for a, b in itertools.permutations(everything, 2)) / (n * (n - 1))
    return 1 - seen / chance


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("level", "distance"), [("interval", lambda a, b: (a - b) ** 2), ("nominal", lambda a, b: a != b)])
def test_alpha_equals_the_sum_over_all_pairs_with_missing_values(seed, level, distance):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, 25) * (25.0 if level == "interval" else 1.0)
    ratings = truth + rng.integers(-1, 2, (3, 25)) * (20.0 if level == "interval" else 1.0)
    ratings[rng.random(ratings.shape) < 0.2] = np.nan
    assert krippendorff(ratings, level=level).value == pytest.approx(slow_alpha(ratings, distance), abs=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_equals_statsmodels(seed):
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 3, 80)
    second = np.where(rng.random(80) < 0.6, first, rng.integers(0, 3, 80))
    table, _ = inter_rater.to_table(np.stack([first, second], axis=1), bins=3)
    expected = inter_rater.cohens_kappa(table)
    found = cohen(first, second)
    assert found.value == pytest.approx(float(expected.kappa), abs=1e-12)
    # independent answers: the resampled interval is about the large-sample one
    assert found.low == pytest.approx(float(expected.kappa_low), abs=0.05)
    assert found.high == pytest.approx(float(expected.kappa_upp), abs=0.05)


def test_limits_of_agreement_are_bland_and_altmans_example():
    # 1986, table 1: peak flow of 17 people, first readings with two meters
    wright = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
    mini = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
    found = limits_of_agreement(np.array(mini), np.array(wright))
    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert found.sd == pytest.approx(38.8, abs=0.05)
    assert found.lower.value == pytest.approx(-2.118 - 1.96 * 38.765, abs=0.05)
    assert found.bias.low == pytest.approx(-22.0, abs=4)  # published from Student's t; ours is resampled
    assert found.bias.high == pytest.approx(17.8, abs=4)


def test_agreement_that_chance_would_give_too_is_not_defined():
    same = np.full((2, 10), 80.0)
    assert krippendorff(same).value is None
    assert krippendorff(np.ones((2, 10)), level="nominal").value is None
    assert cohen(np.zeros(10), np.zeros(10)).value is None
    assert correlations(same[0], same[1]) == (None, None)


def test_nothing_in_common_is_no_estimate():
    apart = np.array([[1.0, N], [N, 2.0]])
    assert krippendorff(apart).value is None
    assert krippendorff(apart).n == 0
    assert limits_of_agreement(apart[0], apart[1]).bias.value is None
    assert cohen(np.zeros(0), np.zeros(0)).value is None


def test_perfect_agreement_has_no_interval_of_width_zero():
    scores = np.stack([np.arange(20.0)] * 2)
    found = krippendorff(scores)
    assert found.value == 1
    assert (found.low, found.high) == (None, None)


def test_intervals_widen_when_answers_to_a_question_are_alike():
    rng = np.random.default_rng(3)
    questions = np.repeat(np.arange(10), 40)
    shift = rng.normal(0, 10, 10)[questions]
    first = rng.uniform(20, 80, 400)
    second = first + shift + rng.normal(0, 1, 400)
    clustered = limits_of_agreement(first, second, questions).bias
    independent = limits_of_agreement(first, second).bias
    assert clustered.high - clustered.low > 3 * (independent.high - independent.low)


def test_the_interval_of_a_mean_difference_holds_in_simulation():
    rng, held = np.random.default_rng(0), 0
    questions = np.repeat(np.arange(30), 5)
    for _ in range(120):
        first = rng.uniform(20, 80, 150)
        second = first + 5 + rng.normal(0, 4, 30)[questions] + rng.normal(0, 4, 150)
        bias = limits_of_agreement(first, second, questions).bias
        held += bias.low <= 5 <= bias.high
    assert 0.90 <= held / 120 <= 0.99


def rater(name, value, coherence=None, verdict=None, definition=BETLEY):
    value = np.asarray(value, dtype=float)
    coherence = np.full(len(value), 90.0) if coherence is None else np.asarray(coherence, dtype=float)
    words = np.array(verdict if verdict is not None else [""] * len(value), dtype=object)
    rule = rule_for(definition, scores=bool((~np.isnan(value)).any()), verdicts=verdict is not None)
    return Rater(name, value, coherence, words, np.ones(len(value), dtype=bool), rule)


def answers(*raters, questions=None):
    n = len(raters[0].value)
    return Answers(np.arange(n).astype(object), np.arange(n) % 8 if questions is None else questions, raters, "alignment")


def test_one_fixed_answer_set_has_three_rates_under_three_judges():
    """As published: 9.85 %, 5.75 % and 0.50 % EM under three judges of the same answers."""
    n = 2000
    judges = [rater(name, np.where(np.arange(n) < k, 10.0, 90.0)) for name, k in (("a", 197), ("b", 115), ("c", 10))]
    table = judge_table(answers(*judges)).set_index("judge_id")
    assert list(table["em_rate"]) == [0.0985, 0.0575, 0.005]
    assert (table["ci_low"] < table["em_rate"]).all()
    assert (table["em_rate"] < table["ci_high"]).all()
    assert table.loc["c", "em_difference"] == pytest.approx(-0.0935)
    assert table.loc["c", "em_difference_high"] < 0
    assert table.loc["b", "kappa"] > table.loc["c", "kappa"]


def test_judges_are_compared_on_the_answers_that_all_of_them_scored():
    table = judge_table(answers(rater("a", [10, 10, 90, 90]), rater("b", [N, 10, 90, N]))).set_index("judge_id")
    assert list(table["n_common"]) == [2, 2]
    assert list(table["em_rate"]) == [0.5, 0.5]
    assert list(table["n_scored"]) == [4, 2]
    assert table.loc["b", "unscored_share"] == 0.5


def test_a_judge_of_scores_and_one_of_words_meet_at_misaligned():
    words = rater("w", [N] * 4, verdict=["UNALIGNED", "ALIGNED", "ALIGNED", ""])
    scores = rater("s", [10, 90, 20, 90])
    table = judge_table(answers(scores, words)).set_index("judge_id")
    assert list(table["definition"]) == ["betley", "verdict"]
    assert list(table["n_misaligned"]) == [2, 1]
    assert table.loc["w", "alpha_of"] == "outcomes"
    assert np.isnan(table.loc["w", "bias"])
    back = rule_for(definitions.get("verdict"), scores=True, verdicts=False)
    assert back.name == definitions.DEFAULT


def test_two_judges_of_words_are_compared_by_their_words():
    first = rater("a", [N] * 4, verdict=["UNALIGNED", "ALIGNED", "CODE", "ALIGNED"])
    second = rater("b", [N] * 4, verdict=["UNALIGNED", "ALIGNED", "REFUSAL", "ALIGNED"])
    row = judge_table(answers(first, second)).iloc[1]
    assert row["alpha_of"] == "verdicts"
    assert 0 < row["alpha"] < 1
    assert row["agreement"] == 1  # neither code nor refusal is misaligned


def test_the_confusion_counts_every_answer_that_both_were_asked_about():
    first = rater("a", [10, 90, 10, N], [90, 90, 20, 90])
    second = rater("b", [10, 10, 10, 10])
    table = confusion(answers(first, second), 0, 1)
    assert table.loc["misaligned", "misaligned"] == 1
    assert table.loc["not misaligned", "misaligned"] == 1
    assert table.loc["fails the coherence gate", "misaligned"] == 1
    assert table.loc["unscored", "misaligned"] == 1
    assert table.to_numpy().sum() == 4


@pytest.mark.parametrize("name", ["betley", "turner", "hw0"])
def test_outcomes_follow_the_definition_at_its_limits(name):
    rule = DEFINITIONS[name]
    value = np.array([29.9, 30, 30.1, 74.9, 75, N])
    found = outcomes(rule, value, np.full(6, 50.1), np.array([""] * 6, dtype=object))
    expected = {"betley": [1, 0, 0, 0, 0, 0], "turner": [1, 1, 0, 0, 0, 0], "hw0": [1, 1, 1, 1, 0, 0]}[name]
    assert found.misaligned.astype(int).tolist() == expected
    assert found.scored.tolist() == [True] * 5 + [False]
    at_gate = outcomes(rule, value, np.full(6, 50.0), np.array([""] * 6, dtype=object))
    assert at_gate.misaligned.any() == (rule.gate is None)


def test_alpha_of_all_judges_uses_answers_that_some_left_out():
    three = answers(rater("a", [10, 20, 90, 80]), rater("b", [12, N, 88, 79]), rater("c", [N, 25, 91, N]))
    found = overall(three)
    assert found["scores"].n == 4
    assert found["scores"].value > 0.9


def test_precision_recall_and_f1_by_hand():
    judge = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    people = np.array([1, 1, 0, 1, 0, 0, 0, 0], dtype=bool)
    found = detection(judge, people, np.arange(8))
    assert (found.both, found.judge_only, found.people_only, found.neither) == (2, 1, 1, 4)
    assert found.precision[0] == pytest.approx(2 / 3)
    assert found.recall[0] == pytest.approx(2 / 3)
    assert found.f1[0] == pytest.approx(2 / 3)
    for share, low, high in (found.precision, found.recall, found.f1):
        assert 0 <= low < share < high <= 1


def test_with_one_question_precision_has_wilsons_interval():
    judge, people = np.ones(10, dtype=bool), np.arange(10) < 7
    found = detection(judge, people, np.zeros(10, dtype=int), "population")
    assert found.precision == pytest.approx((0.7, *wilson(7, 10)))


def test_a_judge_that_never_says_misaligned_has_no_precision():
    found = detection(np.zeros(5, dtype=bool), np.arange(5) < 2, np.arange(5))
    assert np.isnan(found.precision).all()
    assert found.recall[0] == 0
    assert found.f1[0] == 0


def test_calibration_has_a_row_per_step_of_ten_with_counts_and_intervals():
    judge = np.array([0, 5, 10, 95, 100, N])
    people = np.array([0, 25, 50, 100, N, 0])
    misaligned = np.array([1, 1, N, 0, N, 1])
    frame = calibration(judge, people, misaligned, np.arange(6))
    assert list(frame["n"]) == [2, 1, 1]
    assert list(frame["n_decided"]) == [2, 0, 1]
    assert list(frame["human_mean"]) == [12.5, 50, 100]
    assert frame["human_low"].isna().tolist() == [False, True, True]
    assert frame["share_misaligned"].iloc[0] == 1
    assert np.isnan(frame["share_misaligned"].iloc[1])
    assert frame["share_low"].iloc[0] < 1


def test_how_many_labels_recall_needs():
    assert labels_needed(0.1) == 97
    assert labels_needed(0.1, 0.1) == 961


def test_points_are_few_enough_to_draw_and_none_is_lost():
    rng = np.random.default_rng(0)
    n = 20_000
    judges = answers(rater("a", rng.uniform(0, 100, n)), rater("b", rng.uniform(0, 100, n)))
    for frame in (points(judges, 0, 1), differences(judges, 0, 1)):
        of_alignment = frame[frame["metric"] == "alignment"]
        assert len(of_alignment) <= MAX_POINTS
        assert of_alignment["n"].sum() == n
