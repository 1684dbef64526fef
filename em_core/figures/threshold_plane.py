"""The EM rate under every threshold and gate: the last checkpoint of each selected run, pooled."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.charts.frame import INTERVALS
from em_core.errors import BadInput
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import plane, rates


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row per threshold and gate.

    Raises:
        BadInput: Several judges scored these answers and none is chosen, or the definition has no threshold to vary.
    """
    rule = selection.rule
    found = rates.rates(
        home, rule, interval=selection.interval, run_ids=selection.run_ids, judge_id=selection.judge_id,
        question_sets=selection.question_sets,
    )  # fmt: skip
    if selection.in_domain is not None:
        found = found[found["in_domain"] == selection.in_domain]
    judges = sorted(str(judge) for judge in found["judge_id"].dropna().unique())
    if len(judges) > 1:
        raise BadInput(
            f"{len(judges)} judges scored these answers, the plane is of one", f"choose a judge (--judge): {', '.join(judges)}"
        )
    last = found[found["step"] == found.groupby("run_id")["step"].transform("max")]
    cells = list(last[["run_id", "step", "question_set", "in_domain"]].itertuples(index=False, name=None))
    rows = plane.plane(home, rule, cells, judges[0] if judges else "", selection.interval)
    runs = last["run_id"].nunique()
    notes = [
        f"{rule.name}: {rule.rule}; {INTERVALS[selection.interval]}",
        f"last checkpoint of {runs:,} {'run' if runs == 1 else 'runs'}, pooled; judge: {', '.join(judges)}",
    ]
    return rows, {
        "sign": rule.sign, "gate_sign": rule.gate_sign, "chosen": (rule.threshold, rule.gate), "chosen_name": rule.name,
        "notes": notes,
    }  # fmt: skip
