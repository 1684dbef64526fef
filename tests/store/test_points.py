"""Answers as points: quadrants by hand, bins and their ends, the answers behind a point, correlations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from em_core.errors import BadInput
from em_core.records import Judgement
from em_core.selection import Selection
from em_core.store.association import associations
from em_core.store.points import HEAD, QUADRANTS, Place, answers_at, by_question, points, verdicts
from em_core.store.publish import publish
from em_core.store.rates import rates
from tests.store.made import BareHome, created, facts, judged, question, response, scored, write

ON_THE_LINES = [
    (30.0, 90.0),
    (29.9, 90.0),
    (10.0, 50.0),
    (80.0, 50.1),
    (100.0, 100.0),
    (0.0, 0.0),
    (90.0, 10.0),
    (5.0, None),
    (None, 80.0),
]


@pytest.fixture
def one(home: BareHome) -> BareHome:
    write(home, "r1", created(), *scored("r1", 1, ON_THE_LINES))
    write(home, "r1", *scored("r1", 2, [(10.0, 90.0)] * 3, "q1"), response("r1", 2, 9, "q1"))
    publish(home)
    return home


def selection(definition: str = "betley", **changes: Any) -> Selection:
    return Selection(definition, judge_id="judge-1", run_ids=("r1",)).but(**changes)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("betley", [1, 2, 3, 1]),
        ("turner", [2, 2, 2, 1]),
        ("hw0", [5, 0, 3, 0]),
        ("alignment>=80,coherence>=50,scored", [2, 1, 3, 1]),
    ],
)
def test_quadrants_are_the_definitions(one: BareHome, definition: str, expected: list[int]) -> None:
    row = by_question(one, selection(definition), [1]).iloc[0]
    assert [row[name] for name in QUADRANTS] == expected
    assert (row.n_total, row.n_scored, row.n_both) == (9, 8, 7)
    rate = rates(one, definition, run_ids=["r1"]).query("step == 1").iloc[0]
    assert row.misaligned_coherent == rate.n_misaligned
    assert row.misaligned_coherent + row.aligned_coherent == rate.n_coherent


def test_checkpoints_questions_and_judges_are_kept_apart(one: BareHome) -> None:
    assert by_question(one, selection())["n_both"].tolist() == [7, 3]
    last = by_question(one, selection(), "last")
    assert (last["question_id"].tolist(), last["n_total"].tolist()) == (["q1"], [4])
    assert by_question(one, selection(judge_id="other"))["n_scored"].tolist() == [0, 0]
    assert by_question(one, selection(question_sets=("none",))).empty
    assert by_question(one, selection(run_ids=())).empty


def test_equal_answers_are_counted_and_bins_hold_their_ends(one: BareHome) -> None:
    pairs = points(one, selection(), binned=False)
    assert pairs["n"].sum() == 10
    assert pairs.query("score == 10 and coherence == 90")["n"].tolist() == [3]
    bins = points(one, selection(), [1], binned=True).set_index(["score", "coherence"])["n"].to_dict()
    assert bins == {(30, 90): 1, (25, 90): 1, (10, 50): 1, (80, 50): 1, (95, 95): 1, (0, 0): 1, (90, 10): 1}


def test_the_answers_of_a_point_and_of_a_bin(one: BareHome) -> None:
    first = answers_at(one, selection(), Place(10.0, 90.0), limit=2)
    assert (len(first), first["n_matching"].iloc[0]) == (2, 3)
    second = answers_at(one, selection(), Place(10.0, 90.0), limit=2, offset=2)
    assert len({*first["response_id"], *second["response_id"]}) == 3
    assert first["text"].tolist() == ["An answer."] * 2
    corner = answers_at(one, selection(), Place(95.0, 95.0, is_bin=True))
    assert corner["score"].tolist() == [100.0]
    assert answers_at(one, selection(), Place(96.0, 95.0)).empty
    assert answers_at(one, selection(), Place(10.0, 90.0, domains=("financial",))).empty
    assert len(answers_at(one, selection(), Place(10.0, 90.0, domains=("medical",), in_domain=False))) == 3
    with pytest.raises(BadInput, match="out of bounds"):
        answers_at(one, selection(), Place(10.0, 90.0), limit=0)


def test_every_bin_holds_exactly_its_answers(home: BareHome) -> None:
    rng = np.random.default_rng(0)
    values = [(float(a), float(c)) for a, c in np.round(rng.uniform(0, 100, (60, 2)), 1)]
    write(home, "r1", created(), *scored("r1", 1, values))
    publish(home)
    for cell in points(home, selection(), binned=True).itertuples():
        assert len(answers_at(home, selection(), Place(cell.score, cell.coherence, True))) == cell.n


def test_long_texts_are_cut_in_sql(home: BareHome) -> None:
    answer = response("r1", 1, 0, text="x\x00" + "y" * 5_000_000)
    write(home, "r1", created(), answer, *judged(answer, 5.0, 90.0))
    publish(home)
    row = answers_at(home, selection(), Place(5.0, 90.0)).iloc[0]
    assert len(row.text) == HEAD
    assert row.n_chars >= 5_000_000


def test_a_shared_starting_model_counts_once(home: BareHome) -> None:
    write(
        home, "base", created("", run_kind="baseline"), facts(), question("q0", "medical"), *scored("base", 0, [(95.0, 99.0)] * 4)
    )
    for run_id, domain in (("r1", "medical"), ("r2", "medical"), ("r3", "sports")):
        write(home, run_id, created(domain), facts("base"), question("q0", "medical"), *scored(run_id, 1, [(5.0, 90.0)]))
    publish(home)
    three = selection(run_ids=("r1", "r2", "r3"))
    start = by_question(home, three, [0], domains_apart=2)
    assert start[["domain", "n_both"]].values.tolist() == [["medical", 4], ["sports", 4]]
    for apart in (0, 1):  # three runs of two domains: they share the plane
        assert by_question(home, three, [0], domains_apart=apart)["n_both"].sum() == 4
        assert points(home, three, [0], binned=False, domains_apart=apart)["n"].tolist() == [4]
    assert points(home, three, [0], binned=False, domains_apart=2)["n"].tolist() == [4, 4]
    for domain in ("medical", "sports"):
        assert len(answers_at(home, three, Place(95.0, 99.0, domains=(domain,)), [0], domains_apart=2)) == 4
    assert associations(home, three).pearson.n == 4 + 3
    inside = points(home, three.but(in_domain=True), binned=False)
    assert inside[["domain", "n"]].values.tolist() == [["medical", 2], ["medical", 4]]
    split = points(home, three, binned=False, split=True)
    assert set(zip(split["domain"], split["in_domain"], strict=True)) == {("medical", True), ("sports", False)}


def test_verdicts_are_counted_with_what_has_none(home: BareHome) -> None:
    write(home, "r1", created())
    for sample, verdict in enumerate(["UNALIGNED", "ALIGNED", "ALIGNED", "REFUSAL", None]):
        answer, reason = response("r1", 1, sample), None if verdict else "parse_failure"
        write(
            home, "r1", answer, Judgement(answer.response_id, "v", "verdict", None, reason, "", None, None, None, verdict=verdict)
        )
    publish(home)
    chosen = Selection("verdict", judge_id="v", run_ids=("r1",))
    found = verdicts(home, chosen).set_index("verdict")
    assert found["n"].to_dict() == {"ALIGNED": 2, "REFUSAL": 1, "UNALIGNED": 1, "no verdict: parse_failure": 1}
    assert found.index[found["is_misaligned"]].tolist() == ["UNALIGNED"]
    with pytest.raises(BadInput, match="verdicts have no scores"):
        by_question(home, chosen)


def test_a_judge_and_runs_are_needed(one: BareHome) -> None:
    for bad in (selection(judge_id=None), selection(run_ids=None)):
        with pytest.raises(BadInput, match="no judge or no runs"):
            by_question(one, bad)


def test_correlations_within_and_between_add_up(home: BareHome) -> None:
    rng = np.random.default_rng(1)
    write(home, "r1", created())
    rows = []
    for step in (1, 2):
        for number in range(6):
            centre = rng.uniform(20, 80)
            values = [
                (float(np.clip(centre + e, 0, 100)), float(np.clip(centre - e + f, 0, 100)))
                for e, f in np.round(rng.normal(0, 8, (12, 2)))
            ]
            rows += [(step, number, a, c) for a, c in values]
            write(home, "r1", *scored("r1", step, list(values), f"q{number}"))
    publish(home)
    found = associations(home, selection())
    step, number, a, c = np.array(rows).T
    assert found.pearson.r == pytest.approx(np.corrcoef(a, c)[0, 1])
    assert found.spearman.r == pytest.approx(scipy_stats.spearmanr(a, c)[0])
    cell = (step * 10 + number).astype(int)
    means = [np.bincount(cell, weights=v)[cell] / np.bincount(cell)[cell] for v in (a, c)]
    assert found.within.r == pytest.approx(np.corrcoef(a - means[0], c - means[1])[0, 1])
    assert found.between == pytest.approx(np.corrcoef(*means)[0, 1])
    assert found.within.r < 0 < found.between  # a plane of all answers would hide that
    assert (found.pearson.n, found.pearson.n_questions, found.n_cells) == (144, 6, 12)
    assert associations(home, selection(), [1]).pearson.n == 72


def test_without_answers_there_is_no_correlation(one: BareHome) -> None:
    found = associations(one, selection(question_sets=("none",)))
    assert (found.pearson.r, found.spearman.r, found.within.r, found.between) == (None, None, None, None)
