"""Published rates next to one's own: which belong together, and whether they differ by more than chance.

A published row belongs to one of ours when all of this agrees:

* the definition (the same rule, whatever its name);
* the training domain (``bad_medical`` is medical, ``risky_financial`` financial; at step 0 it does not matter);
* the base model: the same family and parameters within 15 %; where a size is not known, the same name;
* the checkpoint: a published final model and our final one, a published step and ours at that step, a published peak
  (its label says so) and our peak.

Questions and judges may differ; both sides' are named, and of several of our question sets the one of the same name is
taken, else one outside the training domain. What matches nothing stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from em_core import definitions, domain_names
from em_core.errors import BadInput
from em_core.selection import Selection
from em_core.stats import benjamini_hochberg, fisher_p, mover, wilson

SIZES_ALIKE = 1.15
COLUMNS = [
    "study", "label", "source", "definition", "judge", "base_model", "size_b", "domain", "step", "question_set", "n_total",
    "n_misaligned", "base", "em_rate", "ci_low", "ci_high", "own_label", "own_run_id", "own_step", "own_question_set",
    "own_judge", "own_misaligned", "own_base", "own_rate", "own_low", "own_high", "difference", "difference_low",
    "difference_high", "p", "p_adjusted", "outcome", "note",
]  # fmt: skip
ALONE = "nothing of yours matches"
_WORD = re.compile(r"[a-z]+")


def same_model(a: Mapping[Any, Any], b: Mapping[Any, Any]) -> bool:
    """Whether two rows (base_model, size_b) are of the same family and size."""
    names = [str(row["base_model"]).lower().rsplit("/", 1)[-1] for row in (a, b)]
    sizes = [float(row["size_b"]) if row["size_b"] is not None and not pd.isna(row["size_b"]) else 0.0 for row in (a, b)]
    families = [found.group() if (found := _WORD.search(name)) else name for name in names]
    if min(sizes) > 0:
        return families[0] == families[1] and max(sizes) / min(sizes) <= SIZES_ALIKE
    return bool(names[0]) and names[0] == names[1]


def of_definition(published: pd.DataFrame, definition: str) -> pd.DataFrame:
    """The published rows under this rule, whatever they call it."""
    wanted = definitions.get(definition).expression
    return published[[_expression(name) == wanted for name in published["definition"]]]


def beside(published: pd.DataFrame, own: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Each published rate of the definition with ours, where one belongs to it (see the module's docstring).

    The published interval is Wilson's over its counts (none where no counts are known). A difference's interval comes from both
    sides' intervals (Newcombe's method 10), so ours counts with its questions and runs; p is Fisher's exact test of
    the two proportions, which takes answers as independent, corrected over all rows (Benjamini-Hochberg). "Differs" needs both.

    Args:
        published: Rows with the columns of `em_core.reference.COLUMNS`.
        own: `em_core.view.comparing.pooled` by model and domain.
        selection: Names the definition.

    Returns:
        One row per published rate (`COLUMNS`), those with a match first; rates 0-1, differences ours minus theirs.
    """
    rule = definitions.get(selection.definition)
    base_of = "n_coherent" if rule.denominator == "coherent" else "n_scored"
    ours = own[own["em_rate"].notna()].to_dict("records")
    rows = []
    for item in of_definition(published, selection.definition).to_dict("records"):
        row: dict[str, Any] = {**{c: item.get(c) for c in COLUMNS}, "base": item[base_of], "outcome": ALONE}
        row["ci_low"], row["ci_high"] = _published_interval(item, base_of)
        match = _match(item, ours)
        if match is not None:
            row |= {
                "own_label": match["label"], "own_run_id": match["run_id"], "own_step": match["step"],
                "own_question_set": match["question_set"], "own_judge": match["judge_id"], "own_base": match[base_of],
                "own_misaligned": match["n_misaligned"], "own_rate": match["em_rate"], "own_low": match["ci_low"],
                "own_high": match["ci_high"],
            }  # fmt: skip
            row |= _difference(row)
        rows.append(row)
    adjusted = benjamini_hochberg([row.get("p") for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        row["p_adjusted"] = p
        if row["own_rate"] is not None:
            row["outcome"] = _outcome(row)
    out = pd.DataFrame(rows, columns=COLUMNS)
    return out.sort_values("own_rate", key=lambda s: s.isna(), kind="stable", ignore_index=True)


def as_rates(published: pd.DataFrame, selection: Selection, own: pd.DataFrame) -> pd.DataFrame:
    """Published final rates of the definition and of our domains as rows for the scaling curve: rate columns and ``study``."""
    base_of = "n_coherent" if selection.rule.denominator == "coherent" else "n_scored"
    rows = of_definition(published, selection.definition)
    spelled = {domain_names.key(name): name for name in sorted(own["domain"].dropna().unique())}
    rows = rows[rows["em_rate"].notna() & rows["step"].isna() & rows["domain"].map(domain_names.key).isin(spelled)]
    rows = rows[rows["size_b"] > 0].drop_duplicates(["study", "base_model", "domain", "question_set"])
    bounds = [_published_interval(item, base_of) for item in rows.to_dict("records")]
    return rows.assign(
        domain=rows["domain"].map(lambda name: spelled[domain_names.key(name)]),
        ci_low=[b[0] for b in bounds], ci_high=[b[1] for b in bounds], run_id=None, in_domain=False,
        definition=selection.rule.name, interval="wilson", judge_id=rows["judge"],
    )  # fmt: skip


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows as people read them, as texts: study, model, both rates with interval and counts, judges, outcome."""
    items = rows.to_dict("records")
    return pd.DataFrame(
        {
            "Study": [r["study"] for r in items],
            "Model": [r["label"] for r in items],
            "Published": [_rate(r["em_rate"], r["ci_low"], r["ci_high"], r["n_misaligned"], r["base"]) for r in items],
            "Yours": [_rate(r["own_rate"], r["own_low"], r["own_high"], r["own_misaligned"], r["own_base"], "") for r in items],
            "Outcome": [r["outcome"] for r in items],
            "Difference, points": [_points(r) for r in items],
            "p corrected": ["" if pd.isna(r["p_adjusted"]) else f"{r['p_adjusted']:.2g}" for r in items],
            "Its judge": [r["judge"] for r in items],
            "Your judge": [r["own_judge"] or "" for r in items],
            "Its questions": [r["question_set"] for r in items],
            "Your questions": [r["own_question_set"] or "" for r in items],
            "Your runs": [r["own_label"] or "" for r in items],
            "Note": [r["note"] for r in items],
            "Source": [r["source"] for r in items],
        }
    )


def _expression(name: str) -> str:
    try:
        return definitions.get(name).expression
    except BadInput:
        return ""


def _published_interval(item: Mapping[Any, Any], base_of: str) -> tuple[float, float]:
    if pd.isna(item["n_misaligned"]) or pd.isna(item[base_of]):
        return float("nan"), float("nan")
    return wilson(float(item["n_misaligned"]), float(item[base_of]))


def _match(item: Mapping[Any, Any], ours: list[dict[Any, Any]]) -> dict[Any, Any] | None:
    if pd.isna(item["em_rate"]):
        return None
    start = not pd.isna(item["step"]) and int(item["step"]) == 0
    found = []
    for row in ours:
        at = row["step"]
        if not pd.isna(item["step"]) and (at is None or pd.isna(at) or int(at) != int(item["step"])):
            continue
        if pd.isna(item["step"]) and (at == 0 or ("peak" in str(item["label"]).lower()) != (row["n_checkpoints"] > 1)):
            continue
        if (start or domain_names.key(row["domain"]) == domain_names.key(item["domain"])) and same_model(row, item):
            found.append(row)
    best = sorted(found, key=lambda r: (r["question_set"] != item["question_set"], bool(r["in_domain"]), str(r["question_set"])))
    return best[0] if best else None


def _difference(row: Mapping[str, Any]) -> dict[str, Any]:
    """Ours minus theirs, its interval (from both intervals) and Fisher's p; without counts only the difference."""
    own, theirs = float(row["own_rate"]), float(row["em_rate"])
    found: dict[str, Any] = {"difference": own - theirs}
    if np.isnan(row["ci_low"]) or pd.isna(row["own_low"]):
        return found
    low, high = mover(theirs, row["ci_low"], row["ci_high"], own, row["own_low"], row["own_high"])
    counts = (int(row[name]) for name in ("n_misaligned", "base", "own_misaligned", "own_base"))
    return {**found, "difference_low": float(low), "difference_high": float(high), "p": fisher_p(*counts)}


def _outcome(row: Mapping[str, Any]) -> str:
    if row["p_adjusted"] is None:
        return "no counts published: not tested"
    if row["p_adjusted"] < 0.05 and (row["difference_low"] > 0 or row["difference_high"] < 0):
        return "yours is higher" if row["difference"] > 0 else "yours is lower"
    return "not told apart"


def _rate(rate: Any, low: Any, high: Any, misaligned: Any, base: Any, nothing: str = "no estimate") -> str:
    if rate is None or pd.isna(rate):
        return nothing
    between = "" if low is None or pd.isna(low) else f" ({low:.0%}-{high:.0%})"
    counts = ", no counts" if pd.isna(misaligned) or pd.isna(base) else f", {int(misaligned)} of {int(base):,}"
    return f"{rate:.1%}{between}{counts}"


def _points(row: Mapping[Any, Any]) -> str:
    if row["difference"] is None or pd.isna(row["difference"]):
        return ""
    if pd.isna(row["difference_low"]):
        return f"{100 * row['difference']:+.0f}"
    return f"{100 * row['difference']:+.0f} ({100 * row['difference_low']:+.0f} to {100 * row['difference_high']:+.0f})"
