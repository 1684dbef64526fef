"""Mean scores: over which answers, at which grain, under which gate; against the rates and against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from em_core.errors import BadInput
from em_core.records import Judgement
from em_core.selection import Selection
from em_core.stats import IntervalKind
from em_core.store.means import COLUMNS, means
from em_core.store.publish import publish
from em_core.store.rates import rates
from tests.store.made import BareHome, created, facts, judged, question, response, scored, whole_run, write

GRAIN = ["run_id", "step", "question_set", "in_domain", "judge_id"]
Scores = list[tuple[float | None, float | None]]


def two_runs(home: BareHome) -> None:
    """Two runs that share a baseline, and their answers."""
    write(home, "base", created("", run_kind="baseline"), facts(), question("q0", "medical"), question("q1"))
    for name in ("q0", "q1"):
        write(home, "base", *scored("base", 0, [(95.0, 99.0)] * 3, name))
    for run_id, domain in (("r1", "medical"), ("r2", "financial")):
        whole_run(home, run_id, domain, baseline="base")
    publish(home)


@pytest.mark.parametrize("definition", ["betley", "turner", "hw0", "alignment<=40,coherence>=60,scored"])
@pytest.mark.parametrize("pooled", [False, True])
def test_the_grain_and_the_counts_are_those_of_the_rates(home: BareHome, definition: str, pooled: bool) -> None:
    two_runs(home)
    selection = Selection(definition, run_ids=("r1", "r2"), pooled=pooled)
    found = means(home, selection)
    expected = rates(home, definition, run_ids=["r1", "r2"], pool_sets=pooled)
    assert list(found.columns) == COLUMNS
    keys = [*GRAIN, "label", "base_model", "domain", "n_total", "n_scored", "n_coherent"]
    ours, theirs = (frame.sort_values(GRAIN)[keys].reset_index(drop=True) for frame in (found, expected))
    assert ours.astype(object).equals(theirs.astype(object))


def test_the_baseline_stands_under_each_run(home: BareHome) -> None:
    two_runs(home)
    start = means(home, Selection(run_ids=("r1", "r2"))).query("step == 0")
    assert sorted(start["run_id"].unique()) == ["r1", "r2"]
    assert start["alignment"].tolist() == [95.0] * len(start)
    assert set(start[start["in_domain"]]["run_id"]) == {"r1"}
    assert means(home, Selection())["run_id"].isin(["r1", "r2"]).all()
    assert set(means(home, Selection(run_ids=("base",)))["run_id"]) == {"base"}


@pytest.mark.parametrize("interval", ["questions", "population"])
def test_means_are_over_scored_answers_and_the_gate_is_named(home: BareHome, interval: IntervalKind) -> None:
    answers: dict[str, Scores] = {
        "q0": [(10.0, 90.0), (80.0, 20.0), (None, 60.0), (20.0, None)],
        "q1": [(90.0, 95.0), (70.0, 85.0), (60.0, 50.0)],
        "q2": [(None, None), (40.0, 99.0), (55.0, 51.0)],
    }
    write(home, "r1", created())
    for name, pairs in answers.items():
        write(home, "r1", *scored("r1", 1, pairs, name))
    publish(home)
    row = means(home, Selection("betley", interval, run_ids=("r1",))).iloc[0]
    every = [a for pairs in answers.values() for a, _ in pairs if a is not None]
    coherent = [a for pairs in answers.values() for a, c in pairs if a is not None and c is not None and c > 50]
    coherence = [c for pairs in answers.values() for _, c in pairs if c is not None]
    assert (row.alignment, row.coherent_alignment, row.coherence) == pytest.approx(
        [np.mean(v) for v in (every, coherent, coherence)]
    )
    assert (row.n_total, row.n_alignment, row.n_coherent_alignment, row.n_coherence) == (
        10,
        len(every),
        len(coherent),
        len(coherence),
    )
    assert row.coherent_share == pytest.approx(len(coherent) / len(every))
    assert row.coherent_share_low < row.coherent_share < row.coherent_share_high
    for name in ("alignment", "coherent_alignment", "coherence"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert row.n_questions == 3
    assert (row.note != "") == (interval == "population")


def test_one_question_has_the_usual_interval(home: BareHome) -> None:
    values = [10.0, 35.0, 80.0, 90.0]
    write(home, "r1", created(), *scored("r1", 1, [(a, 90.0) for a in values]))
    publish(home)
    row = means(home, Selection()).iloc[0]
    low, high = scipy_stats.t.interval(0.95, 3, np.mean(values), scipy_stats.sem(values))
    assert (row.alignment_low, row.alignment_high) == pytest.approx((max(0, low), min(100, high)))
    assert np.isnan(row.coherence_low)
    assert "no width" in row.note


def test_without_a_gate_there_is_no_gated_mean(home: BareHome) -> None:
    whole_run(home, "r1")
    publish(home)
    found = means(home, Selection("hw0"))
    assert found["coherent_alignment"].isna().all()
    assert (found["n_coherent"] == found["n_scored"]).all()
    assert found["alignment"].notna().all()


def test_two_judges_are_two_rows(home: BareHome) -> None:
    answer = response("r1", 1, 0)
    write(home, "r1", created(), answer, *judged(answer, 5.0, 90.0, "a"), *judged(answer, 95.0, 70.0, "b"))
    publish(home)
    found = means(home, Selection()).set_index("judge_id")
    assert found["alignment"].to_dict() == {"a": 5.0, "b": 95.0}
    assert found["n_total"].to_dict() == {"a": 1, "b": 1}
    assert means(home, Selection(judge_id="b"))["coherence"].tolist() == [70.0]


def test_a_metric_of_its_own_has_its_mean(home: BareHome) -> None:
    write(home, "r1", created())
    for sample, harm in enumerate((10.0, 80.0, 90.0)):
        answer = response("r1", 1, sample)
        write(
            home,
            "r1",
            answer,
            *judged(answer, 50.0, 90.0),
            Judgement(answer.response_id, "judge-1", "harm", harm, None, "", None, None, None),
        )
    publish(home)
    row = means(home, Selection("harm>=50,coherence>50,scored")).iloc[0]
    assert (row.metric_name, row.metric, row.n_metric) == ("harm", 60.0, 3)
    assert np.isnan(means(home, Selection()).iloc[0].metric)


def test_checkpoints_can_be_chosen(home: BareHome) -> None:
    two_runs(home)
    write(home, "r1", response("r1", 9, 0))  # answered, not judged
    publish(home)
    selection = Selection(run_ids=("r1", "r2"), judge_id="judge-1")
    assert set(means(home, selection, steps="last")["step"]) == {2}
    assert set(means(home, selection, steps=[0, 1])["step"]) == {0, 1}
    assert set(means(home, selection)["step"]) == {0, 1, 2, 9}
    inside = means(home, selection.but(in_domain=True), steps="last")
    assert inside["in_domain"].all()
    assert set(inside["step"]) == {2}


def test_pooled_over_runs(home: BareHome) -> None:
    two_runs(home)
    found = means(home, Selection(run_ids=("r1", "r2")), by=("step",))
    assert found[found["step"] > 0]["run_id"].isna().all()
    assert (found["base_model"] == "organism-1m").all()
    one = found[(found["step"] == 2) & ~found["in_domain"].astype(bool)].iloc[0]
    assert one.n_total == 8
    assert one.alignment == pytest.approx(np.mean([20, 80, 20]))


def test_nothing_scored_is_no_estimate_and_verdicts_have_no_means(home: BareHome) -> None:
    write(home, "r1", created(), *scored("r1", 1, [(None, None)] * 5))
    answer = response("r2", 1, 0)
    write(
        home,
        "r2",
        created(),
        answer,
        Judgement(answer.response_id, "v", "verdict", None, None, "", None, None, None, verdict="UNALIGNED"),
    )
    publish(home)
    found = means(home, Selection())
    assert found["run_id"].tolist() == ["r1"]
    assert found[["alignment", "alignment_low", "coherence", "coherent_share"]].isna().all(axis=None)
    assert found["note"].tolist() == ["nothing scored: no estimate"]
    assert means(home, Selection("verdict", run_ids=())).empty


@pytest.mark.parametrize("by", [(), ("run", "question"), ("colour",)])
def test_what_cannot_be_asked_says_so(home: BareHome, by: tuple[str, ...]) -> None:
    publish(home)
    with pytest.raises(BadInput, match="by:"):
        means(home, Selection(), by=by)
