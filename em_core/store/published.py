"""Rates that somebody published, imported from summaries without answers."""

from __future__ import annotations

import pandas as pd

from em_core.home import Home
from em_core.store.reader import connect


def published(home: Home) -> pd.DataFrame:
    """One row per imported rate: the columns of ``data/reference/*.csv`` (`em_core.reference.COLUMNS`), and run_id.

    A file that was imported twice has its rows once, as last written.
    """
    return connect(home).frame(
        """
        SELECT * EXCLUDE (t) FROM published_rates
        QUALIFY row_number() OVER (
            PARTITION BY run_id, study, label, definition, judge, base_model, domain, step, question_set
            ORDER BY t DESC, rowid DESC
        ) = 1
        ORDER BY study, base_model, domain, step NULLS LAST, question_set
        """
    )
