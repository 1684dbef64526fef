"""How far two judges are apart: the reference, and the judge that scored most of the same answers."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.agreement import frames
from em_core.figures._judges import two_judges
from em_core.home import Home
from em_core.selection import Selection


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row per mean and difference.

    Raises:
        BadInput: Not two judges have scored these answers.
    """
    found, notes = two_judges(home, selection)
    return frames.differences(found, 0, 1), {"notes": notes}
