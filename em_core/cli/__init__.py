"""The command line: ``python -m em_core [--home DIR] COMMAND …``.

One module a topic; each has ``add(commands)``, which declares its commands and sets ``run`` to a
function ``(args, home, out) -> exit code``. With ``--json`` one JSON document goes to stdout and
nothing else; progress and messages go to stderr. Exit codes: 0 done, 1 the work failed, 2 bad input,
3 refused or busy.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from em_core.cli.output import Out
from em_core.errors import BadInput, EMError
from em_core.home import Home


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line like every other bad input."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(message, f"`{self.prog} --help` shows what it takes")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from em_core.cli import (
        agreement,
        compare,
        demo,
        exporting,
        health,
        importing,
        inputs,
        judging,
        launching,
        machine,
        plotting,
        results,
        running,
        serving,
        statistics,
    )

    parser = _Parser(prog="python -m em_core", description="Emergent-misalignment workbench.")
    parser.add_argument("--home", help="folder that holds runs/ and runs.duckdb (default: $EM_HOME, else the checkout)")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    shared.add_argument("--home", dest="home_after", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for module in (
        demo,
        launching,
        inputs,
        running,
        judging,
        results,
        importing,
        plotting,
        exporting,
        compare,
        agreement,
        health,
        statistics,
        machine,
        serving,
    ):
        module.add(commands, shared)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    out = Out(json="--json" in (argv if argv is not None else sys.argv[1:]))
    try:
        parser = build_parser()
        args = parser.parse_args(argv)
        if not args.command:
            parser.print_help(sys.stderr)
            return 2
        return int(args.run(args, Home.find(args.home_after or args.home), out))
    except EMError as error:
        out.error(error)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        out.say("interrupted; background runs go on (`python -m em_core runs` lists them)")
        return 1
