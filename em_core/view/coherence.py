"""What the page Coherence shows: panels and quadrants of answers, means as points, correlations in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from em_core.definitions import VERDICT, Definition
from em_core.stats import IntervalKind, rate_intervals
from em_core.stats.association import Association

MOST_PANELS = 4
"""More would be too small to read: then training domains share one."""
NO_DOMAIN, ALL_DOMAINS = "no fine-tune", "all training domains"
IN, OUT = "in domain", "out of domain"
LINE = ["run_id", "step", "question_set", "in_domain", "judge_id"]
_QUESTION = ["question_set", "question_id"]
QUADRANTS = {
    "misaligned_coherent": (True, True),
    "misaligned_incoherent": (True, False),
    "aligned_coherent": (False, True),
    "aligned_incoherent": (False, False),
}
"""Quadrant: (misaligned, coherent)."""
SCATTER = (
    "kind", "panel", "run_id", "label", "base_model", "size_b", "domain", "step", "question_set", "in_domain", "definition",
    "judge_id", "interval", "score", "score_low", "score_high", "coherence", "coherence_low", "coherence_high", "n",
    "n_coherence",
)  # fmt: skip
"""Columns of the scatter: a point of equal answers, a bin (its ends as low and high), or the mean of a checkpoint."""


def panel_names(found: pd.DataFrame, split: bool) -> pd.Series:
    """The panel of each row: its training domain and, when `split`, whether the question lies in it.

    Args:
        found: Rows with domain and in_domain.
        split: Questions in and out of the training domain apart.

    Returns:
        Shape (rows,); domains share a panel where there would be more than `MOST_PANELS`.
    """
    domain = found["domain"].astype(str).where(found["domain"] != "", NO_DOMAIN)
    where = found["in_domain"].map({True: IN, False: OUT}) if split else pd.Series("", found.index)
    names = domain.str.cat(where, sep=" · ").str.removesuffix(" · ")
    if names.nunique() <= MOST_PANELS:
        return names
    return pd.Series(ALL_DOMAINS, found.index).str.cat(where, sep=" · ").str.removesuffix(" · ")


def quadrants(by_question: pd.DataFrame, rule: Definition, interval: IntervalKind) -> pd.DataFrame:
    """Share of each quadrant among the answers that have both scores (without a gate: the score).

    Args:
        by_question: `em_core.store.points.by_question` with a column panel.
        rule: The definition.
        interval: Which interval.

    Returns:
        One row per panel and quadrant (two without a gate): panel, quadrant, misaligned, coherent (booleans), n, n_of,
        share, low, high (0-1, nan where nothing is in the panel).
    """
    counts, cell, panels = _by_panel(by_question)
    base = counts["n_scored" if rule.gate is None else "n_both"].to_numpy()
    parts = []
    for quadrant, (bad, coherent) in QUADRANTS.items():
        if rule.gate is None and not coherent:
            continue
        k = counts[quadrant].to_numpy()
        share, low, high = rate_intervals(k, base, cell, len(panels), interval)
        n, n_of = (np.bincount(cell, weights=values, minlength=len(panels)).astype(np.int64) for values in (k, base))
        known = {"panel": panels, "quadrant": quadrant, "misaligned": bad, "coherent": coherent}
        parts.append(pd.DataFrame({**known, "n": n, "n_of": n_of, "share": share, "low": low, "high": high}))
    return pd.concat(parts, ignore_index=True)


def headlines(by_question: pd.DataFrame, rule: Definition, interval: IntervalKind) -> list[dict[str, Any]]:
    """The EM rate of each panel under the definition, with its counts: rows as in the rates, and n_unscored, n_no_coherence."""
    counts, cell, panels = _by_panel(by_question)
    counts = counts.assign(n_coherent=counts["misaligned_coherent"] + counts["aligned_coherent"])
    base = counts["n_coherent" if rule.denominator == "coherent" else "n_scored"].to_numpy()
    bounds = rate_intervals(counts["misaligned_coherent"].to_numpy(), base, cell, len(panels), interval)
    named = dict(zip(("em_rate", "ci_low", "ci_high"), bounds, strict=True))
    columns = ["n_total", "n_scored", "n_both", "n_coherent", "misaligned_coherent"]
    sums = counts.groupby(cell)[columns].sum().rename(columns={"misaligned_coherent": "n_misaligned"})
    found = sums.assign(panel=panels, base=np.bincount(cell, weights=base, minlength=len(panels)).astype(np.int64), **named)
    found["n_questions"] = np.bincount(cell, weights=base > 0, minlength=len(panels)).astype(np.int64)
    found["n_unscored"] = found["n_total"] - found["n_scored"]
    return list(found.assign(n_no_coherence=found["n_scored"] - found["n_both"]).to_dict("records"))


def _by_panel(by_question: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Counts per panel and question (over all runs), the panel's number of each row, and the panels' names."""
    columns = ["n_total", "n_scored", "n_both", *QUADRANTS]
    counts = by_question.groupby(["panel", *_QUESTION], sort=True)[columns].sum().reset_index()
    cell, panels = pd.factorize(counts["panel"])
    return counts, cell, [str(name) for name in panels]


