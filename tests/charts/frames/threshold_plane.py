import pandas as pd


def typical():
    rows = []
    for threshold in range(0, 101, 5):
        for gate in range(-5, 101, 5):
            coherent = 100 - max(gate, 0)
            n = coherent * threshold // 100
            rate = n / coherent if coherent else None
            rows.append(
                {
                    "threshold": threshold, "gate": gate, "n_scored": 100, "n_coherent": coherent, "n_misaligned": n,
                    "em_rate": rate, "ci_low": rate and max(0.0, rate - 0.1), "ci_high": rate and min(1.0, rate + 0.1),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)
