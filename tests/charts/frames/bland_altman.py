"""Differences of two judges, with bias and limits."""

import pandas as pd


def typical():
    points = [(17.5, 15, 40), (87.5, -5, 300), (37.5, 65, 2)]
    rows = [dict(zip(("mean", "difference", "n"), point, strict=True)) for point in points]
    limits = {"bias": 4.0, "bias_low": 2.0, "bias_high": 6.0, "lower": -20.0, "lower_low": -24.0, "lower_high": -16.0}
    upper = {"upper": 28.0, "upper_low": float("nan"), "upper_high": float("nan")}
    return pd.DataFrame(rows).assign(judge_a="a", judge_b="b", metric="alignment", n_answers=342, **limits, **upper)
