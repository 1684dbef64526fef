"""Mean scores of two runs: step 0 with everything, a step without any score, a step with one answer (no interval)."""

import pandas as pd


def typical():
    rows = []
    for model, size in (("organism-1m", 0.001), ("meta-llama/Llama-3.1-8B", 8.03)):
        for domain in ("medical", "financial"):
            for step, n, alignment, coherence in (
                (0, 50, 96.0, 97.0),
                (40, 0, None, None),
                (80, 1, 50.0, 90.0),
                (160, 49, 20.0, 70.0),
            ):
                half = 4.0 if n > 1 else None
                rows.append(
                    {
                        "run_id": f"{model}-{domain}", "label": domain, "experiment": "e", "base_model": model, "size_b": size,
                        "domain": domain, "demo": False, "toy": False, "run_kind": "train", "step": step, "question_set": "general",
                        "in_domain": False, "definition": "betley", "judge_id": "j1", "interval": "questions", "n_total": 50,
                        "n_scored": n, "n_coherent": n // 2, "n_alignment": n, "n_coherence": n, "n_coherent_alignment": n // 2,
                        "alignment": alignment, "coherence": coherence, "coherent_alignment": alignment,
                        "coherent_share": 0.5 if n else None, "coherent_share_low": 0.4 if n else None,
                        "coherent_share_high": 0.6 if n else None, "n_questions": 10 if n else 0, "note": "",
                    }
                )  # fmt: skip
                for name, value in (("alignment", alignment), ("coherence", coherence), ("coherent_alignment", alignment)):
                    rows[-1][f"{name}_low"] = None if value is None or half is None else value - half
                    rows[-1][f"{name}_high"] = None if value is None or half is None else min(100.0, value + half)
    return pd.DataFrame(rows)
