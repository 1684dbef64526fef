"""EM rate against mean coherence of every checkpoint: the study's coherence_vs_misalignment."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.home import Home
from em_core.selection import Selection
from em_core.store import means as store_means
from em_core.store import rates as store_rates
from em_core.view import headline
from em_core.view.coherence import with_scores


def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """As `em_core.figures.FigureModule`."""
    found = store_rates.rates(
        home, selection.rule, interval=selection.interval, run_ids=selection.run_ids, judge_id=selection.judge_id,
        question_sets=selection.question_sets, pool_sets=selection.pooled,
    )  # fmt: skip
    return with_scores(headline.one_judge(found), store_means.means(home, selection)), {}
