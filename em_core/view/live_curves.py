"""Curves of runs at work, taken apart so that a refresh touches as little as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

MOST = 600
"""Points of a chart that is drawn every two seconds, half a page wide."""


def thinned(losses: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `MOST` points, evenly spaced, the first and the newest kept."""
    if len(losses) <= MOST:
        return list(losses)
    last = len(losses) - 1
    return [losses[round(i * last / (MOST - 1))] for i in range(MOST)]


def loss_rows(first: Mapping[str, Any], losses: Sequence[tuple[int, float]]) -> pa.Table:
    """Rows of the loss chart, without pandas, which takes longer.

    Args:
        first: One row of the chart as it was first drawn: its other columns stay as they are.
        losses: ``(step, loss)``, ascending.
    """
    points = thinned(losses)
    columns: dict[str, list[Any]] = {name: [value] * len(points) for name, value in first.items()}
    columns |= {"step": [step for step, _ in points], "loss": [loss for _, loss in points]}
    return pa.table(columns)


@dataclass(frozen=True)
class RunRates:
    """EM rates of one run at work, by one judge.

    Args:
        rates: One row per step and question set (`em_core.store.rates.rates`).
        signature: The same as long as nothing of what is drawn has changed.
        domain: What the run is trained on.
        step: The newest step with an estimate; None before the first.
        n_steps: Steps with an estimate.
        newest: Its rows with an estimate, one per question set.
    """

    rates: pd.DataFrame
    signature: str
    domain: str
    step: int | None
    n_steps: int
    newest: list[dict[Any, Any]]


def by_run(rates: pd.DataFrame) -> dict[str, RunRates]:
    """The rates of every run among these rows, never two judges of one."""
    return {str(run_id): _of(rows) for run_id, rows in rates.groupby("run_id", sort=False)}


def _of(rows: pd.DataFrame) -> RunRates:
    known = rows[rows["em_rate"].notna()]
    step = int(known["step"].max()) if len(known) else None
    said = known[["step", "question_set", "in_domain", "judge_id", "n_total", "n_scored", "n_coherent", "n_misaligned"]]
    return RunRates(
        rows,
        "\n".join(map(repr, said.itertuples(index=False, name=None))),
        str(rows["domain"].iloc[0] or ""),
        step,
        int(known["step"].nunique()),
        known[known["step"] == step].to_dict("records"),
    )
