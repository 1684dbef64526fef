"""``ingest``, ``rebuild`` and ``doctor``: the database and the machine."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from em_core import doctor
from em_core.cli.output import Out
from em_core.home import Home
from em_core.store.publish import PublishReport, publish, rebuild


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    for name, function, text in (
        ("ingest", _ingest, "bring runs.duckdb up to date with the event files"),
        ("rebuild", _rebuild, "make runs.duckdb anew from runs/ alone"),
        ("doctor", _doctor, "check machine, GPU, disk, keys and files"),
    ):
        parser = commands.add_parser(name, parents=[shared], help=text)
        parser.set_defaults(run=function)


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
    findings = doctor.check(home)
    out.table([asdict(f) for f in findings], ["status", "what", "found", "fix"], "nothing to check")
    return 1 if any(f.status == "broken" for f in findings) else 0
