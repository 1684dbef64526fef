"""The published study's tables (the CS2881 replication's files): its columns first, then what they leave unsaid.

Like there, ``em_rate``, ``percent_em`` and ``percent_coherent`` are percent of answers, 0-100.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from em_core import spreadsheet
from em_core.charts.palette import size_label
from em_core.export.private import Private
from em_core.export.results import Results
from em_core.store import tables

SUMMARY = (
    "model_size", "domain", "final_step", "em_rate", "baseline_em_rate", "em_change",
    "ci_low_percent", "ci_high_percent", "n_total", "n_scored", "n_coherent", "n_misaligned",
    "baseline_ci_low_percent", "baseline_ci_high_percent", "baseline_n_total", "baseline_n_scored", "baseline_n_coherent",
    "baseline_n_misaligned", "interval", "definition", "rule", "judge_id", "question_set", "in_domain", "n_questions",
    "run_id", "label", "experiment", "base_model", "size_b", "toy", "note",
)  # fmt: skip
STEPS = (
    "step", "percent_em", "percent_coherent", "n_responses", "ci_low_percent", "ci_high_percent", "n_total", "n_scored",
    "n_coherent", "n_misaligned", "coherent_means", "interval", "definition", "rule", "judge_id", "question_set", "in_domain",
    "n_questions", "note",
)  # fmt: skip
JUDGED = (
    "step", "id", "question", "response", "aligned_score", "coherent_score",
    "response_id", "question_set", "question_id", "paraphrase", "sample", "cue", "in_domain", "system", "judge_id",
    "alignment_reason", "coherence_reason", "verdict", "verdict_reason", "extra_scores", "finish_reason", "n_tokens",
    "n_prompt_tokens", "seed", "decoding", "weights_sha256", "run_id", "answered_in_run", "t",
)  # fmt: skip


def summary(results: Results, path: Path, private: Private) -> None:
    """Write ``em_rates_summary.csv``: one row per run, question set and in_domain, its last scored step against step 0.

    Runs in training that have only their step 0 have no row yet, unless all are such.
    """
    rates = results.rates
    start = rates[rates["step"] == 0].set_index(["run_id", "question_set", "in_domain"])
    result = (results.last["step"] > 0) | (results.last["run_kind"] != "train")  # an imported starting model is itself the result
    rows = results.last[result] if result.any() else results.last
    rows = rows.sort_values(["size_b", "base_model", "domain", "run_id", "question_set", "in_domain"])
    spreadsheet.write(path, SUMMARY, (_summary(row, start, results, private) for row in rows.to_dict("records")))


def _summary(row: dict[Any, Any], start: pd.DataFrame, results: Results, private: Private) -> dict[str, Any]:
    key = (row["run_id"], row["question_set"], row["in_domain"])
    base: dict[str, Any] = start.loc[[key]].iloc[0].to_dict() if row["step"] > 0 and key in start.index else {}
    rate, before = _percent(row["em_rate"]), _percent(base.get("em_rate"))
    out = {**row, **_interval(row), "rule": results.rule.rule, "final_step": row["step"], "model_size": size_label(row["size_b"])}
    out |= {"em_rate": rate, "baseline_em_rate": before, "label": private.text(str(row["label"]))}
    out |= {"base_model": private.text(str(row["base_model"])), "experiment": private.text(str(row["experiment"] or ""))}
    out["em_change"] = None if rate is None or before is None else round(rate - before, 4)
    if base:
        out |= {f"baseline_{name}": value for name, value in _interval(base).items()}
        out |= {f"baseline_{name}": base[name] for name in ("n_total", "n_scored", "n_coherent", "n_misaligned")}
    return out


def steps(results: Results, run_id: str, path: Path) -> None:
    """Write a run's ``step_summary.csv``: one row per step, question set and in_domain."""
    gated, means = results.gated
    keys = ["run_id", "step", "question_set", "in_domain"]
    coherent = gated.set_index(keys)["n_coherent"]
    rows = results.rates[results.rates["run_id"] == run_id].sort_values(["question_set", "in_domain", "step"])

    def each() -> Iterator[dict[str, Any]]:
        for row in rows.to_dict("records"):
            n = coherent.get(tuple(row[key] for key in keys), math.nan)
            share = _percent(n / row["n_scored"]) if row["n_scored"] else None
            yield {
                **row, **_interval(row), "percent_em": _percent(row["em_rate"]), "percent_coherent": share, "n_coherent": n,
                "n_responses": row["n_total"], "coherent_means": means, "rule": results.rule.rule,
            }  # fmt: skip

    spreadsheet.write(path, STEPS, each())


def judged(results: Results, run_id: str, path: Path) -> None:
    """Write a run's ``fg_judged.csv``: one row per answer, its baseline's step 0 first, with the judge's scores."""
    found = tables.rows_of_run(results.home, run_id, results.selection.judge_id, results.selection.question_sets)
    inside = results.selection.in_domain

    def each() -> Iterator[dict[str, Any]]:
        for row in found:
            if inside is None or row["in_domain"] == inside:
                yield _judged(row)

    spreadsheet.write(path, JUDGED, each())


def _judged(row: dict[str, Any]) -> dict[str, Any]:
    extra = ";".join(f"{name}={value:g}" for name, value in (row["extra"] or {}).items())
    place = f"{row['question_id']}_p{row['paraphrase']}_s{row['sample']}" + (f"_{row['cue']}" if row["cue"] else "")
    return {
        **row, "id": f"step{row['step']}_{place}", "question": row["prompt"], "response": row["text"],
        "aligned_score": row["alignment"], "coherent_score": row["coherence"], "extra_scores": extra,
        "answered_in_run": row["source_run_id"],
    }  # fmt: skip


def _percent(rate: Any) -> float | None:
    return None if rate is None or rate != rate else round(100 * float(rate), 4)


def _interval(row: dict[Any, Any]) -> dict[str, float | None]:
    return {"ci_low_percent": _percent(row["ci_low"]), "ci_high_percent": _percent(row["ci_high"])}
