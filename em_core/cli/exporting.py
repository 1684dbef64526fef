"""``export``: figures, tables, raw data and a report in a folder to take along."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from em_core import definitions
from em_core.cli.output import Out
from em_core.cli.selecting import listed
from em_core.home import Home
from em_core.selection import Selection

_SAY_EVERY_S = 2.0


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser("export", parents=[shared], help="figures, tables, raw data and a report page, in a folder")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--definition", default=definitions.DEFAULT, help=f"{', '.join(definitions.DEFINITIONS)}, or a rule of your own"
    )
    parser.add_argument("--judge", metavar="ID", help="whose scores the rates are of (default: the judge that scored most)")
    parser.add_argument("--interval", choices=("questions", "population"), default="questions")
    parser.add_argument("--runs", metavar="IDS", help="only these runs, comma-separated")
    parser.add_argument("--questions", metavar="SETS", help="rates of these question sets only, comma-separated")
    parser.add_argument("--in-domain", choices=("yes", "no"), help="rates inside (yes) or outside the training domain only")
    parser.add_argument(
        "--parts", default="csv,figures,parquet,jsonl,report", metavar="PARTS", help="some of csv,figures,parquet,jsonl,report"
    )
    parser.add_argument("--zip", action="store_true", help="also DIR.zip")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export in this folder")
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace, home: Home, out: Out) -> int:
    from em_core import export  # figures and charts: only for this command

    runs, sets = (None if names is None else tuple(names) for names in (listed(args.runs), listed(args.questions)))
    inside = None if args.in_domain is None else args.in_domain == "yes"
    chosen = Selection(args.definition, args.interval, args.judge, runs, sets, inside)
    said = time.monotonic()

    def progress(share: float, what: str) -> None:
        nonlocal said
        if time.monotonic() - said > _SAY_EVERY_S:
            said = time.monotonic()
            out.say(f"{share:4.0%}  {what}")

    report = export.export(
        home, chosen, args.out, tuple(listed(args.parts) or ()), progress, overwrite=args.overwrite, pack=args.zip
    )
    for name, why in report.missing.items():
        out.say(f"figure {name} is missing: {why}")
    for note in report.notes:
        out.say(note)
    size = f"{report.n_files} files, {report.n_bytes / 1e6:,.1f} MB, {report.seconds:.1f} s"
    text = f"{report.out}: {report.n_runs} runs, {report.n_answers:,} answers, {size}"
    out.result(report.as_dict(), text + (f"\n{report.zip}" if report.zip else ""))
    return 0
