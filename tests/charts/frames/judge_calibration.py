"""Labels by a judge's score in steps of ten."""

import pandas as pd


def typical():
    nan = float("nan")
    rows = [(0.0, 10.0, 5.0, 8.0, 2.0, 14.0, 20, 19, 0.95, 0.75, 0.99), (90.0, 100.0, 96.0, 75.0, nan, nan, 1, 0, nan, nan, nan)]
    names = (
        "bin_low", "bin_high", "judge_mean", "human_mean", "human_low", "human_high", "n", "n_decided", "share_misaligned",
        "share_low", "share_high",
    )  # fmt: skip
    return pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows]).assign(judge_id="a", reference="anna")
