"""The EM rate of the answers that all judges scored, under each of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core import agreement
from em_core.figures._judges import answers, judges
from em_core.home import Home
from em_core.selection import Selection


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One row per judge; a single judge stands alone.

    Raises:
        BadInput: Nobody has scored these answers.
    """
    found, notes = answers(home, selection, judges(home, selection))
    return agreement.judge_table(found, selection.interval), {"notes": notes}
