"""``plot``: any chart as a file, drawn from the published database."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from em_core import agreement, charts, definitions
from em_core.agreement import frames
from em_core.cli.agreement import chosen_judges, listed
from em_core.cli.output import Out
from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import agreement as store_agreement
from em_core.store import health as store_health
from em_core.store import labels as store_labels
from em_core.store import plane as store_plane
from em_core.store import queries
from em_core.store import rates as store_rates

Source = Callable[[argparse.Namespace, Home], tuple[pd.DataFrame, dict[str, Any]]]


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser("plot", parents=[shared], help="a chart as .html, .svg, .png or .json")
    parser.add_argument("chart", metavar="CHART", help=f"one of: {', '.join(charts.names())}")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE")
    parser.add_argument(
        "--definition", default=definitions.DEFAULT, help=f"{', '.join(definitions.DEFINITIONS)}, or a rule of your own"
    )
    parser.add_argument("--judge", metavar="ID", help="only this judge's scores")
    parser.add_argument("--judges", metavar="IDS", help="for charts of several judges: two or more, comma-separated")
    parser.add_argument("--interval", choices=("questions", "population"), default="questions")
    parser.add_argument("--runs", metavar="IDS", help="only these runs, comma-separated")
    parser.add_argument("--questions", metavar="SETS", help="only these question sets, comma-separated")
    parser.set_defaults(run=_plot)


def _plot(args: argparse.Namespace, home: Home, out: Out) -> int:
    if args.out.suffix not in charts.SUFFIXES:
        raise BadInput(f"--out: {args.out.name!r} has no known ending", f"use one of: {' '.join(charts.SUFFIXES)}")
    module = charts.load(args.chart)
    frame, options = source(args.chart, module.COLUMNS)(args, home)
    charts.save(module.chart(frame, **options), args.out)
    out.result({"file": str(args.out)}, str(args.out))
    return 0


def source(name: str, columns: Any) -> Source:
    """What a chart is drawn from: a source of its own, else rates or training steps by the columns it asks for."""
    return _SOURCES.get(name) or (_rates if "em_rate" in columns else _steps)


def _rates(args: argparse.Namespace, home: Home) -> tuple[pd.DataFrame, dict[str, Any]]:
    frame = store_rates.rates(
        home, definitions.get(args.definition), interval=args.interval, judge_id=args.judge, run_ids=listed(args.runs),
        question_sets=listed(args.questions),
    )  # fmt: skip
    return frame, {}


def _steps(args: argparse.Namespace, home: Home) -> tuple[pd.DataFrame, dict[str, Any]]:
    steps = queries.metrics(home, listed(args.runs), max_points=1500)
    return steps.merge(queries.runs(home)[["run_id", "label", "domain"]], on="run_id"), {}


def _plane(args: argparse.Namespace, home: Home) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The last checkpoint of each run, pooled."""
    rule = definitions.get(args.definition)
    rates, _ = _rates(args, home)
    judges = sorted(rates["judge_id"].dropna().unique())
    if len(judges) > 1:
        raise BadInput(f"{len(judges)} judges scored these answers, the plane is of one", f"--judge: {', '.join(judges)}")
    last = rates[rates["step"] == rates.groupby("run_id")["step"].transform("max")]
    cells = list(last[["run_id", "step", "question_set"]].itertuples(index=False, name=None))
    frame = store_plane.plane(home, rule, cells, judges[0] if judges else "", args.interval)
    return frame, {
        "sign": rule.sign, "gate_sign": rule.gate_sign, "chosen": (rule.threshold, rule.gate), "chosen_name": rule.name,
        "notes": [f"{rule.name}: {rule.rule}", f"last checkpoint of {last['run_id'].nunique()} runs; judge: {', '.join(judges)}"],
    }  # fmt: skip


def _health(args: argparse.Namespace, home: Home) -> tuple[pd.DataFrame, dict[str, Any]]:
    return store_health.health(home, run_ids=listed(args.runs), judge_id=args.judge, question_sets=listed(args.questions)), {}


def _answers(args: argparse.Namespace, home: Home) -> agreement.Answers:
    rule = definitions.get(args.definition)
    judges = chosen_judges(home, listed(args.judges))
    return store_agreement.answers(home, judges, rule, run_ids=listed(args.runs), question_sets=listed(args.questions))


def _two(args: argparse.Namespace, home: Home) -> agreement.Answers:
    found = _answers(args, home)
    if len(found.raters) < 2:
        raise BadInput(
            "this chart is of two judges, and one has scored answers here", "`judge --judge NAME` adds another's scores"
        )
    return found


def _scatter(args: argparse.Namespace, home: Home) -> tuple[pd.DataFrame, dict[str, Any]]:
    return frames.points(_two(args, home), 0, 1), {}


def _differences(args: argparse.Namespace, home: Home) -> tuple[pd.DataFrame, dict[str, Any]]:
    return frames.differences(_two(args, home), 0, 1), {}


def _judge_rates(args: argparse.Namespace, home: Home) -> tuple[pd.DataFrame, dict[str, Any]]:
    return agreement.judge_table(_answers(args, home), args.interval), {}


def _calibration(args: argparse.Namespace, home: Home) -> tuple[pd.DataFrame, dict[str, Any]]:
    judges = chosen_judges(home, listed(args.judges))
    by_judges, by_people = store_labels.against_judges(
        home, judges, definitions.get(args.definition), run_ids=listed(args.runs), question_sets=listed(args.questions)
    )
    if not by_people.raters:
        raise BadInput("no labels of people yet", "label some on the page Label, or `labels import FILE`")
    return agreement.calibration_table(by_judges, by_people, args.interval), {}


_SOURCES: dict[str, Source] = {
    "threshold_plane": _plane, "health_bars": _health, "judge_scatter": _scatter, "bland_altman": _differences,
    "judge_rates": _judge_rates, "judge_calibration": _calibration,
}  # fmt: skip
