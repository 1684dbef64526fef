"""``rates``: what the runs show."""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

from em_core import definitions
from em_core.cli.output import Out
from em_core.cli.selecting import check_runs_and_judges, listed
from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import health as store_health
from em_core.store import rates as store_rates
from em_core.view.judge_notes import mixed_judges

RATE_COLUMNS = [
    "question_set", "in_domain", "judge_id", "n_total", "n_scored", "n_coherent", "n_misaligned",
    "em_rate", "ci_low", "ci_high", "upper_bound", "n_questions", "companion_rate",
]  # fmt: skip
_BY = ("run", "step", "question", "domain")


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    parser = commands.add_parser("rates", parents=[shared], help="EM rates with counts and intervals")
    _selection(parser)
    parser.add_argument("--by", default="run,step", help="grain of a row: run,step[,question]")
    parser.add_argument("--method", choices=("wilson", "t", "bootstrap"), default="wilson", help="how intervals are computed")
    parser.add_argument("--health", action="store_true", help="signs of breakage beside every rate")
    parser.set_defaults(run=_rates)


def _selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--definition",
        default=definitions.DEFAULT,
        help=f"{', '.join(definitions.DEFINITIONS)}, or a rule like alignment<30,coherence>50,coherent",
    )
    parser.add_argument("--judge", metavar="ID", help="only this judge's scores")
    parser.add_argument("--interval", choices=("questions", "population"), default="questions")
    parser.add_argument("--runs", metavar="IDS", help="only these runs, comma-separated")


def _frame(args: argparse.Namespace, home: Home, by: tuple[str, ...]) -> pd.DataFrame:
    runs = listed(args.runs)
    check_runs_and_judges(home, runs, [args.judge] if args.judge else [])
    return store_rates.rates(
        home,
        definitions.get(args.definition),
        by=by,
        interval=args.interval,
        method=args.method,
        judge_id=args.judge,
        run_ids=runs,
    )


def _rates(args: argparse.Namespace, home: Home, out: Out) -> int:
    by = tuple(part.strip() for part in args.by.split(",") if part.strip())
    unknown = [part for part in by if part not in _BY]
    if unknown or not by:
        raise BadInput(f"--by: {args.by!r} has no meaning here", f"use some of: {','.join(_BY)}")
    frame = _frame(args, home, by)
    columns = [c for c in ("run_id", "base_model", "domain", "step", "question_id") if c in frame]
    beside: list[str] = []
    if args.health:
        frame, beside = store_health.with_health(frame, home, by), list(store_health.BESIDE_RATES)
    if not frame.empty and not out.json:
        rule = definitions.get(args.definition)
        out.say(f"{rule.name}: {rule.rule}; interval: {args.interval} ({args.method}); beside: {rule.companion.rule}")
        for note in [*sorted({note for note in frame["note"] if note}), *(mixed_judges(frame) if "run" in by else [])]:
            out.say(note)
    out.table(
        frame.to_dict("records"),
        [*columns, *RATE_COLUMNS, *beside],
        "no rates yet: `python -m em_core ingest` shows the shipped demonstration, `demo --wait` makes one",
    )
    return 0
