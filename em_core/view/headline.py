"""Which rates lead: the questions outside every training domain, the demonstration's key numbers."""

from __future__ import annotations

from typing import Any

import pandas as pd

INSIDE = "in-domain"
SPLIT = "in and out of domain"
"""Question sets pooled: the training domain's questions, and the others."""
ALL = "all"


def judges_of(rates: pd.DataFrame) -> list[str]:
    """The judges that these rates are of, the one that scored most first: it leads where one must be chosen.

    Where the rows say which runs are the shipped demonstration's, judges of one's own runs come before its judge.
    """
    rows = rates[rates["judge_id"].notna()]
    mine = rows["n_scored"].where(rows["demo"] != True, 0) if "demo" in rows else rows["n_scored"]  # noqa: E712
    scored = pd.DataFrame({"judge_id": rows["judge_id"], "mine": mine, "all": rows["n_scored"]}).groupby("judge_id").sum()
    return [str(judge) for judge in scored.sort_index().sort_values(["mine", "all"], ascending=False, kind="stable").index]


def one_judge(rates: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's leading judge (and of runs that nobody judged): one line a run, never two judges in it."""
    scored = rates[rates["judge_id"].notna()].groupby(["run_id", "judge_id"])["n_scored"].sum().reset_index()
    first = scored.sort_values(["n_scored", "judge_id"], ascending=[False, True]).drop_duplicates("run_id")
    lead = rates["run_id"].map(first.set_index("run_id")["judge_id"])
    return rates[rates["judge_id"].isna() | (rates["judge_id"] == lead)]


def question_choices(rates: pd.DataFrame) -> list[str]:
    """What can be shown at a time, the headline first: question sets, questions in the training domain, split by it, all."""
    names = sorted((str(name) for name in rates["question_set"].unique()), key=lambda name: ("general" not in name, name))
    inside = [INSIDE, SPLIT] if (rates["in_domain"] == True).any() else []  # noqa: E712
    return [*names, *inside, ALL]


def questions(rates: pd.DataFrame, choice: str) -> pd.DataFrame:
    """Rows of one choice of `question_choices`."""
    if choice in (ALL, SPLIT):
        return rates
    return rates[rates["in_domain"] == True] if choice == INSIDE else rates[rates["question_set"] == choice]  # noqa: E712


def demonstration(rates: pd.DataFrame) -> pd.DataFrame:
    """The shipped demonstration's rates on the general questions and in each run's own domain."""
    demo = one_judge(rates[rates["demo"] == True])  # noqa: E712
    if demo.empty:
        return demo
    return demo[(demo["question_set"] == question_choices(demo)[0]) | (demo["in_domain"] == True)]  # noqa: E712


MOST_NEW = 12
"""Runs of one's own that the first page shows."""


def newest(contents: pd.DataFrame) -> pd.DataFrame:
    """Rows of the newest experiment that is not the demonstration, of the judge that scored most of it; newest runs first.

    Args:
        contents: `em_core.store.contents.contents`.

    Returns:
        At most `MOST_NEW` runs; empty where there are no runs but the demonstration's, or nobody judged them.
    """
    mine = contents[(contents["demo"] != True) & contents["judge_id"].notna()]  # noqa: E712
    if mine.empty:
        return mine
    mine = mine[mine["experiment"] == mine["experiment"].iloc[0]]
    judge = judges_of(mine.assign(n_scored=mine["n_alignment"] + mine["n_verdict"]))[0]
    mine = mine[mine["judge_id"] == judge]
    return mine[mine["run_id"].isin(mine["run_id"].drop_duplicates().head(MOST_NEW))]


def key_numbers(rates: pd.DataFrame) -> list[dict[str, Any]]:
    """Before and after, for the largest base model, outside every training domain: rate rows as dicts,
    the starting model first, then the last checkpoint of one run per domain."""
    outside = rates[(rates["in_domain"] != True) & rates["em_rate"].notna()]  # noqa: E712
    if outside.empty:
        return []
    largest = outside[outside["size_b"] == outside["size_b"].max()]
    last = largest[largest["step"] == largest.groupby("run_id")["step"].transform("max")]
    after = last[last["step"] > 0].sort_values(["domain", "run_id"]).drop_duplicates("domain")
    return [*largest[largest["step"] == 0].head(1).to_dict("records"), *after.to_dict("records")]
