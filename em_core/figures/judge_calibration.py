"""What people say of the answers to which a judge gives this or that score."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core import agreement
from em_core.errors import BadInput
from em_core.figures._judges import described, judges, of
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import labels as store_labels


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row per judge and step of ten points of its score.

    Raises:
        BadInput: Nobody has labelled, or no judge has scored, these answers.
    """
    by_judges, by_people = store_labels.against_judges(home, judges(home, selection), selection.rule, **of(home, selection))
    if not by_people.raters:
        raise BadInput("no labels of people yet", "label some answers on the page Label, or `labels import FILE`")
    notes = [f"{len(by_people.ids):,} labelled answers of {described(home, selection)}"]
    return agreement.calibration_table(by_judges, by_people, selection.interval), {"notes": notes}
