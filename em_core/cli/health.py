"""``health``: judge-free signs of breakage beside every rate."""

from __future__ import annotations

import argparse
from typing import Any

from em_core import health_job
from em_core.cli.output import Out
from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import health as store_health

COLUMNS = (
    "run_id", "step", "question_set", "in_domain", "n_total", "n_truncated", "n_looks_cut", "n_empty", "n_refused", "n_code",
    "n_repeated", "n_overlap", "n_overlap_known", "mean_words", "median_tokens", "judge_id", "n_scored", "n_pending",
)  # fmt: skip
_BY = ("run", "step", "question", "domain")


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser("health", parents=[shared], help="signs of breakage: cut off, refused, code, loops, copies")
    parser.add_argument("--runs", metavar="IDS", help="only these runs, comma-separated")
    parser.add_argument("--by", default="run,step", help="grain of a row: run,step[,question]")
    parser.add_argument("--judge", metavar="ID", help="only this judge's unscored answers")
    parser.set_defaults(run=_health)


def _health(args: argparse.Namespace, home: Home, out: Out) -> int:
    by = tuple(part.strip() for part in args.by.split(",") if part.strip())
    if not by or any(part not in _BY for part in by):
        raise BadInput(f"--by: {args.by!r} has no meaning here", f"use some of: {','.join(_BY)}")
    run_ids = args.runs.split(",") if args.runs else None
    done = health_job.measure_missing(home, run_ids, out.say)
    if done.n_answers:
        out.say(f"{done.n_answers:,} answers measured, {done.n_compared:,} of them compared with their training data")
    frame = store_health.health(home, by, run_ids=run_ids, judge_id=args.judge)
    columns = [c for c in ("domain", "question_id") if c in frame and c.split("_")[0] in by]
    shown = [c for c in COLUMNS if c not in ("run_id", "step") or c.split("_")[0] in by]
    out.table(frame.to_dict("records"), [*columns, *shown], "no answers yet: `python -m em_core demo --wait` makes some")
    return 0
