"""The demonstration: a grid of organism runs, from presets, and its table of final rates.

What ships in ``data/demo/`` is made from a home in which ``demo --grid full`` has finished:

    python -m em_core.demo HOME          copies the event files, renamed and marked as the demonstration
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Literal

import pandas as pd

from em_core import definitions, plan, specs_io
from em_core.errors import BadInput
from em_core.home import PROJECT, Home
from em_core.spec import RunSpec
from em_core.store import rates as store_rates
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.launch import Launched, launch

Grid = Literal["small", "full"]
_OVERRIDES: dict[Grid, list[str]] = {
    "small": ["base_model=organism-1m", "experiment=demo-small"],
    "full": ["experiment=demo-full"],
}


def specs(grid: Grid) -> list[RunSpec]:
    """The runs of a demonstration grid: 3 sizes x 2 domains (full) or 1 size x 2 domains (small)."""
    return specs_io.read_spec("organism-grid", _OVERRIDES[grid])


def start(home: Home, grid: Grid) -> list[Launched]:
    """Queue the grid's runs; those that exist already are left as they are."""
    home.writable("Running the demo")
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


def ship(home: Home, target: Path) -> list[str]:
    """Copy a finished grid's events into `target`, so that nobody's own runs collide with them.

    Every number, answer and score stays as it was written. Changed are the run ids (``demo-`` in
    front), the mark that it is the demonstration, and the host name, which is left out.

    Returns:
        The ids of the shipped runs.

    Raises:
        BadInput: The home has no finished run, or an unfinished one.
    """
    statuses = list_runs(home)
    if not statuses or any(status.state != "finished" for status in statuses):
        raise BadInput(
            f"{home.runs}: not a finished demonstration", "`python -m em_core --home DIR demo --grid full --wait` makes one"
        )
    folders = [path for path in sorted(home.runs.iterdir()) if (path / "events").is_dir()]
    shutil.rmtree(target, ignore_errors=True)
    for folder in folders:
        (target / f"demo-{folder.name}" / "events").mkdir(parents=True)
        for path in sorted((folder / "events").glob("*.jsonl")):
            lines = [_shipped(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
            text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in lines)
            (target / f"demo-{folder.name}" / "events" / path.name).write_text(text, encoding="utf-8")
    return [f"demo-{folder.name}" for folder in folders]


def _shipped(event: dict[str, object]) -> dict[str, object]:
    if event["kind"] == "run_created":
        event |= {"demo": True, "experiment": "demonstration"}
    elif event["kind"] == "run_facts":
        event |= {"host": "", "baseline_run_id": f"demo-{event['baseline_run_id']}"}
    return event


if __name__ == "__main__":
    print("\n".join(ship(Home(Path(sys.argv[1]).resolve()), PROJECT / "data" / "demo")))
