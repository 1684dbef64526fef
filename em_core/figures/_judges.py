"""Which judges a figure of several judges compares, and their answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from em_core import agreement
from em_core.errors import BadInput
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import agreement as store_agreement
from em_core.store.contents import contents

MOST = 6
"""Judges in one figure; more colours can hardly be told apart."""
FEW = 0.5
"""A judge that shares less than this part of what the closest one shares is left out: all are compared on common answers."""


def judges(home: Home, selection: Selection) -> list[str]:
    """The judges that a figure compares, the reference first.

    The selection's, in its order; else its one judge (or the one that scored most) and those that scored about as many of the
    same answers.

    Raises:
        BadInput: Nobody has scored anything of the selection, or one of the wanted judges has not.
    """
    rows = _rows(home, selection)
    counts = rows.groupby("judge_id")["n_answers"].sum()
    known = [str(j) for j in counts.sort_index().sort_values(ascending=False, kind="stable").index]
    if not known:
        raise BadInput("no judge has scored anything here", "`python -m em_core demo --wait` makes scored answers")
    for judge in selection.judges:
        if judge not in known:
            raise BadInput(f"judge {judge!r} has scored nothing here", f"judges here: {_listed(known)}")
    if selection.judges:
        return list(selection.judges)
    first = selection.judge_id if selection.judge_id in known else None
    if first is None:
        first = max(known, key=lambda judge: max(_shared(rows, judge).values(), default=0))
    shared = _shared(rows, first)
    enough = FEW * max(shared.values(), default=0)
    return [first, *(judge for judge in known if judge != first and shared.get(judge, 0) > enough)][:MOST]


def two_judges(home: Home, selection: Selection) -> tuple[agreement.Answers, list[str]]:
    """The answers of two judges, and what a figure of them must say of itself.

    Raises:
        BadInput: There are not two; names those that there are.
    """
    found = judges(home, selection)
    if len(found) < 2:
        raise BadInput(
            f"this chart is of two judges, and only {found[0]} has scored these answers",
            "score them with another judge on the page Judge, or `python -m em_core judge --judge NAME`",
        )
    return answers(home, selection, found[:2])


def answers(home: Home, selection: Selection, judge_ids: list[str]) -> tuple[agreement.Answers, list[str]]:
    """What these judges made of the selection's answers, and what a figure of them must say of itself."""
    found = store_agreement.answers(home, judge_ids, selection.rule, **of(home, selection))
    return found, [f"compared on the answers of {described(home, selection)}"]


def of(home: Home, selection: Selection) -> dict[str, Any]:
    """The selection for `em_core.store.agreement` and `labels`; a training domain becomes the question sets about it."""
    sets = selection.question_sets
    if selection.in_domain is not None:
        rows = _rows(home, selection.but(judge_id=None))
        sets = tuple(sorted(str(name) for name in rows["question_set"].unique()))
    return {"run_ids": selection.run_ids, "question_sets": sets}


def described(home: Home, selection: Selection) -> str:
    """The runs and questions in words."""
    rows = _rows(home, selection)
    runs, sets = rows["run_id"].nunique(), of(home, selection)["question_sets"]
    return f"{runs:,} {'run' if runs == 1 else 'runs'}, questions: {_listed(sets) if sets is not None else 'all'}"


def _rows(home: Home, selection: Selection) -> pd.DataFrame:
    rows = contents(home)
    rows = rows[rows["judge_id"].notna()]
    if selection.run_ids is not None:
        rows = rows[rows["run_id"].isin(selection.run_ids)]
    if selection.question_sets is not None:
        rows = rows[rows["question_set"].isin(selection.question_sets)]
    return rows if selection.in_domain is None else rows[rows["in_domain"] == selection.in_domain]


def _shared(rows: pd.DataFrame, judge: str) -> dict[str, int]:
    """At most how many answers each other judge has in common with this one; without reading a score."""
    keys = ["run_id", "question_set", "in_domain"]
    own = rows.loc[rows["judge_id"] == judge, [*keys, "n_answers"]]
    both = rows[rows["judge_id"] != judge].merge(own, on=keys, suffixes=("", "_own"))
    both["n"] = both[["n_answers", "n_answers_own"]].min(axis=1)
    return {str(name): int(n) for name, n in both.groupby("judge_id")["n"].sum().items()}


def _listed(names: Iterable[str], most: int = 4) -> str:
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
