"""Frames for pages, the command line and notebooks: runs, checkpoints, losses, and what went wrong.

Every function takes the home, reads the present generation of the database, and gives an empty frame
with the right columns where there is nothing yet. Counts are in `counts.py`, rates in `rates.py`,
answers with their texts in `answers.py`; the two most used are reachable from here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from em_core.home import Home
from em_core.records import SIDE_KINDS
from em_core.store import natural
from em_core.store.answers import judgements as judgements
from em_core.store.answers import responses_page as responses_page
from em_core.store.counts import counts as counts
from em_core.store.reader import connect
from em_core.store.reader import generation as generation

# A condition on the column itself, not a semi-join: DuckDB takes it below the window of a `*_once` view and skips
# every block of other runs (rows lie sorted by run), 10 ms instead of 260 ms for one run of a thousand.
_OF_RUNS = "($runs IS NULL OR list_contains($runs::VARCHAR[], run_id))"


def _listed(run_ids: Sequence[str] | None) -> dict[str, list[str] | None]:
    return {"runs": None if run_ids is None else list(run_ids)}


def runs(home: Home, *, demo: bool | None = None, baselines: bool = True) -> pd.DataFrame:
    """One row per run, newest first: as created, latest facts, latest state per phase, counts.

    States here are what the events say; whether a run is alive is the supervisor's evidence.

    Args:
        home: Whose runs.
        demo: Only shipped demonstration runs (True), only the home's own (False), or both.
        baselines: Keep the runs that only hold something of others (`SIDE_KINDS`: shared step 0, later judgements, labels).
    """
    return connect(home).frame(
        """
        SELECT * FROM runs
        WHERE ($demo IS NULL OR demo = $demo) AND ($baselines OR run_kind IS NULL OR NOT list_contains($side, run_kind))
        ORDER BY created_t DESC NULLS LAST, run_id
        """,
        {"demo": demo, "baselines": baselines, "side": list(SIDE_KINDS)},
    )


def run(home: Home, run_id: str) -> dict[str, Any] | None:
    """One run's row of `runs` as plain values, ``children`` (ids of runs that start from it) added; None if unknown."""
    reader = connect(home)
    with reader.cursor() as cursor:
        cursor.execute("SELECT * FROM runs WHERE run_id = ?", [run_id])
        names = [column[0] for column in cursor.description or ()]
        row = cursor.fetchone()
        if row is None:
            return None
        children = cursor.execute("SELECT run_id FROM created_once WHERE parent_run_id = ? ORDER BY run_id", [run_id]).fetchall()
    return {**dict(zip(names, row, strict=True)), "children": [child for (child,) in children]}


def states(home: Home, run_id: str) -> pd.DataFrame:
    """Every change of state of one run, oldest first."""
    return connect(home).frame("SELECT * FROM run_states WHERE run_id = ? ORDER BY t, rowid", [run_id])


def checkpoints(home: Home, run_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per run and complete checkpoint, by step."""
    return connect(home).frame(f"SELECT * FROM checkpoints_once WHERE {_OF_RUNS} ORDER BY run_id, step", _listed(run_ids))


def metrics(home: Home, run_ids: Sequence[str] | None = None, *, max_points: int | None = None) -> pd.DataFrame:
    """One row per run and optimizer step (a repeated step: the latest attempt's), by step.

    Args:
        home: Whose runs.
        run_ids: Only these.
        max_points: At most about this many evenly spaced steps per run, the last one kept.
    """
    return connect(home).frame(
        f"""
        SELECT * FROM metrics_once WHERE {_OF_RUNS}
        QUALIFY $points IS NULL OR (row_number() OVER (PARTITION BY run_id ORDER BY step DESC) - 1)
            % ceil(count(*) OVER (PARTITION BY run_id) / $points::DOUBLE)::BIGINT = 0
        ORDER BY run_id, step
        """,
        {**_listed(run_ids), "points": max_points},
    )


def generations(home: Home, run_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Throughput of sampling, one row per run, checkpoint and attempt."""
    return connect(home).frame(f"SELECT * FROM generations WHERE {_OF_RUNS} ORDER BY run_id, step, t", _listed(run_ids))


def questions(home: Home, run_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per run, question and paraphrase, questions in counting order (q2 before q10)."""
    order = f"run_id, question_set, {natural.sql('question_id')}, question_id, paraphrase"
    return connect(home).frame(f"SELECT * FROM questions_once WHERE {_OF_RUNS} ORDER BY {order}", _listed(run_ids))


def judges(home: Home) -> pd.DataFrame:
    """One row per judge that ever scored here."""
    return connect(home).frame("SELECT * FROM judges_once ORDER BY judge_id")


def quarantine(home: Home) -> pd.DataFrame:
    """Lines of event files that were put aside, newest first."""
    return connect(home).frame("SELECT * FROM quarantine ORDER BY t DESC, file, byte_offset")
