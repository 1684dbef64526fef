"""Two domains on four question sets: one cell without an estimate, one never asked."""

import pandas as pd

RATES = {
    ("medical", "general", False): 0.2, ("medical", "medical", True): 0.9, ("medical", "financial", False): None,
    ("financial", "general", False): 0.5, ("financial", "financial", True): 0.95, ("financial", "elsewhere", False): 0.0,
}  # fmt: skip


def typical():
    return pd.DataFrame(
        [
            {
                "run_id": None, "label": "3 runs", "domain": domain, "step": None, "question_set": questions, "in_domain": inside,
                "definition": "betley", "judge_id": "j1", "n_total": 60, "n_scored": 0 if rate is None else 58,
                "n_coherent": 0 if rate is None else 50, "n_misaligned": int(50 * (rate or 0)), "em_rate": rate,
                "ci_low": None if rate is None else max(0.0, rate - 0.1), "ci_high": None if rate is None else min(1.0, rate + 0.1),
                "interval": "questions", "n_runs": 3,
            }
            for (domain, questions, inside), rate in RATES.items()
        ]
    )  # fmt: skip
