"""EM rate over model size at one checkpoint of each run, runs pooled, published rates beside."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core import reference
from em_core.figures import _checkpoint
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.published import published
from em_core.view import beside, comparing


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`.

    Published points stand beside models of the field only, not beside toys.

    Raises:
        BadInput: As `em_core.figures._checkpoint.cells`.
    """
    own = comparing.pooled(_checkpoint.cells(home, selection), selection)
    others = pd.concat([reference.read(), reference.typed(published(home))], ignore_index=True)
    rows, options = with_published(own, others, selection)
    return rows, {"notes": [*_checkpoint.notes(own, selection), *options.get("notes", ())]}


def with_published(own: pd.DataFrame, others: pd.DataFrame, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Our rows and, unless all are of toys, the published ones of the definition; a note says what hollow marks are."""
    beside_own = (
        beside.as_rates(others, selection, own) if len(own) and not own["toy"].fillna(False).astype(bool).all() else others[:0]
    )
    if beside_own.empty:
        return own, {}
    rows = pd.concat([own.assign(study=""), beside_own], ignore_index=True)
    return rows, {"notes": ["hollow: published rates under the same definition, other questions and judges, Wilson intervals"]}
