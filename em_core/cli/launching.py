"""``presets``, ``plan`` and ``launch``."""

from __future__ import annotations

import argparse
from typing import Any

from em_core import plan as planning
from em_core import specs_io
from em_core.cli.output import Out
from em_core.cli.running import wait_for
from em_core.home import Home
from em_core.supervisor.launch import launch


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    parser = commands.add_parser("presets", parents=[shared], help="the recipes that ship with the workbench")
    parser.set_defaults(run=_presets)
    for name, function, text in (
        ("plan", _plan, "what a spec would do: steps, answers, cost, memory, warnings"),
        ("launch", _launch, "queue one run, or a grid when a value is a list"),
    ):
        parser = commands.add_parser(name, parents=[shared], help=text)
        parser.add_argument("spec", metavar="SPEC", help="a YAML or JSON file, or a preset's name")
        parser.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override a field (dotted key)"
        )
        parser.set_defaults(run=function)
    parser.add_argument("--wait", action="store_true", help="wait for the end")
    parser.add_argument("--again", action="store_true", help="launch although an identical run exists")


def _presets(args: argparse.Namespace, home: Home, out: Out) -> int:
    out.table(specs_io.presets(), ["name", "base_model", "title"], "no presets: data/presets is empty")
    return 0


def _plan(args: argparse.Namespace, home: Home, out: Out) -> int:
    plans = []
    for spec in specs_io.read_spec(args.spec, args.overrides, home=home):
        planning.validate(spec, home)
        plans.append(planning.plan(spec, home))
    if out.json:
        documents = [item.as_dict() for item in plans]
        out.document(documents[0] if len(documents) == 1 else documents)
    else:
        print("\n\n".join(item.text() for item in plans))
    return 0


def _launch(args: argparse.Namespace, home: Home, out: Out) -> int:
    specs = specs_io.read_spec(args.spec, args.overrides, home=home)
    for spec in specs:
        planning.validate(spec, home)
    launched = launch(home, specs, again=args.again)
    run_ids = [item.run_id for item in launched]
    if not args.wait:
        out.result({"runs": run_ids}, "\n".join(run_ids))
        return 0
    code = wait_for(home, run_ids, out)
    out.result({"runs": run_ids, "exit_code": code}, "\n".join(run_ids))
    return code
