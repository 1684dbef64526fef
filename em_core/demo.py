"""The demonstration: a grid of organism runs, from presets, and its table of final rates."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from em_core import definitions, plan, specs_io
from em_core.home import Home
from em_core.spec import RunSpec
from em_core.store import rates as store_rates
from em_core.supervisor.launch import Launched, launch

Grid = Literal["small", "full"]
_OVERRIDES: dict[Grid, list[str]] = {"small": ["base_model=organism-1m", "experiment=demo-small"], "full": ["experiment=demo-full"]}


def specs(grid: Grid) -> list[RunSpec]:
    """The runs of a demonstration grid: 3 sizes x 2 domains (full) or 1 size x 2 domains (small)."""
    return specs_io.read_spec("organism-grid", _OVERRIDES[grid])


def start(home: Home, grid: Grid) -> list[Launched]:
    """Queue the grid's runs; those that exist already are left as they are."""
    wanted = specs(grid)
    for spec in wanted:
        plan.validate(spec, home)
    return launch(home, wanted, existing_ok=True)


def table(home: Home, run_ids: list[str], definition: str) -> pd.DataFrame:
    """EM rates of the runs at step 0 and at the last step, one row per run, step and question set."""
    frame = store_rates.rates(home, definitions.get(definition), run_ids=run_ids)
    if frame.empty:
        return frame
    last = frame.groupby("run_id")["step"].transform("max")
    chosen = frame[(frame["step"] == 0) | (frame["step"] == last)]
    return chosen.sort_values(["size_b", "domain", "step", "question_set"]).reset_index(drop=True)
