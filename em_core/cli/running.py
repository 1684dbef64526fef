"""``runs``, ``show`` and ``logs``: what is going on."""

from __future__ import annotations

import argparse
import codecs
import sys
import time
from typing import Any

from em_core.cli.output import Out, printable
from em_core.cli.showing import show
from em_core.errors import EMError
from em_core.home import Home
from em_core.supervisor import ensure_running, is_running
from em_core.supervisor.evidence import RunStatus, list_runs, run_status, status_of
from em_core.supervisor.requeue import settled


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    parser = commands.add_parser("runs", parents=[shared], help="every run with its state")
    parser.set_defaults(run=_runs)
    parser = commands.add_parser("show", parents=[shared], help="one run: spec, lineage, phases, checkpoints, what speaks for it")
    parser.add_argument("run_id", metavar="RUN")
    parser.add_argument("--with", dest="other", metavar="RUN", default="", help="only what differs between two runs")
    parser.set_defaults(run=show)
    parser = commands.add_parser("logs", parents=[shared], help="the worker's log")
    parser.add_argument("run_id", metavar="RUN")
    parser.add_argument("--follow", action="store_true", help="go on until the run ends")
    parser.set_defaults(run=_logs)


def _status_row(status: RunStatus) -> dict[str, Any]:
    return {
        "run_id": status.run_id,
        "state": status.state,
        **{phase: status.phases.get(phase, "") for phase in ("train", "evaluate", "judge")},
        "step": status.step,
        "total_steps": status.total_steps,
        "cause": status.cause,
        "reason": status.reason,
        "hint": status.hint,
    }


def _published(home: Home) -> list[dict[str, Any]]:
    """The same from the database alone: what there is of the shipped demonstration, and where no folder may be looked at."""
    from em_core.store import queries

    runs = queries.runs(home, baselines=False).sort_values(["created_t", "run_id"])
    renamed = runs.rename(columns={f"{phase}_state": phase for phase in ("train", "evaluate", "judge")})
    renamed = renamed.rename(
        columns={"run_state": "state", "run_cause": "cause", "run_reason": "reason", "run_hint": "hint"}
    ).assign(step=None)
    columns = ["run_id", "state", "train", "evaluate", "judge", "step", "total_steps", "cause", "reason", "hint"]
    return [{str(k): v for k, v in row.items()} for row in renamed[columns].astype(object).to_dict("records")]


def _runs(args: argparse.Namespace, home: Home, out: Out) -> int:
    rows = [] if home.read_only else [_status_row(status) for status in list_runs(home)]
    here = {row["run_id"] for row in rows}
    try:
        rows = [*(row for row in _published(home) if row["run_id"] not in here), *rows]
    except EMError as error:  # the folders are the truth: they are listed even beside a database that cannot be read
        if home.read_only:
            raise
        out.say(f"{error.message}; {error.hint}")
    columns = ["run_id", "state", "train", "evaluate", "judge", "step", "total_steps", "cause", "reason"]
    out.table(rows, columns, "no runs yet: `python -m em_core demo` starts the small demonstration")
    return 0


def _logs(args: argparse.Namespace, home: Home, out: Out) -> int:
    path = home.run_dir(args.run_id) / "worker.log"
    offset, text = 0, ""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a letter may be half written
    while True:
        status = status_of(home, args.run_id)
        ended = status.final and (settled(path.parent, status) or not is_running(home))
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
            offset += len(data)
            chunk = decoder.decode(data)
            if out.json:
                text += chunk
            else:
                sys.stdout.write(printable(chunk.replace("\r", "\n")))
                sys.stdout.flush()
        if not args.follow or ended:
            break
        time.sleep(0.5)
    if out.json:
        out.document({"run_id": args.run_id, "log": text})
    return 0


def wait_for(home: Home, run_ids: list[str], out: Out) -> int:
    """Wait until every run has ended and is in the database; 0 when all finished, else 1."""
    from em_core.store.publish import publish

    told: dict[str, tuple[str, int]] = {}
    while True:
        statuses = [run_status(home.run_dir(run_id)) for run_id in run_ids]
        for status in statuses:
            step, last = status.step or 0, status.total_steps or 0
            news = (status.state, 10 * step // last if last else 0)  # a line at each tenth
            if told.get(status.run_id) != news:
                told[status.run_id] = news
                progress = f"step {step} of {last}" if last else ""
                out.say(f"{time.strftime('%H:%M:%S')} {status.run_id}: {status.state} {progress} {status.reason}".rstrip())
        if all(settled(home.run_dir(status.run_id), status) for status in statuses):
            break
        ensure_running(home)
        time.sleep(1)
    publish(home)
    return 0 if all(status.state == "finished" for status in statuses) else 1
