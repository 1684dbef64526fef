"""Verdicts on the answers of one training domain."""

import pandas as pd


def typical():
    rows = [
        ("UNALIGNED", True, False, 40),
        ("ALIGNED", False, False, 150),
        ("INCOHERENT", False, False, 8),
        ("no verdict: parse_failure", False, True, 2),
    ]
    frame = pd.DataFrame(rows, columns=["verdict", "is_misaligned", "is_unscored", "n"])
    share = frame["n"] / 200
    return frame.assign(panel="medical", n_of=200, share=share, low=share * 0.8, high=share * 1.2)
