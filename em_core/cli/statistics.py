"""``trajectory``, ``seeds`` and ``power``: when a run changed, how seeds agree, how many answers it takes."""

from __future__ import annotations

import argparse
from typing import Any

from em_core import definitions, stats
from em_core.cli.output import Out
from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import queries, trajectories

# --correlation: the median of twelve published answer sets (0.03 to 0.36), docs/statistics.md
_CHANGES = [
    "run_id", "question_set", "in_domain", "judge_id", "n_checkpoints", "before", "after", "previous", "step", "earliest",
    "latest", "p_change", "first_significant",
]  # fmt: skip
_TESTS = ["question_set", "judge_id", "step", "difference", "ci_low", "ci_high", "p", "p_adjusted", "n_questions"]
_SEEDS = [
    "label", "question_set", "step", "n_seeds", "n_questions", "n_misaligned", "base", "em_rate", "ci_low", "ci_high", "sd_seed",
]  # fmt: skip


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    parser = commands.add_parser(
        "trajectory", parents=[shared], help="when runs changed, and which checkpoints differ from step 0"
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run ids; none = all runs, one line each")
    _selection(parser)
    parser.set_defaults(run=_trajectory)
    parser = commands.add_parser("seeds", parents=[shared], help="runs that differ in the seed only: mean, interval, spread")
    _selection(parser)
    parser.set_defaults(run=_seeds)
    parser = commands.add_parser("power", parents=[shared], help="how many answers tell two rates apart")
    parser.add_argument("first", type=float, metavar="P1", help="rate of one side, percent")
    parser.add_argument("second", type=float, metavar="P2", help="rate of the other, percent")
    parser.add_argument("--questions", type=int, default=8, metavar="K", help="questions a side (default 8)")
    parser.add_argument("--samples", type=int, metavar="N", help="answers per question you plan: prints their power")
    parser.add_argument("--correlation", type=float, default=0.11, help="of answers to one question, 0-1 (default 0.11)")
    parser.add_argument("--shared", type=float, default=0.5, help="share of it that both sides have in common, 0-1 (default 0.5)")
    parser.add_argument("--interval", choices=("questions", "population"), default="population")
    parser.set_defaults(run=_power)


def _selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--definition", default=definitions.DEFAULT, help=f"{', '.join(definitions.DEFINITIONS)}, or a rule")
    parser.add_argument("--judge", metavar="ID", help="only this judge's scores")
    parser.add_argument("--questions", metavar="SETS", help="only these question sets, comma-separated")
    parser.add_argument("--interval", choices=("questions", "population"), default="population")


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    sets = [name.strip() for name in args.questions.split(",") if name.strip()] if args.questions else None
    return {"judge_id": args.judge, "question_sets": sets, "kind": args.interval}


def _trajectory(args: argparse.Namespace, home: Home, out: Out) -> int:
    rule = definitions.get(args.definition)
    for run_id in args.runs:
        if queries.run(home, run_id) is None:
            raise BadInput(f"run {run_id!r} is unknown", "`python -m em_core runs` lists the ids")
    lines = trajectories.changes(home, rule, run_ids=args.runs or None, **_chosen(args))
    tests = trajectories.checkpoint_tests(home, rule, run_ids=args.runs or None, **_chosen(args))
    if out.json:
        out.document({"rule": rule.rule, "changes": lines.to_dict("records"), "checkpoints": tests.to_dict("records")})
        return 0
    out.say(f"{rule.name}: {rule.rule}; interval and p: {args.interval}; p adjusted over a line's checkpoints")
    out.table(
        lines.to_dict("records"),
        _CHANGES,
        "no scored checkpoints yet: `python -m em_core ingest` shows the shipped demonstration, `demo --wait` makes one",
    )
    if args.runs and len(tests):
        out.table(tests.to_dict("records"), _TESTS, "")
    for note in sorted({str(note) for note in lines["note"] if note}):
        out.say(note)
    return 0


def _seeds(args: argparse.Namespace, home: Home, out: Out) -> int:
    rule = definitions.get(args.definition)
    frame = trajectories.seeds(home, rule, **_chosen(args))
    if not out.json:
        out.say(f"{rule.name}: {rule.rule}; interval: other seeds, {args.interval}")
    out.table(
        frame.to_dict("records"),
        _SEEDS,
        "no runs that differ in the seed only: `launch SPEC --set train.seed=[0,1,2]` makes some",
    )
    return 0


def _power(args: argparse.Namespace, home: Home, out: Out) -> int:
    p1, p2 = args.first / 100, args.second / 100
    for name, value, low, high in (
        ("P1", p1, 0.0, 1.0), ("P2", p2, 0.0, 1.0), ("--correlation", args.correlation, 0.0, 1.0),
        ("--shared", args.shared, 0.0, 1.0), ("--questions", args.questions, 1, 1e6), ("--samples", args.samples or 1, 1, 1e9),
    ):  # fmt: skip
        if not low <= value <= high:
            raise BadInput(f"{name}: {value:g} is out of bounds", f"use {low:g} to {high:g} (rates in percent: 0 to 100)")
    if p1 == p2:
        raise BadInput("P1 and P2 are the same rate", "name two rates to tell apart, e.g. `power 30 60`")
    needed = stats.samples_needed(p1, p2, args.questions, args.correlation, args.shared, args.interval)
    result: dict[str, Any] = {
        "samples_needed": needed.samples, "answers_needed": needed.answers, "questions_needed": needed.questions_needed,
        "answers_if_independent": stats.answers_needed(p1, p2), "words": needed.words,
    }  # fmt: skip
    text = f"{needed.words}; were answers independent, {result['answers_if_independent']} a side"
    if args.samples:
        planned = stats.power(p1, p2, args.questions, args.samples, args.correlation, args.shared, args.interval)
        result["power"] = planned
        text += f"\n{args.samples} answers to each of {args.questions} questions: power {planned:.0%}"
    out.result(result, text)
    return 0
