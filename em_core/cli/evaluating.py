"""``evaluate``: new answers without training, of a run's checkpoints, an adapter or a model."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from em_core.cli.output import Out
from em_core.cli.running import wait_for
from em_core.cli.selecting import listed
from em_core.errors import BadInput
from em_core.evaluate_job.todo import Wanted, look
from em_core.home import Home
from em_core.spec import JudgeSpec, Precision
from em_core.specs_io import judge_configs
from em_core.supervisor import evaluate

TARGET = "a run (all its checkpoints), run@20,40,last, an adapter's folder, or owner/name on the Hub"


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser("evaluate", parents=[shared], help="new answers without training")
    parser.add_argument("target", metavar="TARGET", help=TARGET)
    parser.add_argument(
        "--questions", metavar="SETS", help="question sets, comma-separated (default: those that a run was asked, where missing)"
    )
    parser.add_argument("--samples", type=int, metavar="N", help="answers per wording (default: the run's; else 5)")
    parser.add_argument(
        "--judge",
        action="append",
        metavar="NAME",
        default=[],
        dest="judges",
        help="who scores (repeatable; default: the run's judges)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override a field of that judge"
    )
    parser.add_argument("--no-judge", action="store_true", help="only sample; `judge` scores later")
    parser.add_argument("--base", default="", metavar="MODEL", help="base model of an adapter (default: the one it names)")
    parser.add_argument("--revision", default="", metavar="REV", help="of the base model")
    parser.add_argument(
        "--precision", default="", choices=get_args(Precision), help="for what was not trained here (default: bf16)"
    )
    parser.add_argument("--domain", default="", metavar="NAME", help="what an adapter was trained on, for the charts")
    parser.add_argument("--name", default="", metavar="LABEL", help="label of the job")
    parser.add_argument("--experiment", default="", metavar="NAME", help="group of an adapter on the pages")
    parser.add_argument("--plan", action="store_true", help="only say what it would ask and take")
    parser.add_argument("--again", action="store_true", help="although an identical evaluation exists")
    parser.add_argument("--wait", action="store_true", help="wait for the end")
    parser.set_defaults(run=_evaluate)


def wanted(args: argparse.Namespace, home: Home) -> Wanted:
    """What the flags ask for.

    Raises:
        BadInput: They contradict each other, or name no judge.
    """
    if args.no_judge and (args.judges or args.overrides):
        raise BadInput("--no-judge and --judge: one or the other", "leave one of them out")
    if args.overrides and len(args.judges) != 1:
        raise BadInput("--set: overrides a field of a judge", "name that one judge with --judge")
    judges: tuple[JudgeSpec, ...] | None = () if args.no_judge else None
    if args.judges:
        judges = tuple(judge_configs.resolve(name, args.overrides, home)[1] for name in args.judges)
    sets = listed(args.questions)
    if sets is not None and not sets:
        raise BadInput("--questions: names no question set", "`python -m em_core questions list` has them")
    return Wanted(
        target=args.target, question_sets=None if sets is None else tuple(sets), samples=args.samples, judges=judges,
        base=args.base, revision=args.revision, precision=args.precision, domain=args.domain, name=args.name,
        experiment=args.experiment,
    )  # fmt: skip


def _evaluate(args: argparse.Namespace, home: Home, out: Out) -> int:
    asked = wanted(args, home)
    if args.plan:
        todo = look(home, asked)
        out.result(todo.as_dict(), todo.text())
        return 0
    queued = evaluate.queue(home, asked, again=args.again)
    document = {"runs": [queued.run_id] if queued.run_id else [], **queued.todo.as_dict()}
    if not queued.run_id:
        there = f"nothing to ask: all {queued.todo.n_there:,} answers are there"
        out.result(document, f"{there}; `judge --runs {queued.todo.job.target.name}` scores them with another judge")
        return 0
    out.say(queued.todo.text())
    code = wait_for(home, [queued.run_id], out) if args.wait else 0
    out.result(document | ({"exit_code": code} if args.wait else {}), queued.run_id)
    return code
