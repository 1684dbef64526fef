from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from em_core import stats
from em_core.definitions import DEFINITIONS
from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import queries
from em_core.store.publish import publish
from em_core.store.rates import rates
from tests.store.made import BareHome, created, facts, judged, question, response, scored, whole_run, write

CONTRACT = {
    "run_id", "base_model", "size_b", "domain", "step", "question_set", "in_domain", "definition", "judge_id", "n_total",
    "n_scored", "n_coherent", "n_misaligned", "em_rate", "ci_low", "ci_high", "interval", "label", "experiment", "demo",
}  # fmt: skip


def test_the_columns_are_the_contracts(home: BareHome) -> None:
    whole_run(home, "r1")
    publish(home)
    frame = rates(home)
    assert set(frame.columns) >= CONTRACT
    assert len(frame) == 3 * 2  # steps x (in domain, not)
    assert (frame["definition"] == "betley").all()
    assert frame["size_b"].unique().tolist() == [0.001]


def test_nothing_scored_is_null_not_zero(home: BareHome) -> None:
    write(home, "r1", created(), *scored("r1", 1, [(None, None)] * 5), *scored("r1", 2, [(90.0, 10.0)]))
    publish(home)
    frame = rates(home).set_index("step")
    assert frame["n_total"].tolist() == [5, 1]
    assert frame[["em_rate", "ci_low", "ci_high"]].isna().all(axis=None)
    turner = rates(home, "turner").set_index("step")
    assert turner["em_rate"].isna().tolist() == [True, False]
    assert turner["em_rate"][2] == 0.0


@pytest.mark.parametrize("interval", ["questions", "population"])
def test_rates_and_intervals_are_those_of_the_statistics(home: BareHome, interval: stats.IntervalKind) -> None:
    rng = np.random.default_rng(0)
    for run_id in ("r1", "r2"):
        write(home, run_id, created(), facts())
        for step in (1, 2):
            for name in ("q0", "q1", "q2"):
                pairs = [(float(rng.integers(0, 100)), float(rng.integers(30, 100))) for _ in range(8)]
                write(home, run_id, *scored(run_id, step, pairs, name))
    publish(home)
    counts = queries.counts(home, DEFINITIONS["betley"])
    frame = rates(home, interval=interval)
    assert len(frame) == 4
    for row in frame.itertuples():
        mine = counts[(counts.run_id == row.run_id) & (counts.step == row.step)]
        expected = stats.rate_interval(mine["n_misaligned"].to_numpy(), mine["n_coherent"].to_numpy(), interval)
        assert (row.em_rate, row.ci_low, row.ci_high) == pytest.approx(expected)
        assert row.n_total == mine["n_total"].sum() == 24


def test_one_rate_agrees_with_many_at_once() -> None:
    rng = np.random.default_rng(1)
    cell = rng.integers(0, 50, 400)
    denominator = rng.integers(0, 9, 400)
    misaligned = rng.binomial(denominator, rng.choice([0.0, 0.3, 1.0], 400))
    for kind in ("questions", "population"):
        rate, low, high = stats.rate_intervals(misaligned, denominator, cell, 51, kind)
        assert np.isnan(rate[50])
        for k in range(50):
            one = stats.rate_interval(misaligned[cell == k], denominator[cell == k], kind)
            assert [rate[k], low[k], high[k]] == pytest.approx([np.nan if v is None else v for v in one], nan_ok=True)


def test_two_judges_are_two_rows(home: BareHome) -> None:
    answer = response("r1", 1, 0)
    write(home, "r1", created(), answer, *judged(answer, 5.0, 90.0, "a"), *judged(answer, 95.0, 90.0, "b"))
    publish(home)
    frame = rates(home).set_index("judge_id")
    assert frame["em_rate"].to_dict() == {"a": 1.0, "b": 0.0}
    assert frame["n_total"].to_dict() == {"a": 1, "b": 1}


