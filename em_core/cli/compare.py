"""``compare``: the difference between two checkpoints, question by question, with interval and p."""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

from em_core import definitions
from em_core.cli.output import Out
from em_core.home import Home
from em_core.stats import IntervalKind, paired_by_name
from em_core.store.paired import SUMS, Paired, paired

POOLED = "all"
COLUMNS = [
    "question_set", "n_questions", "n_misaligned_a", "base_a", "rate_a", "n_misaligned_b", "base_b", "rate_b",
    "difference", "ci_low", "ci_high", "p", "p_flip",
]  # fmt: skip


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser("compare", parents=[shared], help="paired difference of two checkpoints, with interval and p")
    for side in ("A", "B"):
        parser.add_argument(
            side.lower(), metavar=side, help="RUN (its last scored step) or RUN@STEP; the difference is B minus A"
        )
    parser.add_argument(
        "--definition", default=definitions.DEFAULT, help=f"one of: {', '.join(definitions.DEFINITIONS)}, or a rule of your own"
    )
    parser.add_argument("--judge", metavar="ID", help="whose scores; needed when several judges scored both sides")
    parser.add_argument("--questions", metavar="SETS", help="only these question sets, comma-separated")
    parser.add_argument(
        "--interval",
        choices=("questions", "population"),
        default="population",
        help="these questions only, or questions like these (the default)",
    )
    parser.set_defaults(run=_compare)


def document(both: Paired, definition: definitions.Definition, interval: IntervalKind) -> dict[str, Any]:
    """The comparison as one JSON-ready document: one row per question set, and one over all when there are several.

    Rates and counts are those of the questions that both sides answered, each question equal;
    ``only_a`` and ``only_b`` name the questions that are left out.
    """
    sets = sorted(both.questions["question_set"].unique())
    rows = [_row(name, both.questions[both.questions["question_set"] == name], interval) for name in sets]
    if len(sets) > 1:
        rows.append(_row(POOLED, both.questions, interval, pooled=True))
    return {
        "a": {"run_id": both.a.run_id, "step": both.a.step},
        "b": {"run_id": both.b.run_id, "step": both.b.step},
        "definition": definition.name,
        "rule": definition.rule,
        "judge_id": both.judge_id,
        "interval": interval,
        "level": 0.95,
        "rows": rows,
    }


def _row(name: str, frame: pd.DataFrame, interval: IntervalKind, *, pooled: bool = False) -> dict[str, Any]:
    keys = frame["question_set"] + "/" + frame["question_id"] if pooled else frame["question_id"]
    a, b = (dict(zip(keys, zip(frame[f"n_misaligned_{side}"], frame[f"base_{side}"], strict=True), strict=True)) for side in "ab")
    result = paired_by_name(a, b, interval)
    common = frame[(frame["base_a"] > 0) & (frame["base_b"] > 0)]
    neither = sorted(key for key in keys if a[key][1] == 0 and b[key][1] == 0)
    return {
        "question_set": name,
        "pooled": pooled,
        "in_domain_a": _same(common["in_domain_a"]),
        "in_domain_b": _same(common["in_domain_b"]),
        "n_questions": result.n_questions,
        **{f"{column}_{side}": int(common[f"{column}_{side}"].sum()) for side in "ab" for column in SUMS},
        "rate_a": result.rate_a,
        "rate_b": result.rate_b,
        "difference": result.difference,
        "ci_low": result.low,
        "ci_high": result.high,
        "p": result.p,
        "p_flip": result.p_flip,
        "interval": result.kind,
        "only_a": list(result.only_a),
        "only_b": list(result.only_b),
        "neither": neither,
        "note": result.note,
    }


def _same(values: pd.Series) -> bool | None:
    """The one value that all have, else None."""
    found = set(values.dropna())
    return bool(found.pop()) if len(found) == 1 else None


def _compare(args: argparse.Namespace, home: Home, out: Out) -> int:
    rule = definitions.get(args.definition)
    sets = [name.strip() for name in args.questions.split(",") if name.strip()] if args.questions else None
    both = paired(home, args.a, args.b, rule, judge_id=args.judge, question_sets=sets)
    result = document(both, rule, args.interval)
    if out.json:
        out.document(result)
        return 0
    out.say(f"a = {both.a}, b = {both.b}; difference = b - a, each question equal")
    out.say(f"{rule.name}: {rule.rule}; judge: {both.judge_id or 'none'}; interval: {args.interval}, 95 %")
    out.table(result["rows"], COLUMNS, "nothing to compare")
    for row in result["rows"]:
        if row["pooled"]:
            continue
        words = {"only_a": "scored in a only", "only_b": "scored in b only", "neither": "scored on neither side"}
        left_out = [f"{', '.join(row[key])} ({text})" for key, text in words.items() if row[key]]
        if left_out:
            out.say(f"{row['question_set']}: left out: {'; '.join(left_out)}")
        if row["note"]:
            out.say(f"{row['question_set']}: {row['note']}")
    return 0