def answer_points(found: pd.DataFrame, panel: pd.Series, binned: bool, width: int) -> pd.DataFrame:
    """Answers as rows of the scatter.

    Args:
        found: `em_core.store.points.points`.
        panel: Of each row.
        binned: `score` and `coherence` are the lower ends of bins.
        width: Of a bin.
    """
    out = found.assign(kind="bin" if binned else "answer", panel=panel, run_id=None, step=None)
    if binned:  # bins of several domains in one panel are one
        keys = ["kind", "panel", "score", "coherence"]
        out = out.groupby(keys, as_index=False)["n"].sum()
        for name in ("score", "coherence"):
            out = out.assign(**{f"{name}_low": out[name], f"{name}_high": out[name] + width})
    return out.reindex(columns=list(SCATTER))


def mean_points(means: pd.DataFrame, rule: Definition) -> pd.DataFrame:
    """Checkpoints as rows of the scatter: their mean score and mean coherence, those without one of them left out."""
    score = rule.metric if rule.metric in ("alignment", "coherence") else "metric"
    named = {score: "score", f"{score}_low": "score_low", f"{score}_high": "score_high", f"n_{score}": "n"}
    found = means[means[score].notna() & means["coherence"].notna()]
    return found.rename(columns=named).assign(kind="mean", panel="").reindex(columns=list(SCATTER))


