"""The rows of a trajectory: other axes than steps, and seeds of one recipe beside their mean."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

_LINE = ["question_set", "in_domain", "judge_id"]
_COUNTS = ["n_total", "n_scored", "n_coherent", "n_misaligned"]


def with_axes(rows: pd.DataFrame, checkpoints: pd.DataFrame) -> pd.DataFrame:
    """Rows with `epoch` and `samples_seen` beside their step; null where the checkpoint does not say (imported runs).

    Args:
        rows: One row per run, step and more.
        checkpoints: `em_core.store.queries.checkpoints` of the same runs.
    """
    known = checkpoints[["run_id", "step", "epoch", "samples_seen"]].drop_duplicates(["run_id", "step"])
    out = rows.drop(columns=["epoch", "samples_seen"], errors="ignore").merge(known, on=["run_id", "step"], how="left")
    start = out["step"] == 0
    return out.assign(
        epoch=out["epoch"].astype(float).mask(start, 0.0), samples_seen=out["samples_seen"].astype(float).mask(start, 0.0)
    )


def with_seed_means(rates: pd.DataFrame, groups: Sequence[Sequence[str]], means: pd.DataFrame) -> pd.DataFrame:
    """Rates with a column `role`, and one more line per group of seeds: their mean.

    Args:
        rates: Of single runs (`em_core.store.rates.rates`).
        groups: Runs that differ in their seed only.
        means: `em_core.store.trajectories.seeds` of the same runs.

    Returns:
        The same rows with role ``seed`` (in a group) or ``run``, then rows of role ``mean``: rate and interval of
        `means`, counts added up, everything else as in the group's first run; `run_id` is no run's.
    """
    first_of = {run_id: str(group[0]) for group in groups for run_id in group}
    rows = rates.assign(role=["seed" if run_id in first_of else "run" for run_id in rates["run_id"]])
    if means.empty or not (rows["role"] == "seed").any():
        return rows.assign(role="run")
    key = ["group", *_LINE, "step"]
    seeds = rows[rows["role"] == "seed"].assign(group=lambda part: part["run_id"].map(first_of))
    counts = seeds.groupby(key, dropna=False, sort=False)[_COUNTS].sum().reset_index()
    rate = means[[*_LINE, "step", "em_rate", "ci_low", "ci_high"]].assign(
        group=means["run_ids"].map(lambda ids: first_of[ids[0]])
    )
    start = seeds.loc[seeds["step"] == 0, [*key, "em_rate", "ci_low", "ci_high"]].drop_duplicates(key)
    cards = seeds[seeds["run_id"] == seeds["group"]].drop(columns=[*_COUNTS, "em_rate", "ci_low", "ci_high"])
    lines = cards.merge(counts, on=key).merge(pd.concat([start, rate], ignore_index=True), on=key)
    n_seeds = lines["group"].map({str(group[0]): len(group) for group in groups}).astype(str)
    lines = lines.assign(
        run_id="mean of " + n_seeds + ": " + lines["group"], label="mean of " + n_seeds + " seeds", role="mean"
    ).drop(columns="group")
    return pd.concat([rows, lines], ignore_index=True)


def averaged(rows: pd.DataFrame, groups: Sequence[Sequence[str]], value: str) -> pd.DataFrame:
    """Score rows with a column `role`, and the plain mean of each group's seeds where all of them have a score.

    Args:
        rows: One row per run, step, question set, in_domain and judge, with `value`, ``<value>_low`` and ``<value>_high``.
        groups: Runs that differ in their seed only.
        value: Column; its mean has no interval (null): the faint lines beside it show the spread.
    """
    members = {run_id for group in groups for run_id in group}
    out = [rows.assign(role=["seed" if run_id in members else "run" for run_id in rows["run_id"]])]
    for group in groups:
        mine = rows[rows["run_id"].isin(group)]
        n_seeds = mine["run_id"].nunique()
        if n_seeds < 2:
            continue
        found = mine.groupby([*_LINE, "step"], dropna=False)[value].agg(["mean", "count"]).reset_index()
        mean = found[found["count"] == n_seeds].rename(columns={"mean": value}).drop(columns="count")
        first = mine[mine["run_id"] == mine["run_id"].iloc[0]].drop(columns=[value])
        line = first.merge(mean, on=[*_LINE, "step"])
        named = {"run_id": f"mean of {n_seeds}: {group[0]}", "label": f"mean of {n_seeds} seeds", "role": "mean"}
        out.append(line.assign(**named, **{f"{value}_low": float("nan"), f"{value}_high": float("nan")}))
    return pd.concat(out, ignore_index=True)


def marks(changes: pd.DataFrame, least: float = 0.95) -> pd.DataFrame:
    """Where lines changed, for the chart: those that most likely did.

    Args:
        changes: `em_core.store.trajectories.changes`.
        least: Probability of any change, 0-1.
    """
    sure = changes[(changes["p_change"] >= least) & changes["step"].notna()]
    return sure[["run_id", "question_set", "step", "earliest", "latest", "p_change"]].astype({"step": float})


def shared_axes(checkpoints: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Checkpoints of the runs, and of each mean of seeds those of the run it is named after."""
    means = rows.loc[rows.get("role", pd.Series("run", rows.index)) == "mean", "run_id"].drop_duplicates()
    copies = [checkpoints[checkpoints["run_id"] == name.rsplit(": ", 1)[-1]].assign(run_id=name) for name in means]
    return pd.concat([checkpoints, *copies], ignore_index=True)


def training(steps: pd.DataFrame, cards: pd.DataFrame, checkpoints: pd.DataFrame) -> pd.DataFrame:
    """Training steps with label and domain of their run, and samples seen (in proportion to the steps of its checkpoints).

    Args:
        steps: `em_core.store.queries.metrics`.
        cards: Rows with run_id, label and domain.
        checkpoints: `em_core.store.queries.checkpoints`.
    """
    last = checkpoints[checkpoints["step"] > 0].sort_values("step").drop_duplicates("run_id", keep="last")
    per_step = (last["samples_seen"] / last["step"]).set_axis(last["run_id"])
    named = steps.merge(cards[["run_id", "label", "domain"]].drop_duplicates("run_id"), on="run_id")
    return named.assign(samples_seen=named["step"] * named["run_id"].map(per_step).astype(float))
