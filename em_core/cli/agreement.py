"""``agreement`` and ``labels``: do judges agree with each other and with people, and the people's labels as files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from em_core import agreement, definitions, labels
from em_core.agreement import Measured
from em_core.cli.output import Out
from em_core.cli.selecting import listed
from em_core.errors import BadInput
from em_core.home import Home
from em_core.labels import files
from em_core.store import agreement as store_agreement
from em_core.store import labels as store_labels
from em_core.store import queries
from em_core.store.publish import publish
from em_core.view import judge_tables
from em_core.view.judge_notes import mixed_models


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    parser = commands.add_parser(
        "agreement", parents=[shared], help="judges side by side on the same answers, and against people"
    )
    parser.add_argument(
        "--judges", metavar="IDS", help="two or more, comma-separated; the first is what the others are held against"
    )
    _selection(parser)
    parser.add_argument(
        "--definition", default=definitions.DEFAULT, help=f"one of: {', '.join(definitions.DEFINITIONS)}; or a rule"
    )
    parser.add_argument("--interval", choices=("questions", "population"), default="questions")
    parser.set_defaults(run=_agreement)
    group = commands.add_parser("labels", help="people's labels: draw answers to label, export, import")
    verbs = group.add_subparsers(dest="action", required=True, metavar="draw|export|import")
    parser = verbs.add_parser("draw", parents=[shared], help="draw a batch for somebody, who then labels it blind in the browser")
    parser.add_argument("labeller", metavar="NAME")
    parser.add_argument("--n", type=int, default=60, help="how many answers")
    parser.add_argument("--order", choices=tuple(store_labels.ORDERS), default="random")
    parser.add_argument("--judges", metavar="IDS", help="whose disagreement counts, comma-separated")
    _selection(parser)
    parser.set_defaults(run=_draw)
    parser = verbs.add_parser("export", parents=[shared], help="the standing labels as .csv or .jsonl")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE")
    parser.add_argument("--labeller", default="", metavar="NAME", help="only this person's")
    parser.set_defaults(run=_export)
    parser = verbs.add_parser("import", parents=[shared], help="labels from .csv or .jsonl")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--labeller", default="", metavar="NAME", help="whose they are, where the rows do not say")
    parser.set_defaults(run=_import)


def _selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", metavar="IDS", help="only these runs, comma-separated")
    parser.add_argument("--questions", metavar="SETS", help="only these question sets, comma-separated")


def _agreement(args: argparse.Namespace, home: Home, out: Out) -> int:
    rule = definitions.get(args.definition)
    judges = chosen_judges(home, listed(args.judges))
    of: dict[str, Any] = {"run_ids": listed(args.runs), "question_sets": listed(args.questions)}
    found = store_agreement.answers(home, judges, rule, **of)
    table = agreement.judge_table(found, args.interval)
    by_judges, by_people = store_labels.against_judges(home, judges, rule, **of)
    people = agreement.people_table(by_judges, by_people, args.interval) if by_people.raters else None
    notes = mixed_models(store_agreement.served_models(home), judges)
    together, among = agreement.overall(found), agreement.overall(by_people) if len(by_people.raters) > 1 else {}
    if out.json:
        out.document(
            {
                "definition": rule.name, "rule": rule.rule, "interval": args.interval, "judges": table.to_dict("records"),
                "alpha": {name: _plain(value) for name, value in together.items()},
                "confusion": [
                    {"first": judges[0], "second": judges[i], "counts": agreement.confusion(found, 0, i).to_dict("index")}
                    for i in range(1, len(judges))
                ],
                "people": [] if people is None else people.to_dict("records"),
                "alpha_of_people": {name: _plain(value) for name, value in among.items()}, "notes": notes,
            }
        )  # fmt: skip
        return 0
    for rater in {rater.rule.name: rater for rater in found.raters}.values():
        out.say(f"{rater.rule.name}: {rater.rule.rule}")
    for note in notes:
        out.say(note)
    out.say(
        f"{int(found.common.sum()):,} of {len(found.ids):,} answers scored by all; against {judges[0]}; interval: {args.interval}"
    )
    shown = judge_tables.judges(table)
    out.table(shown.to_dict("records"), list(shown.columns), "no judge")
    if people is None:
        out.say("no labels of people yet: label some on the page Label, or `python -m em_core labels import FILE`")
    else:
        shown = judge_tables.people(people)
        print()
        out.table(shown.to_dict("records"), list(shown.columns), "")
    return 0


def chosen_judges(home: Home, wanted: list[str] | None) -> list[str]:
    """The judges that are meant: the given ones, else the two with the most answers in common, else the only one.

    Raises:
        BadInput: Nobody has scored anything, or one of them has not.
    """
    known = [str(judge) for judge in queries.judges(home)["judge_id"]]
    if not known:
        raise BadInput("no judge has scored anything here", "`python -m em_core demo --wait` makes scored answers")
    if wanted is None:
        pairs = store_agreement.pairs(home)
        return [str(pairs["judge_a"].iloc[0]), str(pairs["judge_b"].iloc[0])] if len(pairs) else known[:1]
    for judge in wanted:
        if judge not in known:
            raise BadInput(f"judge {judge!r} has scored nothing here", f"judges here: {', '.join(known[:8])}")
    return wanted


def _plain(value: Measured) -> dict[str, Any]:
    return {"value": value.value, "low": value.low, "high": value.high, "n": value.n, "n_questions": value.n_questions}


def _draw(args: argparse.Namespace, home: Home, out: Out) -> int:
    desk = labels.Desk(home, args.labeller)
    batch = desk.draw(
        args.n, args.order, run_ids=listed(args.runs) or (), question_sets=listed(args.questions) or (),
        judge_ids=listed(args.judges) or (),
    )  # fmt: skip
    n = len(batch.response_ids)
    text = f"{n} answers drawn for {desk.labeller}: open the page Label and write that name"
    out.result({"labeller": desk.labeller, "n": n, "order": batch.order}, text)
    return 0


def _export(args: argparse.Namespace, home: Home, out: Out) -> int:
    publish(home)
    n = files.export(home, args.out, args.labeller)
    out.result({"file": str(args.out), "n": n}, f"{n} labels in {args.out}")
    return 0


def _import(args: argparse.Namespace, home: Home, out: Out) -> int:
    publish(home)
    n = files.read(home, args.file, args.labeller)
    publish(home)
    out.result({"file": str(args.file), "n": n}, f"{n} answers labelled")
    return 0
