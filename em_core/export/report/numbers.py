"""The report's tables of numbers: rates, the same answers under each definition, differences to the starting model."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core import definitions
from em_core.export.page import Markup, paragraph, section, table
from em_core.export.private import Private
from em_core.export.report import words
from em_core.export.results import Results
from em_core.stats import benjamini_hochberg, paired_by_name
from em_core.store.counts import counts
from em_core.view.side_by_side import definitions_table

MOST_ROWS = 200
_ORDER = ["size_b", "base_model", "domain", "run_id", "question_set", "in_domain"]


def rates(results: Results, private: Private) -> Markup:
    """The last scored step of every run beside its step 0."""
    frame = results.rates
    keys = ["run_id", "question_set", "in_domain"]
    start = {tuple(row[k] for k in keys): row for row in frame[frame["step"] == 0].to_dict("records")}
    rows, rule = results.last.sort_values(_ORDER), results.rule
    lines = []
    for row in rows.head(MOST_ROWS).to_dict("records"):
        before = start.get(tuple(row[k] for k in keys))
        lines.append(
            (
                private.text(str(row["label"])), words.model(row, private), words.trained(row["domain"]), words.questions(row),
                int(row["step"]), _percent(row["em_rate"]), words.between(row), int(row["n_misaligned"]), int(row["n_coherent"]),
                int(row["n_scored"]), int(row["n_total"]), int(row["n_questions"]), _percent(before["em_rate"]) if before else "",
                f"{int(before['n_misaligned'])} of {int(before['n_total'])}" if before else "", row["note"],
            )
        )  # fmt: skip
    numeric = [
        "Step",
        "EM rate",
        "Interval",
        "Misaligned",
        "Coherent",
        "Scored",
        "Answers",
        "Questions",
        "At step 0",
        "Step 0, n",
    ]
    head = ["Run", "Base model", "Trained on", "Question set", *numeric, "Note"]
    named = paragraph(
        f"Last scored step of every run. {rule.name}: {rule.rule}; {words.INTERVALS[results.selection.interval]}; judge "
        f"{results.selection.judge_id}. No estimate = no "
        f"{'coherent' if rule.denominator == 'coherent' else 'scored'} answer.",
        kind="quiet",
    )
    return section("rates", "Rates", named, table(head, lines, numeric), _more(rows, "em_rates_summary.csv"))


def side_by_side(results: Results, private: Private) -> Markup:
    """The same answers under every named definition, and the selection's own."""
    rows = results.last.sort_values(_ORDER).head(MOST_ROWS)
    rules = {**definitions.DEFINITIONS, results.rule.name: results.rule}
    by_name = {name: results.rates if name == results.rule.name else results.rates_under(rule) for name, rule in rules.items()}
    frame = definitions_table(
        rows, {name: found.drop_duplicates(["run_id", "step", "question_set", "in_domain"]) for name, found in by_name.items()}
    )
    frame["Run"] = [private.text(str(run)) for run in frame["Run"]]
    told = table(["Definition", "Rule", "Used by"], [(r.name, r.rule, r.source) for r in rules.values()])
    columns = ["Run", "Questions", "Step", *rules]
    body = table(columns, frame[columns].itertuples(index=False, name=None), list(rules))
    words_ = paragraph(
        "What counts as misaligned decides the result. The same answers and scores, counted by each rule: rate, interval, counts."
    )
    return section("definitions", "Definitions side by side", words_, told, body, _more(results.last, "em_rates_summary.csv"))


def differences(results: Results, private: Private) -> Markup:
    """Every run's last scored step minus its step 0, paired by question."""
    chosen = results.selection
    found = counts(
        results.home, results.rule, run_ids=results.run_ids, judge_id=chosen.judge_id, question_sets=chosen.question_sets
    )
    if chosen.in_domain is not None:
        found = found[found["in_domain"] == chosen.in_domain]
    base = "n_coherent" if results.rule.denominator == "coherent" else "n_scored"
    last = results.last.drop_duplicates("run_id").set_index("run_id")
    tested: list[dict[str, Any]] = []
    for (run_id, name, inside), rows in found.groupby(["run_id", "question_set", "in_domain"], sort=False):
        step = int(last["step"].get(run_id, 0))
        before, after = (_by_question(rows[rows["step"] == at], base) for at in (0, step))
        if step == 0 or not before or not after:
            continue
        result = paired_by_name(before, after, chosen.interval, second_opinion=False)
        tested.append({"run": last.loc[run_id], "set": name, "inside": inside, "step": step, "result": result})
    if not tested:
        return section("differences", "Differences", paragraph("No run has both a step 0 and a later step that were scored."))
    adjusted = benjamini_hochberg([each["result"].p for each in tested])
    lines = []
    for each, p in list(zip(tested, adjusted, strict=True))[:MOST_ROWS]:
        r, run = each["result"], each["run"]
        lines.append(
            (
                private.text(str(run["label"])), words.questions({"question_set": each["set"], "in_domain": each["inside"]}),
                each["step"], _points(r.difference), "" if r.low is None else f"{_points(r.low)} to {_points(r.high)}",
                words.p_value(r.p), words.p_value(p), f"{r.misaligned_a} of {r.base_a}", f"{r.misaligned_b} of {r.base_b}",
                r.n_questions, r.note,
            )
        )  # fmt: skip
    numeric = ["Step", "Difference, points", "Interval", "p", "p, adjusted", "Step 0, n", "Last step, n", "Questions"]
    lead = paragraph(
        "Each run's last scored step minus its step 0, in percentage points, paired by question and each question equal, so what "
        f"makes a question hard cancels. {words.INTERVALS[chosen.interval]}. p is two-sided; adjusted by Benjamini and Hochberg "
        f"over the {len(tested)} comparisons here."
    )
    head = ["Run", "Question set", *numeric, "Note"]
    more = paragraph(f"The first {MOST_ROWS} of {len(tested):,}.", kind="quiet") if len(tested) > MOST_ROWS else ""
    return section("differences", "Differences", lead, table(head, lines, numeric), more)


def _by_question(rows: pd.DataFrame, base: str) -> dict[str, tuple[int, int]]:
    return {str(q): (int(bad), int(n)) for q, bad, n in zip(rows["question_id"], rows["n_misaligned"], rows[base], strict=True)}


def _more(rows: pd.DataFrame, file: str) -> str:
    return (
        paragraph(f"The first {MOST_ROWS} of {len(rows):,} rows; all are in {file}.", kind="quiet")
        if len(rows) > MOST_ROWS
        else ""
    )


def _percent(rate: float) -> str:
    return "no estimate" if rate != rate else f"{rate:.0%}"


def _points(difference: float | None) -> str:
    return "no estimate" if difference is None else f"{100 * difference:+.0f}"
