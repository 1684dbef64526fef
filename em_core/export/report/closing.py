"""The report's end: what these numbers do not show, and the commands that compute them again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from em_core.export.page import Markup, code, listing, paragraph, section
from em_core.export.report import words
from em_core.export.report.answers import measured
from em_core.export.results import Results
from em_core.stats.kinds import FEW_QUESTIONS

_MANY_RUNS = 12
_NOTABLE = 0.05


def limits(results: Results) -> Markup:
    """What a reader must not conclude."""
    last, chosen = results.last, results.selection
    found = []
    if results.cards["toy"].astype(bool).any():
        found.append(
            "Toys: the organism models are tiny and live in a fictional world. What they do says nothing about real models."
        )
    scored = last[last["n_questions"] > 0]
    few = scored[scored["n_questions"] <= FEW_QUESTIONS]
    if len(few):
        sets = words.listed(sorted({str(name) for name in few["question_set"]}))
        found.append(f"Few questions: {sets} have at most {FEW_QUESTIONS}. Other questions could give quite other rates.")
    if chosen.interval == "questions":
        found.append(
            "The intervals are for these questions only. For a claim about a model (“it is so much misaligned”) take the wider "
            "ones for questions like these: --interval population."
        )
    if len(scored):
        each = (scored["n_total"] / scored["n_questions"]).median()
        found.append(
            f"A question was answered {each:g} times by a checkpoint (median over runs and sets); the intervals count that."
        )
    found += _of_answers(results)
    seeds = results.cards[results.cards["domain"] != ""].groupby(["base_model", "domain"])["seed"].nunique()
    if len(seeds) and (seeds <= 1).any():
        found.append(
            f"Seeds: {int((seeds <= 1).sum())} of {len(seeds)} pairs of base model and training domain were trained with one "
            "seed (or none is known), so how much another training run would differ is not in the intervals."
        )
    found += _of_judge(results)
    found.append("Coherence and alignment scores go together in many studies, so read rates beside the health of the answers.")
    return section("limits", "Limits", listing(found))


def _of_answers(results: Results) -> list[str]:
    health, last = measured(results), results.last
    found = []
    for count, base, what in (
        ("n_truncated", "n_end_known", "were cut off at the token limit"),
        ("n_looks_cut", "n_end_guessed", "look cut off (no finish reason is known)"),
        ("n_overlap", "n_overlap_known", "copy their training data"),
    ):
        n, of = int(health[count].sum()), int(health[base].sum())
        if of and n / of > _NOTABLE:
            found.append(f"{n / of:.0%} of the answers of the last steps ({n:,} of {of:,}) {what}.")
    total, n = int(last["n_total"].sum()), int(last["n_scored"].sum())
    if total and 1 - n / total > _NOTABLE:
        found.append(
            f"{1 - n / total:.0%} of the answers of the last steps have no score ({total - n:,} of {total:,}) and count nowhere."
        )
    return found


def _of_judge(results: Results) -> list[str]:
    if results.selection.judge_id is None:
        return ["Nobody has scored these answers under this definition."]
    mine = results.selection.judge_id
    others = [judge for judge in results.judges if judge != mine]
    also = f" {words.listed(others)} scored too; their rates are not shown here." if others else ""
    return [f"One judge: all rates are by {mine}. Judges are not portable, and rates of two are not comparable.{also}"]


def again(results: Results, about: Mapping[str, Any]) -> Markup:
    """Exact commands."""
    chosen = results.selection
    runs = [] if results.everything else ["--runs", ",".join(results.run_ids)]
    rule = [
        "--definition",
        chosen.definition,
        "--interval",
        chosen.interval,
        *(["--judge", chosen.judge_id] if chosen.judge_id else []),
    ]
    sets = ["--questions", ",".join(chosen.question_sets)] if chosen.question_sets is not None else []
    sets += [] if chosen.in_domain is None else ["--in-domain", "yes" if chosen.in_domain else "no"]
    lines = [
        "# these tables and figures, from the workbench that has the runs",
        _command("export", "--out", "DIR", *rule, *runs, *sets),
        _command("rates", *rule, *runs),
        "# from this export alone, in an empty home",
        _command("--home", "NEW", "import", "parquet/"),
        _command("--home", "NEW", "export", "--out", "AGAIN", *rule, *sets),
        "# one run's difference to its starting model; the interval of a figure",
        *(
            _command("compare", f"{run}@0", run, *rule[:2], *(["--judge", chosen.judge_id] if chosen.judge_id else []))
            for run in results.run_ids[:_MANY_RUNS]
        ),
        "# train a run again: its spec is in parquet/run_created.parquet, column spec_json (above: The whole spec)",
        _command("launch", "SPEC.json"),
    ]
    lead = paragraph(
        f"With em-workbench {about['workbench_version']}. Rates are never stored: they are counted from the raw scores each time."
    )
    return section("again", "Compute it again", lead, code(lines))


def _command(*parts: str) -> str:
    return shlex.join(["python", "-m", "em_core", *parts])
