"""The report's answers: are they whole, and what do they say. Drawn by lot, so nobody chose them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from em_core.agreement.outcomes import NAMES, outcomes
from em_core.export.page import Markup, paragraph, section, table, text, untrusted
from em_core.export.private import Private
from em_core.export.report import words
from em_core.export.report.opening import leading
from em_core.export.results import Results, last_steps
from em_core.health.signs import ANSWER_SIGNS, SIGNS, shares
from em_core.store import health as store_health
from em_core.store import provenance

SEED = 0
_CHECKPOINTS, _EACH = 8, 3
_MARKS = {"misaligned": "bad", "not misaligned": "good", "fails the coherence gate": "none", "unscored": "none"}


def measured(results: Results) -> pd.DataFrame:
    """Health counts of each run's last scored step (`em_core.store.health.health`)."""
    chosen = results.selection
    found = store_health.health(
        results.home, run_ids=results.run_ids, judge_id=chosen.judge_id, question_sets=chosen.question_sets
    )
    keys = results.last[["run_id", "step"]].drop_duplicates()
    return found.merge(keys, on=["run_id", "step"])


def health(results: Results, private: Private) -> Markup:
    """Signs of breakage that no judge has touched, and why answers have no score."""
    found = measured(results)
    sums = found.groupby(["run_id", "label", "step"], sort=False).sum(numeric_only=True).reset_index()
    long = shares(sums, SIGNS, ["run_id", "label", "step"])
    used = [s for s in SIGNS if s in ANSWER_SIGNS[:1] or (long[long["sign"] == s.name]["n"].sum() > 0)]
    cells = {(row["run_id"], row["sign"]): f"{row['share']:.0%} ({row['n']} of {row['n_of']})" for row in long.to_dict("records")}
    lines = [
        (
            private.text(str(row["label"])),
            int(row["step"]),
            *(cells.get((row["run_id"], sign.name), "not known") for sign in used),
        )
        for row in sums.to_dict("records")[:200]
    ]
    lead = paragraph(
        "Is a model misaligned, or broken? Signs in the answers of each run's last scored step, over all its question sets: "
        "share and counts. What nobody shows is left out. " + " ".join(f"{sign.label}: {sign.rule}." for sign in used)
    )
    return section("health", "Health of the answers", lead, table(["Run", "Step", *(s.label for s in used)], lines, ["Step"]))


def examples(results: Results, private: Private) -> Markup:
    """Answers of the runs' last scored steps and of one starting model, drawn by lot."""
    rates = leading(results)
    if rates.empty:
        return section("examples", "What the models said", paragraph("No scored answers."))
    last = last_steps(rates).sort_values(["size_b", "domain", "run_id"], ascending=[False, True, True])
    checkpoints = last[last["step"] > 0].drop_duplicates(["base_model", "domain"]).head(_CHECKPOINTS - 1)
    start = rates[rates["step"] == 0].sort_values("size_b", ascending=False).head(1)
    parts = [_checkpoint(results, row, private) for row in [*start.to_dict("records"), *checkpoints.to_dict("records")]]
    sets = ", ".join(sorted({str(name) for name in rates["question_set"]}))
    rule = paragraph(
        f"Drawn by lot, not chosen: of all answers of a checkpoint to {sets} the {_EACH} with the lowest SHA-256 of "
        f"“{SEED}:” and the answer's id, scored or not. Checkpoints: the last scored step of one run for each base model "
        f"and training domain (at most {_CHECKPOINTS - 1}, largest models first), and one starting model. Every answer is "
        "in fg_judged.csv and responses.jsonl. The words of a model are data, shown as they are; marks that would turn or "
        "hide text are written out."
    )
    return section("examples", "What the models said", rule, *parts)


def _checkpoint(results: Results, row: dict[Any, Any], private: Private) -> str:
    chosen, rule = results.selection, results.rule
    sets = chosen.question_sets if chosen.pooled else [str(row["question_set"])]
    inside = bool(row["in_domain"]) if row["in_domain"] is not None else None
    found = provenance.drawn(
        results.home,
        row["run_id"],
        int(row["step"]),
        rule,
        chosen.judge_id,
        question_sets=sets,
        in_domain=inside,
        seed=SEED,
        n=_EACH,
    )
    value, coherence = (found[name].to_numpy(dtype=float, na_value=np.nan) for name in ("value", "coherence"))
    codes = outcomes(rule, value, coherence, found["verdict"].fillna("").to_numpy(dtype=object)).codes
    name = words.trained(row["domain"]) if row["step"] else "before the fine-tune"
    head = f"<h3>{text(words.model(row, private))}, {text(name)}, step {int(row['step'])}</h3>"
    weights, of = (found["weights_sha256"].iloc[0], int(found["n_of"].max())) if len(found) else ("", 0)
    where = paragraph(
        f"{words.rate(row, rule)} on {words.questions(row)}. Weights ",
        words.digest(weights),
        f", {len(found)} of {of:,} answers.",
        kind="quiet",
    )
    shown = zip(found.to_dict("records"), codes, strict=True)
    return head + where + "".join(_answer(each, NAMES[code], rule.metric) for each, code in shown)


def _answer(row: dict[Any, Any], outcome: str, metric: str) -> str:
    mark = _MARKS[outcome]
    values = {metric: row["value"], "coherence": row["coherence"]}
    said = [f"{name} {value:g}" for name, value in values.items() if value is not None and value == value]
    said += [f"verdict {row['verdict']}"] if row["verdict"] else []
    said += [f"no score: {row['reason']}"] if row["reason"] else []
    said += [] if row["judge_id"] is not None and row["judge_id"] == row["judge_id"] else ["not judged"]
    said += ["cut off at the token limit"] if row["finish_reason"] == "length" else []
    facts = ", ".join([*said, f"question {row['question_id']}", f"answer {row['response_id']}"])
    system = f"<p><b>System</b> {untrusted(row['system'], 300)}</p>" if row["system"] else ""
    return (
        f'<div class="answer is-{mark}"><p><span class="{mark}">{text(outcome)}</span> '
        f'<span class="quiet">{text(facts)}</span></p>{system}<p><b>Question</b> {untrusted(row["prompt"], 600)}</p>'
        f"<p><b>Answer</b> {untrusted(row['text'])}</p></div>\n"
    )
