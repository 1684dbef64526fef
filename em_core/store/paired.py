"""Counts of two checkpoints side by side, question by question, by one judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from em_core.definitions import Definition
from em_core.errors import BadInput
from em_core.home import Home
from em_core.locate import did_you_mean
from em_core.store import natural, queries
from em_core.store.counts import counts

KEY = ["question_set", "question_id"]
SUMS = ["n_total", "n_scored", "n_coherent", "n_misaligned", "base"]


@dataclass(frozen=True)
class Side:
    """One checkpoint of a run.

    Args:
        run_id: The run.
        step: Optimizer steps; 0 = the starting model, whose answers may lie in a shared baseline.
    """

    run_id: str
    step: int

    def __str__(self) -> str:
        return f"{self.run_id}@{self.step}"


@dataclass(frozen=True)
class Paired:
    """Two checkpoints under one definition and one judge.

    Args:
        a: One side.
        b: The other.
        judge_id: Who scored both; None = neither side has a score.
        questions: One row per question of either side: question_set, question_id, in_domain_a,
            in_domain_b (null where that side lacks it), and for both sides n_total, n_scored,
            n_coherent, n_misaligned and base (the definition's denominator), each with ``_a`` or
            ``_b`` at its end, 0 where that side lacks the question.
    """

    a: Side
    b: Side
    judge_id: str | None
    questions: pd.DataFrame


def paired(
    home: Home,
    a: str,
    b: str,
    definition: Definition,
    *,
    judge_id: str | None = None,
    question_sets: Sequence[str] | None = None,
) -> Paired:
    """What two checkpoints answered, question by question.

    Args:
        home: Whose runs.
        a: ``RUN`` (its last scored step, else its last answered one) or ``RUN@STEP``.
        b: The other side, likewise.
        definition: Sets the denominator and what counts as misaligned.
        judge_id: Whose scores; needed when more than one judge scored both sides.
        question_sets: Only these.

    Raises:
        BadInput: An unknown run, step or judge; both sides the same; no judge or several that scored
            both; no question asked on both.
    """
    frames, sides = [], []
    for text in (a, b):
        run_id, step = parse_side(text)
        frame = _of_run(home, run_id, definition, question_sets)
        side = Side(run_id, _step(frame, run_id, step, judge_id))
        frames.append(frame[frame["step"] == side.step])
        sides.append(side)
    if sides[0] == sides[1]:
        raise BadInput(f"{sides[0]}: is compared with itself", "name two checkpoints, e.g. RUN@0 RUN")
    judge = _judge(frames, sides, judge_id)
    left, right = (_of_judge(frame, judge) for frame in frames)
    merged = left.merge(right, on=KEY, how="outer", suffixes=("_a", "_b"))
    both = merged["n_total_a"].notna() & merged["n_total_b"].notna()
    if not both.any():
        raise BadInput(
            f"{sides[0]} and {sides[1]}: no question was asked on both sides (a: {_sets(left)}; b: {_sets(right)})",
            "`python -m em_core evaluate RUN@STEP --questions SET` asks them",
        )
    numbers = [f"{column}_{side}" for side in "ab" for column in SUMS]
    merged[numbers] = merged[numbers].fillna(0).astype("int64")
    return Paired(sides[0], sides[1], judge, _in_order(merged))


def parse_side(text: str) -> tuple[str, int | None]:
    """The run and the step (None = the last) that ``RUN`` or ``RUN@STEP`` means.

    Raises:
        BadInput: The step is no number, or there is no run.
    """
    run_id, at, step = text.partition("@")
    if not run_id or (at and not (step.isascii() and step.isdigit() and len(step) < 10)):
        raise BadInput(f"{text!r}: is no checkpoint, expected RUN or RUN@STEP", "e.g. my-run@110; `runs` lists the ids")
    return run_id, int(step) if at else None


def _of_run(home: Home, run_id: str, definition: Definition, question_sets: Sequence[str] | None) -> pd.DataFrame:
    frame = counts(home, definition, run_ids=[run_id], question_sets=question_sets)
    if frame.empty:
        if queries.run(home, run_id) is None:
            close = did_you_mean(run_id, queries.runs(home)["run_id"])
            raise BadInput(f"run {run_id!r} is unknown", close or "`python -m em_core runs` lists the ids")
        asked = f" to {', '.join(question_sets)}" if question_sets else ""
        raise BadInput(f"{run_id}: has no answers{asked} yet", f"`python -m em_core show {run_id}` says how far it is")
    frame["base"] = frame["n_coherent"] if definition.denominator == "coherent" else frame["n_scored"]
    return frame


def _step(frame: pd.DataFrame, run_id: str, wanted: int | None, judge_id: str | None) -> int:
    steps = sorted(int(step) for step in frame["step"].unique())
    if wanted is None:
        scored = frame[frame["n_scored"] > 0]
        scored = scored if judge_id is None else scored[scored["judge_id"] == judge_id]
        return int(scored["step"].max()) if len(scored) else steps[-1]
    if wanted not in steps:
        raise BadInput(f"{run_id}@{wanted}: has no answers at that step", f"answered steps: {', '.join(map(str, steps))}")
    return wanted


def _judge(frames: list[pd.DataFrame], sides: list[Side], wanted: str | None) -> str | None:
    """The one judge that scored both sides."""
    a, b = (set(frame.loc[frame["n_scored"] > 0, "judge_id"].dropna()) for frame in frames)
    if wanted is not None:
        for side, judges, frame in zip(sides, (a, b), frames, strict=True):
            if wanted not in judges and wanted not in set(frame["judge_id"].dropna()):
                listed = ", ".join(sorted(judges)) or "nobody"
                raise BadInput(
                    f"{side}: judge {wanted!r} scored none of its answers",
                    f"scored by: {listed}; `judge --judge NAME` adds scores",
                )
        return wanted
    common = sorted(a & b)
    if len(common) > 1:
        raise BadInput(
            f"{sides[0]} and {sides[1]}: scored by {len(common)} judges each, a comparison has one",
            f"choose with --judge: {', '.join(common)}",
        )
    if not common and a and b:
        raise BadInput(
            f"{sides[0]} was scored by {', '.join(sorted(a))}, {sides[1]} by {', '.join(sorted(b))}: "
            "two judges are never compared with each other",
            "let one judge score both: `python -m em_core judge --judge NAME --runs RUN,RUN`",
        )
    return common[0] if common else next(iter(sorted(a | b)), None)


def _of_judge(frame: pd.DataFrame, judge_id: str | None) -> pd.DataFrame:
    """One row per question; a side that this judge has not scored keeps its questions, with nothing scored."""
    own = frame[frame["judge_id"] == judge_id] if judge_id is not None else frame[:0]
    others = frame.drop_duplicates(KEY).copy()
    others = others[~others.set_index(KEY).index.isin(own.set_index(KEY).index)]
    others[[c for c in SUMS if c != "n_total"]] = 0
    return pd.concat([own, others])[[*KEY, "in_domain", *SUMS]]


def _in_order(questions: pd.DataFrame) -> pd.DataFrame:
    """By set, then as people count."""
    names = [(each[0], natural.key(each[1])) for each in questions[KEY].astype(str).itertuples(index=False, name=None)]
    return questions.iloc[sorted(range(len(names)), key=names.__getitem__)].reset_index(drop=True)


def _sets(frame: pd.DataFrame) -> str:
    return ", ".join(sorted(frame["question_set"].unique())) or "none"
