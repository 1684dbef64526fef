"""``stop``, ``save``, ``resume`` and ``retry``: what a person does with a run."""

from __future__ import annotations

import argparse
from typing import Any

from em_core.cli.output import Out
from em_core.cli.running import wait_for
from em_core.home import Home
from em_core.supervisor import control, experiments


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    parser = commands.add_parser("stop", parents=[shared], help="stop a run, or an experiment's; saves a checkpoint first")
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("run_id", metavar="RUN", nargs="?", default="")
    one.add_argument("--experiment", metavar="NAME", default="", help="all runs of it that work or wait")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--discard", action="store_true", help="don't save a checkpoint")
    how.add_argument("--now", action="store_true", help="don't save, and end a worker that does not react within seconds")
    parser.set_defaults(run=_stop)
    parser = commands.add_parser("save", parents=[shared], help="save a checkpoint of a running run, which goes on")
    parser.add_argument("run_id", metavar="RUN")
    parser.set_defaults(run=_save)
    parser = commands.add_parser("resume", parents=[shared], help="go on with a run from its last complete checkpoint")
    parser.add_argument("run_id", metavar="RUN")
    parser.add_argument("--wait", action="store_true", help="wait until it has ended; exit 1 unless it finished")
    parser.set_defaults(run=_resume)
    parser = commands.add_parser("retry", parents=[shared], help="a run's spec once more, as a new run")
    parser.add_argument("run_id", metavar="RUN")
    batch = parser.add_mutually_exclusive_group()
    batch.add_argument(
        "--smaller-batch",
        action="store_true",
        help="half as many rows at once, the same effective batch (done by itself after the GPU's memory ran out)",
    )
    batch.add_argument("--same-batch", action="store_true", help="leave the batch as it is")
    parser.add_argument("--wait", action="store_true", help="wait until it has ended; exit 1 unless it finished")
    parser.set_defaults(run=_retry)


def _stop(args: argparse.Namespace, home: Home, out: Out) -> int:
    if args.experiment:
        said = experiments.stop(home, args.experiment, args.discard, now=args.now)
        out.result({"experiment": args.experiment, "messages": said}, "\n".join(said))
        return 0
    message = control.stop(home, args.run_id, args.discard, now=args.now)
    out.result({"run_id": args.run_id, "message": message}, message)
    return 0


def _save(args: argparse.Namespace, home: Home, out: Out) -> int:
    message = control.save_now(home, args.run_id)
    out.result({"run_id": args.run_id, "message": message}, message)
    return 0


def _resume(args: argparse.Namespace, home: Home, out: Out) -> int:
    message = control.resume(home, args.run_id)
    out.result({"run_id": args.run_id, "message": message}, message)
    return wait_for(home, [args.run_id], out) if args.wait else 0


def _retry(args: argparse.Namespace, home: Home, out: Out) -> int:
    smaller = True if args.smaller_batch else False if args.same_batch else None
    launched = control.retry(home, args.run_id, smaller_batch=smaller)
    out.result({"run_id": launched.run_id, "retry_of": args.run_id}, launched.run_id)
    return wait_for(home, [launched.run_id], out) if args.wait else 0
