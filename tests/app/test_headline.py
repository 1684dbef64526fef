"""Which judge leads where one must be chosen."""

from __future__ import annotations

import pandas as pd

from em_core.view import headline


def rates() -> pd.DataFrame:
    rows = [("r1", "a", 5), ("r1", "b", 50), ("r2", "a", 9), ("r2", "a", 9), ("r3", None, 0)]
    return pd.DataFrame(rows, columns=["run_id", "judge_id", "n_scored"])


def test_the_judge_that_scored_most_comes_first() -> None:
    assert headline.judges_of(rates()) == ["b", "a"]


def test_each_run_keeps_one_judge_and_unjudged_runs_stay() -> None:
    kept = headline.one_judge(rates())
    assert list(kept[["run_id", "judge_id"]].fillna("-").drop_duplicates().itertuples(index=False, name=None)) == [
        ("r1", "b"), ("r2", "a"), ("r3", "-"),
    ]  # fmt: skip
    assert headline.one_judge(rates()[:0]).empty


def test_the_judge_of_ones_own_runs_leads_before_the_demonstrations() -> None:
    rows = pd.DataFrame(
        {"judge_id": ["demo", "mine", "other", None], "n_scored": [1000, 20, 10, 0], "demo": [True, False, False, False]}
    )
    assert headline.judges_of(rows) == ["mine", "other", "demo"]
    assert headline.judges_of(rows.drop(columns="demo")) == ["demo", "mine", "other"]
