"""``import``: results of others, and exports of ours, as runs of their own."""

from __future__ import annotations

import argparse
from typing import Any

from em_core import definitions, importing
from em_core.cli.output import Out
from em_core.errors import BadInput
from em_core.home import Home
from em_core.importing import Report, Wishes

_RUN_COLUMNS = ("run_id", "label", "study", "base_model", "size_b", "domain", "n_answers", "n_scores", "n_rates", "steps", "new")


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser("import", parents=[shared], help="published results or other tools' files, as runs of their own")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files, folders or zips")
    parser.add_argument("--as", dest="format", metavar="FORMAT", help="the files' format (default: told by their content)")
    parser.add_argument("--formats", action="store_true", help="list the formats")
    parser.add_argument("--preview", action="store_true", help="say what would come, write nothing")
    parser.add_argument("--base-model", default="", metavar="NAME")
    parser.add_argument("--size-b", type=float, metavar="N", help="parameters of the base model, billions")
    parser.add_argument("--domain", metavar="NAME", help="what it was trained on ('' = nothing: the base model)")
    parser.add_argument("--experiment", default="", metavar="NAME", help="name of the study")
    parser.add_argument("--judge-name", default="", metavar="NAME", help="who scored")
    parser.add_argument("--step", type=int, metavar="N", help="optimizer steps, where the file does not say")
    parser.add_argument("--label", default="", metavar="NAME", help="name of the run")
    parser.add_argument("--questions", default="", metavar="NAME", help="name of the question set")
    parser.add_argument("--definition", default="", metavar="NAME", help="what a summary's rates count, where it does not say")
    parser.add_argument(
        "--map", action="append", default=[], metavar="NAME=COLUMN", help="alignment=my_score: which column is which"
    )
    parser.set_defaults(run=_import)


def _import(args: argparse.Namespace, home: Home, out: Out) -> int:
    if args.formats:
        rows = [{"name": name, "title": module.TITLE, "what": module.WHAT} for name, module in importing.formats().items()]
        out.table(rows, ["name", "title", "what"], "no formats")
        return 0
    if not args.paths:
        raise BadInput("import: no file is given", "name files, folders or zips; --formats lists what is read")
    wishes = _wishes(args)
    if args.preview:
        report = importing.read(home, args.paths, args.format, wishes)
    else:
        report = importing.bring(home, args.paths, args.format, wishes, progress=lambda file: out.say(f"reading {file}"))
    if out.json:
        out.document(report.document())
    else:
        _say(report, out)
    return 0


def _wishes(args: argparse.Namespace) -> Wishes:
    if args.definition:
        definitions.get(args.definition)
    if args.step is not None and args.step < 0:
        raise BadInput(f"--step {args.step}: expected 0 or more", "0 is the starting model")
    if args.size_b is not None and not 0 < args.size_b < 1e5:
        raise BadInput(f"--size-b {args.size_b}: expected billions of parameters", "8.03 for Llama-3.1-8B")
    pairs = [pair for each in args.map for pair in each.split(",") if pair.strip()]
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise BadInput(f"--map {wrong[0]}: expected NAME=COLUMN", "for instance --map alignment=my_score,answer=text")
    return Wishes(
        base_model=args.base_model, size_b=args.size_b, domain=args.domain, study=args.experiment, judge_name=args.judge_name,
        step=args.step, label=args.label, question_set=args.questions, definition=args.definition,
        columns={name.strip().lower(): column.strip() for name, _, column in (pair.partition("=") for pair in pairs)},
    )  # fmt: skip


def _say(report: Report, out: Out) -> None:
    for file in report.files:
        taken = f"{file.n_imported:,} of {file.n_rows:,} rows ({file.format})" if file.n_rows else file.format
        out.say(f"{file.file}: {file.problem or taken}{f'; {file.note}' if file.note else ''}")
        for entry in file.skipped if not file.problem else []:
            out.say(
                f"  {'left out' if entry['n'] else 'note'}: {entry['reason']}"
                + (f" ({entry['where']})" if entry["where"] else "")
            )
        for entry in file.unscored:
            out.say(f"  kept without a score: {entry['reason']} ({entry['where']})")
    done = "imported" if report.done else "would come"
    out.say(f"{report.n_new} runs, {report.n_answers:,} answers, {report.n_rates:,} published rates {done}")
    rows = [{**vars(run), "steps": _steps(run.steps)} for run in report.runs]
    out.table(rows, _RUN_COLUMNS, "nothing new")


def _steps(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) if len(steps) <= 6 else f"{steps[0]} to {steps[-1]} ({len(steps)})"
