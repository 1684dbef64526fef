"""``experiments [NAME]``: runs that belong together, how far they are, and their rates by what varies between them."""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

from em_core import definitions
from em_core.cli.output import Out, aligned
from em_core.errors import BadInput, EMError
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import comparing as store_comparing
from em_core.store import queries
from em_core.store.contents import contents
from em_core.supervisor import experiments, live
from em_core.supervisor.evidence import list_runs
from em_core.view import comparing
from em_core.view import experiments as view
from em_core.view.experiments import Group

_RATE = ["question_set", "in_domain", "n_total", "n_scored", "n_coherent", "n_misaligned", "em_rate", "ci_low", "ci_high"]


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser("experiments", parents=[shared], help="runs that belong together, and their rates side by side")
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="one experiment: its runs, what varies, their rates")
    parser.add_argument("--definition", default=definitions.DEFAULT, help="what counts as misaligned")
    parser.add_argument("--judge", metavar="ID", help="whose scores, where several judges scored the runs")
    parser.add_argument("--questions", metavar="SET", help="only this question set")
    parser.add_argument("--interval", choices=("questions", "population"), default="questions")
    parser.add_argument("--by", metavar="FIELD", default="", help="runs with the same value of this field together")
    parser.set_defaults(run=_experiments)


def groups(home: Home, out: Out) -> list[Group]:
    """Every experiment: of the folders, and of the database what has none."""
    statuses = [] if home.read_only else list_runs(home)
    mine = experiments.groups(home, statuses)
    try:
        runs = queries.runs(home, baselines=False)
    except EMError as error:  # the folders are the truth: they are listed even beside a database that cannot be read
        if home.read_only:
            raise
        out.say(f"{error.message}; {error.hint}")
        return mine
    return view.merged(mine, view.published(runs, {status.run_id for status in statuses}))


def _experiments(args: argparse.Namespace, home: Home, out: Out) -> int:
    found = groups(home, out)
    if not args.name:
        rows = [
            {"name": g.name, "runs": len(g.members), "states": view.said(g.counts), "done": f"{g.progress:.0%}",
             "varied": view.varied_words(g.varied)} | ({"counts": g.counts} if out.json else {})
            for g in found
        ]  # fmt: skip
        out.table(
            rows, ["name", "runs", "states", "done", "varied"], "no experiments yet: launch a grid, or name a run's experiment"
        )
        return 0
    group = next((g for g in found if g.name == args.name), None)
    if group is None:
        raise BadInput(f"experiment {args.name!r} is unknown", "`python -m em_core experiments` lists them")
    if args.by and args.by not in group.varied:
        raise BadInput(f"--by: {args.by!r} does not vary in {group.name}", f"use one of: {', '.join(group.varied) or 'none'}")
    return _one(args, home, out, group)


def _one(args: argparse.Namespace, home: Home, out: Out, group: Group) -> int:
    cells, selection = _cells(args, home, group)
    rates = comparing.rates(cells, selection)
    rows = view.table(group, rates)
    pooled = view.by_knob(group, args.by, cells, selection) if args.by else pd.DataFrame()
    working = [] if home.read_only else live.active_runs(home)
    left = experiments.time_left_s(home, group, working) if group.unfinished else 0.0
    if out.json:
        out.document(
            {"name": group.name, "counts": group.counts, "progress": group.progress, "time_left_s": left, "varied": group.varied,
             "definition": selection.rule.name, "judge_id": _judge(cells), "runs": rows.to_dict("records"),
             "by": pooled.to_dict("records")}
        )  # fmt: skip
        return 0
    knobs = list(group.varied)
    out.say(f"{group.name}: {view.said(group.counts)}" + (f"; about {left / 60:.0f} min left" if left else ""))
    if len(cells):
        rule = selection.rule
        out.say(
            f"{rule.name}: {rule.rule}; judge {_judge(cells)}; the last scored checkpoint of each run; "
            f"95% intervals: {args.interval}"
        )
    if args.by:
        for note in sorted({note for note in pooled["note"] if note}):
            out.say(note)
        out.table(pooled.to_dict("records"), ["value", "n_runs", *_RATE], "no rates yet: none of these runs is scored")
        return 0
    print(aligned(rows.to_dict("records"), ["run_id", "state", *knobs, "at_step", *_RATE]))
    return 0


def _cells(args: argparse.Namespace, home: Home, group: Group) -> tuple[pd.DataFrame, Selection]:
    runs = tuple(member.run_id for member in group.members)
    sets = (args.questions,) if args.questions else None
    selection = Selection(args.definition, args.interval, args.judge, runs, sets)
    there = contents(home)
    known = set(there["question_set"].unique())
    if args.questions and args.questions not in known:
        raise BadInput(
            f"question set {args.questions!r} is not here", f"question sets here: {', '.join(sorted(known)) or 'none'}"
        )
    return store_comparing.cells(home, selection), selection


def _judge(cells: pd.DataFrame) -> str:
    return str(cells["judge_id"].iloc[0]) if len(cells) else ""