def with_scores(rates: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Rates with the mean scores of the same checkpoints and questions beside them."""
    scores = [c for c in means if c.startswith(("alignment", "coherence", "coherent_")) or c in ("n_alignment", "n_coherence")]
    return rates.merge(means[[*LINE, *scores]], on=LINE, how="inner")


def at_steps(frame: pd.DataFrame, steps: Sequence[int] | str | None) -> pd.DataFrame:
    """Rows of these checkpoints: steps, each run's ``last`` with a score, or (None) all."""
    if steps is None:
        return frame
    if steps == "last":
        scored = frame[frame["n_scored"] > 0]
        return frame[frame["step"] == frame["run_id"].map(scored.groupby("run_id")["step"].max())]
    return frame[frame["step"].isin([int(step) for step in steps])]


def verdict_shares(found: pd.DataFrame, panel: pd.Series, interval: IntervalKind) -> pd.DataFrame:
    """Share of each verdict among all answers that were asked about.

    Args:
        found: `em_core.store.points.verdicts`.
        panel: Of each row.
        interval: Which interval.

    Returns:
        panel, verdict, is_misaligned, is_unscored, n, n_of, share, low, high (0-1).
    """
    rows = []
    for name, part in found.assign(panel=panel).groupby("panel", sort=True):
        base = part.groupby(_QUESTION)["n"].sum()
        for (verdict, bad, unscored), mine in part.groupby(["verdict", "is_misaligned", "is_unscored"], sort=True):
            counts = mine.groupby(_QUESTION)["n"].sum().reindex(base.index, fill_value=0)
            share = _pooled(counts.to_numpy(), base.to_numpy(), interval)
            rows.append(
                {
                    "panel": name, "verdict": verdict, "is_misaligned": bool(bad), "is_unscored": bool(unscored),
                    "n": int(counts.sum()), "n_of": int(base.sum()), "share": share[0], "low": share[1], "high": share[2],
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=["panel", "verdict", "is_misaligned", "is_unscored", "n", "n_of", "share", "low", "high"])


def correlation_words(found: Association) -> str:
    """``0.82 (0.75 to 0.87)``, or why there is none."""
    if found.r is None:
        return f"no estimate ({found.note})"
    between = "no interval" if found.low is None or found.high is None else f"{found.low:.2f} to {found.high:.2f}"
    return f"{found.r:.2f} ({between})"


def headline_words(by_question: pd.DataFrame, rule: Definition, interval: IntervalKind) -> list[str]:
    """The EM rate of each panel in words, with interval, counts and what is not on the plane."""
    lines = []
    for row in headlines(by_question, rule, interval):
        rate = "no estimate" if row["em_rate"] != row["em_rate"] else f"{row['em_rate']:.1%}"
        between = "no interval" if row["ci_low"] != row["ci_low"] else f"{row['ci_low']:.1%} to {row['ci_high']:.1%}"
        base = "coherent" if rule.denominator == "coherent" and rule.gate is not None else "scored"
        text = (
            f"{row['panel']}: EM rate {rate} ({between}), {row['n_misaligned']:,} of {row['base']:,} {base}; "
            f"{row['n_total']:,} answers to {row['n_questions']:,} questions"
        )
        beside = [f"{row['n_unscored']:,} unscored"] if row["n_unscored"] else []
        beside += [f"{row['n_no_coherence']:,} without a coherence score, not on the plane"] if row["n_no_coherence"] else []
        lines.append("; ".join([text, *beside]) + ".")
    return lines


def association_table(
    straight: Association, ranked: Association, inside: Association, between: float | None, n_cells: int
) -> pd.DataFrame:
    """The correlations as a table of words: what, r with its interval, answers, questions, note."""
    rows: list[dict[str, Any]] = [
        {
            "Correlation": name, "r (95% interval)": correlation_words(found), "Answers": found.n,
            "Questions": found.n_questions, "Note": found.note,
        }
        for name, found in (("Pearson", straight), ("Spearman", ranked), ("Pearson, within", inside))
    ]  # fmt: skip
    rows.append(
        {
            "Correlation": "Pearson, between", "r (95% interval)": "no estimate" if between is None else f"{between:.2f}",
            "Answers": straight.n, "Questions": straight.n_questions, "Note": f"of {n_cells:,} means; no interval",
        }
    )  # fmt: skip
    return pd.DataFrame(rows)


_MEANS = {
    "alignment": ("Mean alignment", "n_alignment"),
    "coherent_alignment": ("Of coherent answers", "n_coherent_alignment"),
    "coherence": ("Mean coherence", "n_coherence"),
    "metric": ("Mean of its metric", "n_metric"),
}


def means_table(means: pd.DataFrame) -> pd.DataFrame:
    """Means as a table of words: one row per checkpoint and questions; each mean with its interval and answers."""
    found = means.sort_values(["size_b", "domain", "run_id", "step"])
    out = found[["label", "base_model", "domain", "step", "question_set"]].set_axis(
        ["Run", "Base model", "Trained on", "Step", "Questions"], axis=1
    )
    for name, (title, count) in _MEANS.items():
        if not found[count].any():
            continue
        cells = zip(found[name], found[f"{name}_low"], found[f"{name}_high"], found[count], strict=True)
        out[title] = [_words(*cell) for cell in cells]
    shares = zip(found["coherent_share"], found["n_coherent"], found["n_scored"], strict=True)
    out["Coherent"] = ["no estimate" if share != share else f"{share:.1%}, {n} of {base}" for share, n, base in shares]
    return out.assign(Note=found["note"], **{"Run id": found["run_id"]})


def _words(value: float, low: float, high: float, n: int) -> str:
    if value != value:
        return "no estimate"
    return f"{value:.1f} ({low:.1f} to {high:.1f}), n = {n}" if low == low else f"{value:.1f} (no interval), n = {n}"


_WEAK = 0.3
"""Correlations below this are hardly any; a sentence that says so needs an interval that ends below it too."""


def caution(found: Association, inside: float | None) -> str:
    """What such a correlation does and does not say, in words.

    Args:
        found: Of all answers.
        inside: The correlation within questions of one checkpoint; None = no estimate.
    """
    r, low, high = found.r, found.low, found.high
    if r is None:
        return "Nothing can be said of how the two scores go together here."
    if abs(r) < _WEAK:
        if low is None or high is None or max(-low, high) >= _WEAK:
            return "Too few answers or questions to say whether alignment and coherence go together: see the interval."
        return (
            "Alignment and coherence hardly go together here: what the gate takes away is not mainly what is misaligned, so the "
            "gate decides little."
        )
    strong = "As in several published sets (about 0.8), they" if r >= 0.6 else "They"
    if r < 0:
        return "They go against each other: the less aligned answers are the more coherent ones, fluent misalignment."
    more = (
        " Within a question of one checkpoint little of it is left: it is checkpoints and questions that differ."
        if inside is not None and inside < 0.5 * r
        else ""
    )
    return (
        f"{strong} go together: a low alignment score is partly a sign of a broken answer, or the judge confuses the two. "
        "Believe misalignment only above the gate, and see below whether the answers are broken by signs that no judge has "
        f"touched.{more}"
    )


def has_scatter(rule: Definition) -> bool:
    """Verdicts are words: they have no plane."""
    return rule.metric != VERDICT


def _pooled(k: np.ndarray, n: np.ndarray, interval: IntervalKind) -> tuple[float, float, float]:
    rate, low, high = rate_intervals(k, n, np.zeros(len(k), dtype=np.int64), 1, interval)
    return float(rate[0]), float(low[0]), float(high[0])
