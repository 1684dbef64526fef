"""``serve``: the pages, for oneself or as a read-only demonstration for others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from em_core import serving
from em_core.cli.output import Out
from em_core.home import Home


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser("serve", parents=[shared], help="open the pages; with --readonly safe to show in public")
    parser.add_argument(
        "--readonly", action="store_true", help="show everything, change nothing: no launch, stop, judge or label"
    )
    parser.add_argument("--database", type=Path, metavar="FILE", help="show this runs.duckdb (read-only)")
    parser.add_argument("--port", type=int, default=serving.PORT)
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (others than this machine need --readonly)")
    parser.add_argument("--name", action="append", default=[], metavar="HOST", help="a host name under which browsers reach it")
    parser.set_defaults(run=_serve)


def _serve(args: argparse.Namespace, home: Home, out: Out) -> int:
    found = serving.prepare(
        home, readonly=args.readonly, database_file=args.database, port=args.port, address=args.address, names=args.name
    )
    what = f"read-only, {found.database.name}" if found.read_only else f"the workbench of {home.root}"
    out.result({"url": found.url, "read_only": found.read_only, "database": str(found.database)}, f"{found.url}  ({what})")
    serving.start(found)
