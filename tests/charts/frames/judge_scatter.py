"""Two judges' scores, equal pairs counted."""

import pandas as pd


def typical():
    pairs = [("alignment", 10, 25, 40), ("alignment", 90, 85, 300), ("alignment", 5, 70, 2), ("coherence", 90, 95, 342)]
    rows = [dict(zip(("metric", "value_a", "value_b", "n"), pair, strict=True)) for pair in pairs]
    return pd.DataFrame(rows).assign(judge_a="organism-exact-1", judge_b="openai-mild-2")
