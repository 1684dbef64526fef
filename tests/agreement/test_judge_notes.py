"""A selection that would mix judges says so and names them."""

import pandas as pd

from em_core.view.judge_notes import mixed_judges, mixed_models


def rows(*pairs):
    return pd.DataFrame([{"run_id": run, "label": f"label {run}", "judge_id": judge} for run, judge in pairs])


def test_one_judge_needs_no_note():
    assert mixed_judges(rows(("r1", "a"), ("r2", "a"))) == []
    assert mixed_judges(rows(("r1", None))) == []


def test_two_judges_in_one_line_are_named():
    (note,) = mixed_judges(rows(("r1", "a"), ("r1", "b")))
    assert "a and b" in note
    assert "choose one judge" in note


def test_runs_under_different_judges_are_named_with_theirs():
    (note,) = mixed_judges(rows(("r1", "a"), ("r2", "b")))
    assert "label r1 by a" in note
    assert "label r2 by b" in note


def test_rows_without_runs_are_named_too():
    (note,) = mixed_judges(pd.DataFrame({"judge_id": ["a", "b"]}))
    assert "a and b" in note


def test_many_judges_are_not_all_listed():
    (note,) = mixed_judges(pd.DataFrame({"judge_id": list("abcdefgh")}))
    assert "4 more" in note


def test_a_judge_behind_which_the_model_changed_is_named_with_its_models():
    served = pd.DataFrame({"judge_id": ["a", "a", "b"], "served_model": ["m1", "m2", "m1"], "n": [10, 5, 7]})
    (note,) = mixed_models(served)
    assert "m1 (10) and m2 (5)" in note
    assert mixed_models(served, ["b"]) == []
