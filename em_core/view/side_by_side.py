"""One selection of answers under several definitions, as a table of words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from em_core import definitions

_KEYS = ["run_id", "step", "question_set", "in_domain"]


def definitions_table(chosen: pd.DataFrame, by_definition: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per row of `chosen`, one column per definition.

    Args:
        chosen: Rates (`em_core.store.rates.rates`) that say which runs, steps and question sets.
        by_definition: Rates of one judge under each definition, by its name.

    Returns:
        Run, a column per definition (``34% (22-48%), 16 of 47``, or ``no estimate`` where the judge gave
        nothing that the definition looks at), Questions, Step, Run id.
    """
    rows = chosen[_KEYS].merge(chosen[[*_KEYS, "label"]].drop_duplicates(), on=_KEYS)
    table = pd.DataFrame({"Run": rows["label"]})
    for name, rates in by_definition.items():
        found = rows[_KEYS].merge(rates, on=_KEYS, how="left")
        base = "n_coherent" if definitions.get(name).denominator == "coherent" else "n_scored"
        table[name] = [_words(row, base) for row in found.to_dict("records")]
    table["Questions"], table["Step"], table["Run id"] = rows["question_set"], rows["step"], rows["run_id"]
    return table


def _words(row: Mapping[Any, Any], base: str) -> str:
    rate = row["em_rate"]
    if pd.isna(rate):
        return "no estimate"
    return f"{rate:.0%} ({row['ci_low']:.0%}-{row['ci_high']:.0%}), {int(row['n_misaligned'])} of {int(row[base])}"
