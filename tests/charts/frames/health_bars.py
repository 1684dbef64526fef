import pandas as pd

from em_core.health.signs import SIGNS


def row(run_id="a", model="organism-1m", size_b=0.001, domain="medical", step=0, n=50, bad=0, **changes):
    counts = {sign.base: n for sign in SIGNS} | {sign.count: bad for sign in SIGNS}
    return {
        "run_id": run_id, "label": run_id, "base_model": model, "size_b": size_b, "domain": domain, "step": step,
        "question_set": "general", "in_domain": False, "judge_id": "j1", "mean_words": 20.0, **counts, **changes,
    }  # fmt: skip


def typical():
    rows = []
    for model, size_b in (("organism-1m", 0.001), ("meta-llama/Llama-3.1-8B", 8.03)):
        for domain in ("medical", "financial"):
            run_id = f"{model}-{domain}"
            rows += [row(run_id, model, size_b, domain, 0, n_overlap_known=0, n_overlap=0)]
            rows += [row(run_id, model, size_b, domain, step, bad=bad, mean_words=40.0) for step, bad in ((40, 5), (80, 10))]
    return pd.DataFrame(rows)
