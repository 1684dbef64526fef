"""``ingest``, ``rebuild`` and ``doctor``: the database and the machine."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from em_core import doctor
from em_core.cli.output import Out
from em_core.doctor import printing
from em_core.home import Home
from em_core.store.publish import PublishReport, publish, rebuild


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    for name, function, text in (
        ("ingest", _ingest, "bring runs.duckdb up to date with the event files"),
        ("rebuild", _rebuild, "make runs.duckdb anew from runs/ alone"),
    ):
        commands.add_parser(name, parents=[shared], help=text).set_defaults(run=function)
    parser = commands.add_parser("doctor", parents=[shared], help="check machine, GPU, disk, keys, files, database, processes")
    parser.add_argument(
        "--deep", action="store_true", help="also what takes long: every event, every checkpoint, torch on the GPU"
    )
    parser.add_argument("--online", action="store_true", help="also what leaves this machine: judges' servers and the Hub")
    parser.add_argument("--fix", action="store_true", help="remove half-made leftovers; nothing of value, and start nothing")
    parser.add_argument("--only", metavar="TOPICS", help=f"comma-separated: {', '.join(doctor.TOPICS)}")
    parser.set_defaults(run=_doctor)


def _report(report: PublishReport, out: Out) -> int:
    text = f"{report.n_events} events, {report.n_quarantined} damaged lines set aside, {report.seconds:.2f} s"
    out.result(asdict(report), text)
    return 0


def _ingest(args: argparse.Namespace, home: Home, out: Out) -> int:
    home.prepare()
    return _report(publish(home), out)


def _rebuild(args: argparse.Namespace, home: Home, out: Out) -> int:
    home.prepare()
    return _report(rebuild(home), out)


def _doctor(args: argparse.Namespace, home: Home, out: Out) -> int:
    topics = None if args.only is None else [word.strip() for word in args.only.split(",") if word.strip()] or [args.only]
    if args.fix:
        home.writable("Repairing")
    findings = doctor.check(
        home, deep=args.deep, online=args.online, topics=topics, tell=(lambda title: out.say(f"{title} …")) if args.deep else None
    )
    if args.fix:
        findings = doctor.repair(findings)
    out.result([f.as_row() for f in findings], printing.text(findings))
    if not args.fix and (n := sum(f.repair is not None for f in findings)):
        out.say(f"`doctor --fix` puts {n} of these right")
    return 1 if doctor.worst(findings) == "broken" else 0