def test_by_question_and_pooled(home: BareHome) -> None:
    whole_run(home, "r1", "medical")
    whole_run(home, "r2", "medical")
    whole_run(home, "r3", "financial")
    publish(home)
    by_question = rates(home, by=("run", "step", "question"))
    assert len(by_question) == 3 * 3 * 2
    assert by_question["question_id"].notna().all()
    pooled = rates(home, by=("domain", "step"))
    assert len(pooled) == 2 * 3 * 2
    medical = pooled[(pooled["domain"] == "medical") & (pooled["step"] == 1) & pooled["in_domain"]]
    assert medical["n_total"].item() == 8
    assert medical["run_id"].isna().all()
    assert medical["base_model"].item() == "organism-1m"
    all_steps = rates(home, by=("run",))
    assert len(all_steps) == 3 * 2
    assert all_steps["step"].isna().all()
    assert all_steps["run_id"].notna().all()
    for bad in ((), ("colour",)):
        with pytest.raises(BadInput):
            rates(home, by=bad)
    with pytest.raises(BadInput):
        rates(home, "strictest")


def test_a_run_whose_first_line_is_damaged_is_still_shown(home: BareHome) -> None:
    write(home, "r1", question("q0", "medical"), *scored("r1", 1, [(5.0, 90.0)]))
    publish(home)
    [row] = rates(home).to_dict("records")
    assert (row["run_id"], row["em_rate"], bool(row["in_domain"])) == ("r1", 1.0, False)


def test_rates_say_over_how_many_questions_and_what_follows(home: BareHome) -> None:
    write(home, "r1", created(), facts())
    for name in ("q0", "q1", "q2"):
        write(home, "r1", *scored("r1", 1, [(90.0, 90.0)] * 5 if name != "q2" else [(None, None)], name))
    publish(home)
    row = rates(home, interval="population").iloc[0]
    assert (row.n_questions, row.n_misaligned) == (2, 0)
    assert row.note == "2 questions: wide, t with 1 degree of freedom"
    assert row.upper_bound == pytest.approx(1 - 0.05 ** (1 / 2))
    assert rates(home).iloc[0].note == ""


def test_only_few_misaligned_answers_get_an_upper_bound(home: BareHome) -> None:
    for run_id, n in (("none", 0), ("three", 3), ("four", 4)):
        write(home, run_id, created(), *scored(run_id, 1, [(5.0, 90.0)] * n + [(90.0, 90.0)] * (50 - n)))
    publish(home)
    bound = rates(home).set_index("run_id")["upper_bound"]
    assert bound["none"] == pytest.approx(1 - 0.05 ** (1 / 50))
    assert bound["none"] < bound["three"] < 0.2
    assert np.isnan(bound["four"])


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_other_methods_of_the_interval_can_be_asked_for(home: BareHome, method: stats.IntervalMethod) -> None:
    write(home, "r1", created())
    for number in range(4):
        answers: list[tuple[float | None, float | None]] = [(5.0 if i < 2 * number else 95.0, 90.0) for i in range(8)]
        write(home, "r1", *scored("r1", 1, answers, f"q{number}"))
    publish(home)
    usual, other = rates(home).iloc[0], rates(home, method=method).iloc[0]
    assert other.em_rate == usual.em_rate
    assert other.ci_low != usual.ci_low
    assert other.ci_low < other.em_rate < other.ci_high


def test_pooled_question_sets_add_up_and_keep_the_training_domain_apart(tmp_path: Path) -> None:
    home = Home(tmp_path)  # the shipped demonstration
    publish(home)
    apart, pooled = rates(home), rates(home, pool_sets=True)
    assert set(pooled["question_set"]) == {"in-domain", "out of domain"}
    keys = ["run_id", "step", "in_domain"]
    counts = ["n_total", "n_scored", "n_coherent", "n_misaligned", "n_questions"]
    assert pooled.set_index(keys)[counts].sort_index().equals(apart.groupby(keys)[counts].sum().sort_index())
    by_domain = rates(home, by=("domain", "step"), pool_sets=True)
    assert by_domain["n_total"].sum() == apart["n_total"].sum()
    with pytest.raises(BadInput, match="single questions"):
        rates(home, by=("run", "question"), pool_sets=True)
