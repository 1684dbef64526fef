"""When one line, or one comparison, would mix judges: a sentence that names them."""

from __future__ import annotations

import pandas as pd

_SHOWN = 4


def mixed_judges(frame: pd.DataFrame) -> list[str]:
    """What a selection of rows mixes.

    Args:
        frame: Rows with judge_id and, where there are any, run_id, label (used instead of the id) and question_set
            (rates, for instance).

    Returns:
        Sentences, empty when every row is of one judge: rows of several judges in one run, and runs that are under
        different judges.
    """
    known = frame[frame["judge_id"].notna()]
    judges = sorted(str(j) for j in known["judge_id"].unique())
    if len(judges) < 2:
        return []
    if "run_id" not in known:
        return [f"These rows come from {len(judges)} judges, {_and(judges)}: scores of two judges are not comparable."]
    notes = []
    of_run = known.groupby("run_id")["judge_id"].agg(lambda ids: tuple(sorted({str(j) for j in ids})))
    several = of_run[of_run.map(len) > 1]
    if len(several):
        found = sorted({judge for ids in several for judge in ids})
        notes.append(
            f"{_runs(len(several))} scored by {len(found)} judges, {_and(found)}: one line would mix them, so choose one judge."
        )
    if of_run.nunique() > 1:
        names = known.drop_duplicates("run_id").set_index("run_id")["label"] if "label" in known else None
        parts = [
            f"{_and([str(names[run]) if names is not None else str(run) for run in runs.index])} by {_and(list(ids))}"
            for ids, runs in of_run.groupby(of_run)
        ]
        notes.append(f"These runs were scored by different judges ({'; '.join(parts)}): a difference may be the judges'.")
    return notes


def mixed_models(served: pd.DataFrame, judge_ids: list[str] | None = None) -> list[str]:
    """Judges whose server answered with several models (`em_core.store.agreement.served_models`).

    Args:
        served: judge_id, served_model, n; one row per judge and model.
        judge_ids: Only these judges.

    Returns:
        One sentence per such judge.
    """
    if judge_ids is not None:
        served = served[served["judge_id"].isin(judge_ids)]
    notes = []
    for judge, rows in served.groupby("judge_id"):
        if rows["served_model"].nunique() > 1:
            models = _and(
                [f"{m or 'the model asked for'} ({int(n):,})" for m, n in zip(rows["served_model"], rows["n"], strict=True)]
            )
            notes.append(f"Judge {judge} was answered by {rows['served_model'].nunique()} models, {models}: its scores mix them.")
    return notes


def _runs(n: int) -> str:
    return "One run was" if n == 1 else f"{n} runs were"


def _and(names: list[str]) -> str:
    shown = [*names[:_SHOWN], *([f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
