"""Two domains at three sizes of one family."""

import pandas as pd


def typical():
    return pd.DataFrame(
        [
            {
                "run_id": f"{size}-{domain}", "label": domain, "base_model": f"meta-llama/Llama-3-{size:g}B", "size_b": size,
                "domain": domain, "step": 100, "question_set": "general", "in_domain": False, "definition": "hw0",
                "judge_id": "j1", "n_total": 20, "n_scored": 20, "n_coherent": 20, "n_misaligned": int(20 * rate),
                "em_rate": rate, "ci_low": max(0.0, rate - 0.2), "ci_high": min(1.0, rate + 0.2), "interval": "questions",
            }
            for domain, rates in (("medical", (0.4, 0.2, 0.5)), ("financial", (0.45, 0.7, 0.85)))
            for size, rate in zip((1.24, 3.21, 8.03), rates, strict=True)
        ]
    )  # fmt: skip
