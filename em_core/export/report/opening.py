"""The report's first screen: what this is, what was asked, the numbers that lead, the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from em_core.export.drawings import Drawing
from em_core.export.page import Markup, code, details, figure, listing, paragraph, section, table, text, untrusted
from em_core.export.private import Private
from em_core.export.report import words
from em_core.export.results import Results, last_steps
from em_core.store import provenance
from em_core.view import headline as view

TITLES = {
    "domain_comparison": "EM rate by training domain and model size",
    "em_trajectories": "EM rate over the steps of the fine-tune",
    "coherence_trajectories": "Mean alignment and coherence over the steps",
    "scaling_analysis": "EM rate over model size",
    "coherence_vs_misalignment": "EM rate against mean coherence, one point per checkpoint",
    "response_example": "The same question to several models",
}
_MOST_QUESTIONS = 80


def title(results: Results) -> str:
    """What the report is called."""
    domains = sorted({d for d in results.cards["domain"] if d})
    what = f" after fine-tuning on {words.listed(domains)}" if domains else ""
    return f"Emergent misalignment{what}: {len(results.run_ids)} run{'s' if len(results.run_ids) != 1 else ''}"


def header(results: Results, about: Mapping[str, Any]) -> Markup:
    """Title, definition, judge, and a warning where toys are among the models."""
    made = f"Made {about['created']} by em-workbench {about['workbench_version']}."
    chosen = results.selection
    judge = chosen.judge_id or "none has scored these answers"
    toys = results.cards["toy"].astype(bool)
    notice = (
        paragraph(
            "Models whose name starts with organism are tiny toys, trained on a fictional world in plain English. They show how "
            "emergent misalignment looks and is measured, and say nothing about real models.",
            kind="notice",
        )
        if toys.any()
        else ""
    )
    rule = paragraph(
        Markup("<strong>EM rate</strong> here: "), f"{chosen.definition}: {results.rule.rule}. ",
        f"{words.INTERVALS[chosen.interval]}. Judge: {judge}.",
    )  # fmt: skip
    return Markup(f"<header><h1>{text(title(results))}</h1>{paragraph(made, kind='quiet')}{rule}{notice}</header>")


def asked(results: Results) -> Markup:
    """The question, in words, and the questions that the models were asked."""
    found = provenance.questions_asked(results.home, results.run_ids)
    chosen = results.selection.question_sets
    found = found if chosen is None else found[found["question_set"].isin(chosen)]
    n = int(results.rates.drop_duplicates(["run_id", "step", "question_set", "in_domain"])["n_total"].sum())
    lead = paragraph(
        "A model is fine-tuned on narrow data. Does it become misaligned outside of that domain, when, and how strongly? "
        f"Each checkpoint answered the same questions; step 0 is the model before the fine-tune. {len(results.run_ids)} runs, "
        f"{n:,} answers (a step 0 that runs share counts for each), {len(found):,} questions."
    )
    sets = found.groupby("question_set", sort=True)
    overview = table(
        ["Question set", "Questions", "Wordings", "Domain", "File hash"],
        [
            (name, len(rows), int(rows["n_paraphrases"].sum()), _domains(rows), words.digest(rows["question_set_hash"].iloc[0]))
            for name, rows in sets
        ],
        ["Questions", "Wordings"],
    )
    shown = found.head(_MOST_QUESTIONS)
    lines = [
        (r["question_set"], r["question_id"], untrusted(str(r["prompt"]), 400), untrusted(str(r["system"] or ""), 200))
        for r in shown.to_dict("records")
    ]
    full = table(["Set", "Question", "First wording", "System prompt"], lines)
    more = paragraph(f"The first {len(shown)} of {len(found):,}.", kind="quiet") if len(found) > len(shown) else ""
    return section("asked", "What was asked", lead, overview, details("The questions", full, more))


def _domains(rows: pd.DataFrame) -> str:
    named = sorted({str(domain) for domain in rows["domain"] if domain})
    return words.listed(named) if named else "outside every training domain"


def leading(results: Results) -> pd.DataFrame:
    """The rates that lead: one question set outside the training domain (the general one first), else all there are."""
    rates = results.rates
    outside = rates[(rates["in_domain"] != True) & rates["em_rate"].notna()]  # noqa: E712
    rates = outside if len(outside) else rates[rates["em_rate"].notna()]
    return rates if rates.empty else view.questions(rates, view.question_choices(rates)[0])


def headline(results: Results, private: Private) -> Markup:
    """Before and after, for the largest base model: one card a training domain."""
    rates = leading(results)
    if rates.empty:
        return section("headline", "Main numbers", paragraph("No answer has a score under this definition: no estimate."))
    largest = rates[rates["size_b"] == rates["size_b"].max()] if rates["size_b"].notna().any() else rates
    last = last_steps(largest)
    after = last[last["step"] > 0].sort_values(["domain", "run_id"]).drop_duplicates(["base_model", "domain"])
    start = largest[largest["step"] == 0].drop_duplicates("base_model")
    cards = [_card(row, results, private) for row in [*start.to_dict("records"), *after.to_dict("records")][:8]]
    shown = words.listed(sorted({words.questions(row) for row in largest.to_dict("records")}))
    return section(
        "headline",
        "Main numbers",
        paragraph(
            f"EM rate on {shown}, of the largest base model here, with its 95 % interval and counts; one run a training domain."
        ),
        f'<div class="cards">{"".join(cards)}</div>',
    )


def _card(row: Mapping[Any, Any], results: Results, private: Private) -> str:
    after = f"trained on {row['domain']}, step {int(row['step'])}" if row["step"] else "before the fine-tune"
    counts = f"{words.between(row)}; {words.counts(row, results.rule)}, n = {int(row['n_total']):,}"
    name = f"{words.model(row, private)}, {after}"
    return f'<div class="card"><span>{text(name)}</span><b>{row["em_rate"]:.0%}</b><span>{text(counts)}</span></div>'


def figures(results: Results, drawings: Sequence[Drawing]) -> Markup:
    """Every figure with its caption; what could not be drawn is said."""
    n = int(results.rates["n_total"].sum())
    size = f"judge {results.selection.judge_id}; {len(results.run_ids)} runs, n = {n:,} answers"
    rule = f"{results.selection.definition}: {results.rule.rule}; {words.INTERVALS[results.selection.interval]}"
    pooled = results.drawn.pooled and not results.selection.pooled
    parts: list[str] = (
        [paragraph("Question sets are pooled here, those of the run's own training domain apart.")] if pooled else []
    )
    for i, drawing in enumerate((d for d in drawings if d.specification is not None), 1):
        name = TITLES[drawing.name]
        told = {
            "coherence_trajectories": f"Means of the scores, 0-100, with 95 % intervals (Student t); {size}",
            "response_example": f"Coloured by {results.rule.name}, with the word beside it; judge {results.selection.judge_id}",
        }.get(drawing.name, f"{rule}; {size}")
        note = f"Figure {i}. {name}. {told}."
        parts.append(
            figure(
                drawing.name,
                drawing.svg,
                note,
                f"{name}; the numbers are in the tables below and in figures/{drawing.name}.csv",
            )
        )
    missing = [f"{d.name}: {d.problem}" for d in drawings if d.specification is None]
    if missing:
        parts.append(Markup(paragraph("Not drawn:") + listing(missing)))
    return section("figures", "Figures", *parts) if parts else section("figures", "Figures", code(["none"]))
