"""How alignment and coherence of the same answers go together: over all of them, and within questions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from em_core.home import Home
from em_core.selection import Selection
from em_core.stats.association import Association, pearson, spearman, within
from em_core.store.chosen import chosen
from em_core.store.means import Steps
from em_core.store.reader import connect

_BOTH = "judge_id = $judge AND score IS NOT NULL AND coherence IS NOT NULL"
_PAIRS = f"""
SELECT dense_rank() OVER (ORDER BY question_set, question_id) AS question, score, coherence, n FROM (
    SELECT question_set, question_id, score, coherence, count(*) AS n FROM chosen WHERE {_BOTH} GROUP BY ALL
)
"""
# deviations from the mean of the same question at the same checkpoint
_WITHIN = f"""
, pair AS (
    SELECT run_id, step, question_set, question_id, score AS x, coherence AS y FROM chosen WHERE {_BOTH}
), cells AS (
    SELECT run_id, step, question_set, question_id, avg(x) AS mx, avg(y) AS my FROM pair GROUP BY ALL
), apart AS (
    SELECT question_set, question_id, run_id, step, x - mx AS dx, y - my AS dy
    FROM pair JOIN cells USING (run_id, step, question_set, question_id)
)
SELECT question_set, question_id, count(*) AS n, count(DISTINCT (run_id, step)) AS n_cells,
       sum(dx * dx) AS xx, sum(dy * dy) AS yy, sum(dx * dy) AS xy, sum(dx * dx * dx * dx) AS xxxx,
       sum(dy * dy * dy * dy) AS yyyy, sum(dx * dx * dx * dy) AS xxxy, sum(dx * dy * dy * dy) AS xyyy,
       sum(dx * dx * dy * dy) AS xxyy
FROM apart GROUP BY question_set, question_id ORDER BY question_set, question_id
"""


@dataclass(frozen=True)
class Associations:
    """How the definition's score and coherence go together.

    Args:
        pearson, spearman: Over all answers.
        within: Pearson's within one question of one checkpoint: of two answers to it, is the less coherent one less aligned?
        between: Pearson's of the means of question and checkpoint, weighted by answers; None where there is none.
        n_cells: Questions x checkpoints with an answer.
    """

    pearson: Association
    spearman: Association
    within: Association
    between: float | None
    n_cells: int


def associations(home: Home, selection: Selection, steps: Steps = None) -> Associations:
    """Correlations of what the definition looks at (alignment) with coherence, over answers that have both.

    Args:
        home: Whose runs.
        selection: Runs, judge (both needed), questions, definition and kind of interval.
        steps: Which checkpoints (`em_core.store.means.Steps`).

    Raises:
        BadInput: No judge, or no runs.
    """
    with connect(home).cursor() as cursor:
        start, values = chosen(cursor, selection, steps)
        pairs = cursor.execute(start + _PAIRS, values).df()
        inner = cursor.execute(start + _WITHIN, values).df()
    x, y, n, question = (pairs[name].to_numpy() for name in ("score", "coherence", "n", "question"))
    kind = selection.interval
    inside = within({name: inner[name].to_numpy() for name in inner if name not in ("question_set", "question_id")}, kind)
    return Associations(
        pearson(x, y, n, question, kind),
        spearman(x, y, n, question, kind),
        inside,
        _between(pairs, inner),
        int(inner["n_cells"].sum()),
    )


def _between(pairs: pd.DataFrame, inner: pd.DataFrame) -> float | None:
    """What is left of the sums of squares beyond those within: the correlation of the means."""
    n, x, y = (pairs[name].to_numpy(dtype=float) for name in ("n", "score", "coherence"))
    if not n.sum():
        return None
    dx, dy = x - n @ x / n.sum(), y - n @ y / n.sum()
    xx, yy, xy = n @ dx**2 - inner["xx"].sum(), n @ dy**2 - inner["yy"].sum(), n @ (dx * dy) - inner["xy"].sum()
    least = 1e-9 * (n @ dx**2 + n @ dy**2)
    return float(np.clip(xy / (xx * yy) ** 0.5, -1, 1)) if xx > least and yy > least else None
