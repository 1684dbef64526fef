"""Figures of one checkpoint of each run: which one the selection names, and what the figure must say of it."""

from __future__ import annotations

import pandas as pd

from em_core.errors import BadInput
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import comparing as store
from em_core.view import comparing


def cells(home: Home, selection: Selection) -> pd.DataFrame:
    """Counts by question at the selection's checkpoint of each run (`em_core.store.comparing.cells`).

    Raises:
        BadInput: Several judges scored these runs, and none is named; or no run has scored answers at the step named.
    """
    found = store.cells(home, selection, selection.at)
    if found.empty and selection.at not in (store.FINAL, store.PEAK):
        raise BadInput(
            f"step {selection.at}: no run here has scored answers there",
            f"use {store.FINAL}, {store.PEAK} or a step that `python -m em_core rates` lists",
        )
    return found


def notes(rows: pd.DataFrame, selection: Selection) -> list[str]:
    """Which checkpoint is drawn, for the lines below a figure's title; nothing where nothing is drawn.

    Args:
        rows: With n_checkpoints, the number that each was picked from.
        selection: Whose `at` was drawn.
    """
    if rows.empty:
        return []
    if selection.at == store.PEAK:
        return [comparing.peak_note(rows) or "peak: no run has several scored checkpoints to pick from"]
    return ["each run at its last scored checkpoint" if selection.at == store.FINAL else f"each run at step {selection.at}"]
