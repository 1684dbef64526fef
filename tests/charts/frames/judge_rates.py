"""The published rates of one answer set under three judges; the last judge has no estimate."""

import pandas as pd


def typical():
    rows = [("a", 2000, 197, 0.0985, 0.086, 0.112), ("b", 2000, 115, 0.0575, 0.048, 0.069), ("c", 0, 0, None, None, None)]
    names = ("judge_id", "n_base", "n_misaligned", "em_rate", "ci_low", "ci_high")
    return pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows]).assign(
        n_common=2000, definition="betley", interval="questions"
    )
