"""``plot``: any chart as a file, or the data behind it; or all charts into a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from em_core import charts, definitions, figures
from em_core.cli.output import Out
from em_core.cli.selecting import check, check_runs_and_judges, listed
from em_core.errors import BadInput, EMError
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.comparing import FINAL, PEAK
from em_core.store.contents import contents

ALL = "all"
_EVERY = (".svg", ".csv")
"""What ``plot all`` writes of each chart."""


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    endings = ", ".join(figures.SUFFIXES)
    parser = commands.add_parser("plot", parents=[shared], help=f"a chart as {endings}; `all` for every chart")
    parser.add_argument("chart", metavar="CHART", help=f"one of: {', '.join(charts.names())}; or {ALL}")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help=f"a file that ends in {endings}; with `{ALL}` a folder"
    )
    parser.add_argument(
        "--definition", default=definitions.DEFAULT, help=f"{', '.join(definitions.DEFINITIONS)}, or a rule of your own"
    )
    parser.add_argument("--judge", metavar="ID", help="only this judge's scores")
    parser.add_argument("--judges", metavar="IDS", help="for charts of several judges: two or more, comma-separated")
    parser.add_argument("--interval", choices=("questions", "population"), default="questions")
    parser.add_argument("--runs", metavar="IDS", help="only these runs, comma-separated")
    parser.add_argument("--experiment", metavar="NAMES", help="only runs of these experiments, comma-separated")
    parser.add_argument("--questions", metavar="SETS", help="only these question sets, comma-separated")
    parser.add_argument("--in-domain", choices=("yes", "no"), help="only questions inside (yes) or outside the training domain")
    parser.add_argument(
        "--at", metavar="CHECKPOINT", default=FINAL,
        help=f"for {', '.join(figures.AT_CHOSEN)}: {FINAL} (default), {PEAK} or a step, of each run",
    )  # fmt: skip
    parser.set_defaults(run=_plot)


def _plot(args: argparse.Namespace, home: Home, out: Out) -> int:
    if args.chart == ALL:
        return _plot_all(args, home, out)
    if args.out.suffix.lower() not in figures.SUFFIXES:
        raise BadInput(f"--out: {args.out.name!r} has no known ending", f"use one of: {' '.join(figures.SUFFIXES)}")
    charts.load(args.chart)
    if args.at != FINAL and args.chart not in figures.AT_CHOSEN:
        raise BadInput(f"--at: {args.chart} is not of one chosen checkpoint", f"it is for: {', '.join(figures.AT_CHOSEN)}")
    figures.save(args.chart, home, selection(args, home), args.out)
    out.result({"file": str(args.out)}, str(args.out))
    return 0


def _plot_all(args: argparse.Namespace, home: Home, out: Out) -> int:
    """Every chart that the selection has data for; the others are said with their reason."""
    if args.out.suffix.lower() in figures.SUFFIXES or args.out.is_file():
        raise BadInput(f"--out: {args.out} is a file, and `{ALL}` writes many", "give a folder")
    chosen = selection(args, home)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out: {args.out} cannot be made ({error.strerror})", "choose a writable folder") from error
    written, left_out = [], {}
    for name in figures.names():
        try:
            written += [str(path) for path in figures.save_all(name, home, chosen, args.out, _EVERY)]
        except EMError as error:
            left_out[name] = error.message
            out.say(f"{name}: {error.message}")
    out.result({"files": written, "left_out": left_out}, "\n".join(written))
    return 0


def selection(args: argparse.Namespace, home: Home) -> Selection:
    """What the flags select.

    Raises:
        BadInput: Unknown definition, checkpoint, run, experiment or question set; says which there are.
    """
    definitions.get(args.definition)
    if args.at not in (FINAL, PEAK) and not args.at.isdecimal():
        raise BadInput(f"--at: checkpoint {args.at!r} is unknown", f"use {FINAL}, {PEAK} or a step")
    runs, sets = _known(args, home)
    return Selection(
        args.definition, args.interval, args.judge, runs, sets,
        in_domain=None if args.in_domain is None else args.in_domain == "yes", judges=tuple(listed(args.judges) or ()),
        at=args.at,
    )  # fmt: skip


def _known(args: argparse.Namespace, home: Home) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Runs and question sets, each checked against what is there."""
    runs, sets, experiments = listed(args.runs), listed(args.questions), listed(args.experiment)
    there = contents(home)
    check(sets, there["question_set"], "question set")
    check(experiments, there["experiment"], "experiment")
    check_runs_and_judges(home, runs, [*filter(None, [args.judge]), *(listed(args.judges) or ())])
    if experiments is not None:
        of = [str(run) for run in there.loc[there["experiment"].isin(experiments), "run_id"].drop_duplicates()]
        runs = of if runs is None else [run for run in runs if run in of]
    return (None if runs is None else tuple(runs)), (None if sets is None else tuple(sets))
