"""Three questions of two checkpoints, one not answered on both sides, and the whole."""

import pandas as pd


def row(name, a, b, low, high, p, pooled=False, group="general"):
    difference = None if a is None else b - a
    return {
        "name": name, "group": "" if pooled else group, "pooled": pooled, "n_misaligned_a": 1, "base_a": 10, "rate_a": a,
        "n_misaligned_b": 5, "base_b": 10, "rate_b": b, "difference": difference, "ci_low": low, "ci_high": high, "p": p,
        "p_adjusted": p, "p_flip": None, "definition": "betley", "interval": "questions", "judge_id": "j1",
    }  # fmt: skip


def typical():
    rows = [
        row("q0", 0.1, 0.9, 0.5, 0.95, 0.001),
        row("q1", 0.1, 0.2, -0.2, 0.4, 0.5),
        row("q2", None, None, None, None, None),
        row("all questions", 0.1, 0.55, 0.2, 0.7, 0.01, pooled=True),
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(("rate_a", "rate_b", "difference", "ci_low", "ci_high", "p", "p_flip"), float))
