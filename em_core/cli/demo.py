"""``demo``: the organism experiment, for real, on CPU, offline."""

from __future__ import annotations

import argparse
from typing import Any

from em_core import demo as demonstration
from em_core.cli.output import Out
from em_core.cli.results import RATE_COLUMNS
from em_core.cli.running import wait_for
from em_core.definitions import DEFAULT
from em_core.home import Home


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare ``demo``."""
    parser = commands.add_parser("demo", parents=[shared], help="run the organism experiment for real (a toy, offline)")
    parser.add_argument("--grid", choices=("small", "full"), default="small", help="small: 1 size x 2 domains; full: 3 x 2")
    parser.add_argument("--wait", action="store_true", help="wait for the end and print the table of rates")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, home: Home, out: Out) -> int:
    """Queue the grid; with ``--wait`` print its rates."""
    launched = demonstration.start(home, args.grid)
    run_ids = [item.run_id for item in launched]
    for item in launched:
        out.say(f"{'queued' if item.created else 'exists already'}: {item.run_id}")
    if not args.wait:
        out.result({"runs": run_ids}, "\n".join(run_ids))
        return 0
    code = wait_for(home, run_ids, out)
    rates = demonstration.table(home, run_ids, DEFAULT)
    out.table(rates.to_dict("records"), ["base_model", "domain", "step", *RATE_COLUMNS], "no rates")
    return code
