"""EM rate over the whole plane of thresholds: what every choice of two limits would say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from em_core.definitions import VERDICT, Definition
from em_core.errors import BadInput
from em_core.home import Home
from em_core.records import METRICS
from em_core.stats import IntervalKind, rate_intervals
from em_core.store.reader import connect

WIDTH = 5
"""Distance of two thresholds, points."""
NO_GATE = -WIDTH
"""The gate that every scored answer passes, with or without a coherence."""

# The place of a score on the grid 0, 5, ..., 100: from which threshold on it counts as misaligned,
# and up to which gate it passes. Exact on the grid for each of the four signs.
_FIRST = {"<": "floor({x} / $width) + 1", "<=": "ceil({x} / $width)"}
_LAST = {">": "ceil({x} / $width) - 1", ">=": "floor({x} / $width)"}
_CELLS = """
WITH wanted AS (
    SELECT DISTINCT unnest($runs::VARCHAR[]) AS run_id, unnest($steps::BIGINT[]) AS step,
           unnest($sets::VARCHAR[]) AS question_set, unnest($inside::BOOLEAN[]) AS in_domain
), places AS (
    SELECT DISTINCT source_run_id, wanted.step, wanted.question_set, domain, in_domain
    FROM wanted JOIN appearances AS shown ON shown.run_id = wanted.run_id AND (NOT is_baseline OR wanted.step = 0)
), topics AS (
    SELECT run_id, question_set, question_id, max(domain) AS topic FROM questions
    WHERE domain <> '' AND run_id IN (SELECT source_run_id FROM places) GROUP BY ALL
), counted AS (
    SELECT scores.run_id, scores.step, scores.question_set, question_id, ({first})::BIGINT AS first_threshold,
           coalesce(({last})::BIGINT, -1) AS last_gate, count(*) AS n
    FROM scores SEMI JOIN places
        ON source_run_id = scores.run_id AND places.step = scores.step AND places.question_set = scores.question_set
    WHERE judge_id = $judge AND {metric} IS NOT NULL AND run_id IN (SELECT source_run_id FROM places)
    GROUP BY ALL
), told AS (
    SELECT counted.*, topic FROM counted LEFT JOIN topics USING (run_id, question_set, question_id)
)
SELECT told.question_set || chr(31) || question_id AS question, first_threshold, last_gate, sum(n)::BIGINT AS n
FROM told SEMI JOIN places ON source_run_id = told.run_id AND places.step = told.step
    AND places.question_set = told.question_set
    AND coalesce(list_contains(string_split(domain, '+'), topic), false) = in_domain
GROUP BY ALL
"""


def plane(
    home: Home,
    definition: Definition,
    cells: Sequence[tuple[str, int, str, bool]],
    judge_id: str,
    interval: IntervalKind = "questions",
) -> pd.DataFrame:
    """The EM rate for every threshold and every gate, all else as in the definition.

    Args:
        home: Whose runs.
        definition: Its metric, signs and denominator are kept; its threshold and gate are varied. A
            rule that looks for high scores (``harm>=50``) cannot be drawn.
        cells: (run id, step, question set, in_domain), as rows of the rates are, whose answers are pooled; answers of a
            starting model that several runs share are counted once.
        judge_id: Whose scores.
        interval: As for `em_core.store.rates.rates`.

    Returns:
        One row per threshold (0, 5, ..., 100) and gate (the same, and `NO_GATE`): threshold, gate,
        n_scored, n_coherent, n_misaligned, em_rate, ci_low, ci_high (0-1, nan where the denominator
        is empty). Empty where nothing was scored.

    Raises:
        BadInput: The definition is over verdicts, or looks for high scores.
    """
    if definition.metric not in METRICS or definition.sign not in _FIRST:
        what = "verdicts have no thresholds" if definition.metric == VERDICT else f"{definition.expression} looks for high scores"
        raise BadInput(f"definition {definition.name!r}: {what}", "choose betley, turner, hw0 or a rule over alignment")
    last = _LAST.get(definition.gate_sign, _LAST[">"])
    sql = _CELLS.format(
        first=_FIRST[definition.sign].format(x=definition.metric), last=last.format(x="coherence"), metric=definition.metric
    )
    runs, steps, sets, inside = zip(*cells, strict=True) if cells else ((), (), (), ())
    values: dict[str, Any] = {
        "runs": list(runs), "steps": [int(step) for step in steps], "sets": list(sets),
        "inside": [bool(each) for each in inside], "judge": judge_id, "width": WIDTH,
    }  # fmt: skip
    counted = connect(home).frame(sql, values)
    return _rates(counted, definition, interval) if len(counted) else pd.DataFrame(columns=COLUMNS)


COLUMNS = ["threshold", "gate", "n_scored", "n_coherent", "n_misaligned", "em_rate", "ci_low", "ci_high"]


def _rates(cells: pd.DataFrame, definition: Definition, interval: IntervalKind) -> pd.DataFrame:
    codes, names = pd.factorize(cells["question"])
    n = 100 // WIDTH + 1
    # answers by question, first threshold (0..n: n = misaligned at no threshold) and last gate (-1..n-1, shifted by one)
    histogram = np.zeros((len(names), n + 1, n + 1), dtype=np.int64)
    first = np.clip(cells["first_threshold"].to_numpy(), 0, n)
    gate = np.clip(cells["last_gate"].to_numpy() + 1, 0, n)
    np.add.at(histogram, (codes, first, gate), cells["n"].to_numpy())
    passing = histogram[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]  # [question, first, gate]: pass this gate; gate 0 = none
    misaligned = passing.cumsum(axis=1)[:, :n, :]  # [question, threshold, gate]
    coherent = passing.sum(axis=1)  # [question, gate]
    scored = histogram.sum(axis=(1, 2))
    base = (
        np.broadcast_to(coherent[:, None, :], misaligned.shape)
        if definition.denominator == "coherent"
        else np.broadcast_to(scored[:, None, None], misaligned.shape)
    )
    cell = np.broadcast_to(np.arange(n * (n + 1)).reshape(n, n + 1), misaligned.shape)
    rate, low, high = rate_intervals(misaligned.ravel(), base.ravel(), cell.ravel(), n * (n + 1), interval)
    return pd.DataFrame(
        {
            "threshold": np.repeat(np.arange(n) * WIDTH, n + 1), "gate": np.tile((np.arange(n + 1) - 1) * WIDTH, n),
            "n_scored": scored.sum(), "n_coherent": np.tile(coherent.sum(axis=0), n),
            "n_misaligned": misaligned.sum(axis=0).ravel(), "em_rate": np.round(rate, 12), "ci_low": np.round(low, 12),
            "ci_high": np.round(high, 12),
        }
    )[COLUMNS]  # fmt: skip
