"""``presets``, ``plan`` and ``launch``."""

from __future__ import annotations

import argparse
from typing import Any

from em_core import plan as planning
from em_core import specs_io
from em_core.cli.output import Out
from em_core.cli.running import wait_for
from em_core.errors import BadInput
from em_core.home import Home
from em_core.plan import accuracy, many
from em_core.specs_io import varied
from em_core.supervisor.launch import launch
from em_core.view.experiments import varied_words


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    parser = commands.add_parser("presets", parents=[shared], help="the recipes that ship with the workbench")
    parser.set_defaults(run=_presets)
    for name, function, text in (
        ("plan", _plan, "what a spec would do: steps, answers, cost, memory, warnings"),
        ("launch", _launch, "queue one run, or a grid when a value is a list"),
    ):
        parser = commands.add_parser(name, parents=[shared], help=text)
        optional: dict[str, Any] = {"nargs": "?", "default": ""} if name == "plan" else {}
        parser.add_argument("spec", metavar="SPEC", help="a YAML or JSON file, or a preset's name", **optional)
        parser.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override a field (dotted key)"
        )
        if name == "plan":
            text = "instead: how good the plans of finished runs were, against what was measured"
            parser.add_argument("--accuracy", action="store_true", help=text)
        parser.set_defaults(run=function)
    parser.add_argument("--wait", action="store_true", help="wait for the end")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--again", action="store_true", help="launch although an identical run exists")
    existing.add_argument("--skip-existing", action="store_true", help="leave out what an identical run has done or does")


def _presets(args: argparse.Namespace, home: Home, out: Out) -> int:
    out.table(specs_io.presets(), ["name", "base_model", "title"], "no presets: data/presets is empty")
    return 0


def _plan(args: argparse.Namespace, home: Home, out: Out) -> int:
    if args.accuracy:
        return _accuracy(home, out)
    if not args.spec:
        raise BadInput("plan: SPEC is missing", "name a YAML or JSON file, or a preset (`python -m em_core presets`)")
    specs = specs_io.read_spec(args.spec, args.overrides, home=home)
    many.validate(specs, home)
    shown = specs if out.json else [group[0] for group in many.kinds(specs)][: many.MOST_PLANS]
    plans = [planning.plan(spec, home) for spec in shown]
    if out.json:
        documents = [item.as_dict() for item in plans]
        out.document(documents[0] if len(documents) == 1 else documents)
    else:
        print("\n\n".join(item.text() for item in plans))
        if len(specs) > 1:
            print(f"\n{many.total(specs, home).text()}")
    return 0


def _accuracy(home: Home, out: Out) -> int:
    rows = accuracy.compared(home)
    found = accuracy.summaries(rows)
    if out.json:
        out.document({"summary": [each.as_dict() for each in found], "runs": [row.as_dict() for row in rows]})
    elif not rows:
        out.say("nothing to compare yet: no finished run of this machine was launched with a plan beside its spec")
    else:
        out.table([row.as_dict() for row in rows], ["run_id", "title", "planned", "measured", "ratio", "source"], "")
        print()
        out.table(
            [each.as_dict() for each in found], ["title", "n", "median_ratio", "median_error", "worst_error", "n_inside"], ""
        )
        out.say("ratio = planned / measured; n_inside: times within the range that was said, memory within 15 %")
    return 0


def _launch(args: argparse.Namespace, home: Home, out: Out) -> int:
    specs = varied.named(specs_io.read_spec(args.spec, args.overrides, home=home))
    many.validate(specs, home)
    names = list(dict.fromkeys(spec.experiment for spec in specs if spec.experiment))
    if len(specs) > 1:
        knobs = varied_words(varied.varied([spec.model_dump(mode="json") for spec in specs]))
        out.say(f"experiment {', '.join(names)}: {len(specs):,} runs; {knobs}")
    launched = launch(home, specs, again=args.again, existing_ok=args.skip_existing)
    run_ids = [item.run_id for item in launched]
    if old := [item.run_id for item in launched if not item.created]:
        out.say(f"{len(old)} of {len(launched)} exist already and were left as they are")
    document: dict[str, Any] = {"runs": run_ids, "experiments": names, "existing": old}
    if not args.wait:
        out.result(document, "\n".join(run_ids))
        return 0
    code = wait_for(home, run_ids, out)
    out.result(document | {"exit_code": code}, "\n".join(run_ids))
    return code
