"""``data``, ``questions`` and ``judges``: what a run can be made of, listed, shown and checked."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from em_core import datasets, judges, plugins, questions
from em_core.cli.output import Out
from em_core.errors import BadInput
from em_core.home import Home
from em_core.spec import DataPart, QuestionSetUse
from em_core.specs_io import judge_configs


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    _group(commands, shared, "data", "data sets", {"list": _data_list, "show": _data_show, "check": _data_check}, "DATA")
    _group(commands, shared, "questions", "question sets", {"list": _questions_list, "show": _questions_show}, "SET")
    parser = _group(
        commands, shared, "judges", "judges, and whether they answer", {"list": _judges_list, "check": _judges_check}, "JUDGE"
    )
    parser.add_argument("--model", default="", help="judge model")
    parser.add_argument("--base-url", default="", help="OpenAI-compatible endpoint")
    parser.add_argument("--api-key-env", default="", help="environment variable that holds the key")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override any field")


def _group(
    commands: Any, shared: argparse.ArgumentParser, name: str, what: str, actions: dict[str, Any], metavar: str
) -> argparse.ArgumentParser:
    """One command with its actions; all but ``list`` name a thing. Returns the last action's parser."""
    group = commands.add_parser(name, help=what)
    verbs = group.add_subparsers(dest="action", required=True, metavar="|".join(actions))
    parser = group
    for verb, function in actions.items():
        parser = verbs.add_parser(verb, parents=[shared])
        if verb != "list":
            parser.add_argument("name", metavar=metavar)
        parser.set_defaults(run=function)
    return parser  # type: ignore[no-any-return]


def _data_list(args: argparse.Namespace, home: Home, out: Out) -> int:
    rows = [asdict(each) for each in datasets.available()]
    out.table(rows, ["name", "domain", "kind", "rows", "toy", "description"], "no data sets ship here; give a path instead")
    return 0


def _data_show(args: argparse.Namespace, home: Home, out: Out) -> int:
    part = datasets.load(DataPart(source=args.name), seed=0)
    lines = [f"{m['role']}: {m['content']}" for row in part.rows[:3] for m in [*row, {"role": "---", "content": ""}]]
    out.result({**_facts(part), "first_rows": part.rows[:3]}, "\n".join(lines))
    return 0


def _data_check(args: argparse.Namespace, home: Home, out: Out) -> int:
    part = datasets.load(DataPart(source=args.name), seed=0)
    notes = "".join(f"\n  note: {note}" for note in part.notes)
    out.result(_facts(part), f"{part.name}: {part.n_rows_file} rows, all well-formed, domain {part.domain}{notes}")
    return 0


def _facts(part: datasets.LoadedPart) -> dict[str, Any]:
    return {
        "name": part.name, "path": str(part.path), "domain": part.domain, "rows": part.n_rows_file, "sha256": part.sha256,
        "toy": part.toy, "notes": list(part.notes),
    }  # fmt: skip


def _questions_list(args: argparse.Namespace, home: Home, out: Out) -> int:
    rows = []
    for name in questions.available():
        found = questions.load(QuestionSetUse(name=name))
        rows.append({"name": name, "questions": len(found.entries), "wordings": found.n_wordings, "hash": found.hash[:8]})
    out.table(rows, ["name", "questions", "wordings", "hash"], "no question sets ship here; give a path instead")
    return 0


def _questions_show(args: argparse.Namespace, home: Home, out: Out) -> int:
    found = questions.load(QuestionSetUse(name=args.name))
    entries = [asdict(entry) for entry in found.entries]
    lines = [
        f"{e.id} ({e.domain or 'no domain'}){' [system prompt]' if e.system else ''}: {e.paraphrases[0]}" for e in found.entries
    ]
    out.result({"name": found.name, "hash": found.hash, "notes": list(found.notes), "entries": entries}, "\n".join(lines))
    return 0


def _judges_list(args: argparse.Namespace, home: Home, out: Out) -> int:
    rows: list[dict[str, Any]] = []
    for name, config in sorted(judge_configs.available(home).items()):
        row: dict[str, Any] = {"name": name, "kind": "own" if config.own else "shipped", "what": config.title}
        try:
            _, spec = judge_configs.resolve(name, (), home)
            row |= {"plugin": spec.name, "model": spec.model, "mode": spec.mode, "rubric": spec.rubric}
        except BadInput as error:
            row["what"] = f"cannot be used: {error.message.splitlines()[0]}"
        rows.append(row)
    for name in plugins.names(judges.__name__):
        text = (plugins.load(judges.__name__, "judge", name).__doc__ or "").strip().splitlines()
        rows.append({"name": name, "kind": "plugin", "what": text[0] if text else "", "plugin": name})
    out.table(rows, ["name", "kind", "model", "mode", "what"], "no judges")
    return 0


def _judges_check(args: argparse.Namespace, home: Home, out: Out) -> int:
    given = {"model": args.model, "base_url": args.base_url, "api_key_env": args.api_key_env}
    overrides = [*args.overrides, *(f"{field}={json.dumps(value)}" for field, value in given.items() if value)]
    _, spec = judge_configs.resolve(args.name, overrides, home)
    judge = judges.open_judge(spec)
    judge.check()
    out.result(judge.identity.as_event(), f"{judge.identity.judge_id} answers")
    return 0
