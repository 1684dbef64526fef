"""The command line: ``python -m em_core [--home DIR] COMMAND …``.

One module a topic; each has ``add(commands)``, which declares its commands and sets ``run`` to a
function ``(args, home, out) -> exit code``. With ``--json`` one JSON document goes to stdout and
nothing else; progress and messages go to stderr. Exit codes: 0 done, 1 the work failed, 2 bad input,
3 refused or busy.
"""

from __future__ import annotations

import argparse
import importlib
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


TOPICS: dict[str, tuple[str, ...]] = {
    "demo": ("demo",),
    "launching": ("presets", "plan", "launch"),
    "inputs": ("data", "questions", "judges"),
    "running": ("runs", "show", "logs"),
    "controlling": ("stop", "save", "resume", "retry"),
    "experiments": ("experiments",),
    "deleting": ("delete", "trash"),
    "evaluating": ("evaluate",),
    "queueing": ("queue",),
    "judging": ("judge",),
    "results": ("rates",),
    "importing": ("import",),
    "plotting": ("plot",),
    "exporting": ("export",),
    "compare": ("compare",),
    "agreement": ("agreement", "labels"),
    "health": ("health",),
    "statistics": ("trajectory", "seeds", "power"),
    "machine": ("ingest", "rebuild", "doctor"),
    "serving": ("serve",),
}
"""The modules of this package and their commands: a known command loads its own module alone."""


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """The command line: of one command, or the whole of it where the command is unknown or none."""
    mine = [topic for topic, names in TOPICS.items() if command in names]
    parser = _Parser(prog="python -m em_core", description="Emergent-misalignment workbench.")
    parser.add_argument("--home", help="folder that holds runs/ and runs.duckdb (default: $EM_HOME, else the checkout)")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    shared.add_argument("--home", dest="home_after", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for topic in mine or TOPICS:
        importlib.import_module(f"{__name__}.{topic}").add(commands, shared)
    return parser


def _command(argv: Sequence[str]) -> str:
    """The first word that is no option, nor the folder of ``--home``."""
    words = iter(argv)
    for word in words:
        if word == "--home":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    out = Out(json="--json" in (argv if argv is not None else sys.argv[1:]))
    try:
        parser = build_parser(_command(argv if argv is not None else sys.argv[1:]))
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
