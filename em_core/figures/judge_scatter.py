"""Two judges' scores of the selected answers: the reference, and the judge that scored most of the same."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.agreement import frames
from em_core.figures._judges import two_judges
from em_core.home import Home
from em_core.selection import Selection


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row per pair of scores; the definition's threshold is drawn where the reference gives numbers.

    Raises:
        BadInput: Not two judges have scored these answers.
    """
    found, notes = two_judges(home, selection)
    first = found.raters[0]
    threshold = None if first.gives_words else first.rule.threshold
    return frames.points(found, 0, 1), {"threshold": threshold, "notes": notes}
