"""``judge``: scores answers that are there already, with a judge that has not scored them."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from em_core.cli.output import Out, printable
from em_core.errors import BadInput, Busy
from em_core.home import Home
from em_core.judges.estimate import CostRange
from em_core.rejudge import Asking, Declined, Outcome, Selection, ask_to_stop, job, job_dir, jobs, rejudge, rejudge_batch
from em_core.specs_io import judge_configs

_BUDGET = ("max_calls", "max_tokens", "max_usd")
_LINE_S = 10.0


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser("judge", parents=[shared], help="judge answers that this judge has not scored")
    parser.add_argument("--judge", metavar="NAME", help="a configuration (`judges list`), a file, or a judge plugin")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="override a field of it"
    )
    parser.add_argument(
        "--runs", metavar="IDS", default="all", help="these runs with their step 0, comma-separated (default: all)"
    )
    parser.add_argument("--questions", metavar="SETS", help="only these question sets, comma-separated")
    parser.add_argument("--steps", metavar="STEPS", help="only these steps, comma-separated; `last` is each run's last")
    parser.add_argument("--limit", type=_whole, metavar="N", help="at most N answers")
    parser.add_argument("--max-calls", type=_whole, metavar="N", help="hard budget: calls")
    parser.add_argument("--max-tokens", type=_whole, metavar="N", help="hard budget: tokens in and out")
    parser.add_argument("--max-usd", type=float, metavar="USD", help="hard budget: US dollars")
    parser.add_argument("--estimate-only", action="store_true", help="judge five answers and say what the rest would take")
    parser.add_argument("--yes", action="store_true", help="don't ask before a large job")
    parser.add_argument("--batch", action="store_true", help="through the server's batch API: half the price, within a day")
    parser.add_argument("--no-wait", action="store_true", help="with --batch: submit and return; call again to collect")
    parser.add_argument("--jobs", action="store_true", help="list the judging jobs instead")
    parser.add_argument("--stop", metavar="JOB", help="end a judging job instead; its scores are kept")
    parser.add_argument("--job", metavar="ID", help=argparse.SUPPRESS)  # a folder that was prepared for this process
    parser.set_defaults(run=_judge)


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return value


def selection(args: argparse.Namespace) -> Selection:
    """What the options select.

    Raises:
        BadInput: A step is neither a number nor ``last``.
    """
    steps: list[int | str] = []
    for word in _words(args.steps) or ():
        if word != "last" and not word.isdecimal():
            raise BadInput(f"--steps: {word!r} is no step", "give numbers, or `last`: --steps 0,last")
        steps.append(word if word == "last" else int(word))
    return Selection(
        runs=None if args.runs.strip() == "all" else _words(args.runs),
        question_sets=_words(args.questions),
        steps=tuple(steps) if args.steps is not None else None,
        limit=args.limit,
    )


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _judge(args: argparse.Namespace, home: Home, out: Out) -> int:
    if args.jobs:
        return _jobs(home, out)
    if args.stop:
        return _stop(args.stop, home, out)
    if not args.judge:
        raise BadInput("--judge: is missing", "`python -m em_core judges list` lists the judges")
    if args.no_wait and not args.batch:
        raise BadInput("--no-wait: only batches can be left alone", "say --batch too, or leave it out")
    budget = [f"{name}={value}" for name in _BUDGET if (value := getattr(args, name)) is not None]
    config, spec = judge_configs.resolve(args.judge, [*args.overrides, *budget], home)
    line = _Line(out)
    with _stoppable() as stop:
        asking = Asking(
            confirm=lambda cost: args.yes or _ask(cost),
            tell=out.say,
            progress=line.show,
            stop=stop.is_set,
            estimate_only=args.estimate_only,
        )
        if args.batch:
            outcome = rejudge_batch(home, config, spec, selection(args), asking, wait=not args.no_wait)
        else:
            folder = job_dir(home, args.job) if args.job else None
            outcome = rejudge(home, config, spec, selection(args), asking, folder)
    line.end()
    out.result(outcome.as_dict(), _summary(outcome))
    if outcome.state in ("finished", "submitted") or (args.estimate_only and not stop.is_set()):
        return 0
    out.say(f"error: {outcome.message}")
    out.say(f"  fix: {outcome.hint}")
    return 1


def _summary(outcome: Outcome) -> str:
    """What a person reads at the end."""
    if not outcome.n_answers:
        if not outcome.n_in_scope:
            return "no answers here yet: `python -m em_core demo --wait` makes some"
        return f"nothing to do: {outcome.judge_id} has scored all of the {outcome.n_in_scope:,} answers"
    why = ", ".join(f"{n:,} {reason}" for reason, n in sorted(outcome.n_unscored.items())) or "none"
    usd = "price unknown" if outcome.usd is None else f"${outcome.usd:,.4f}"
    lines = [
        f"{outcome.judge_id}: {outcome.state}, {outcome.n_answers - outcome.n_left:,} of {outcome.n_answers:,} answers judged",
        f"scores {outcome.n_scored:,} ({outcome.n_cached:,} known from the same content), unscored: {why}",
        f"{outcome.calls:,} calls, {outcome.tokens:,} tokens, {usd}, {outcome.seconds:.1f} s; kept in runs/{outcome.run_id}",
    ]
    if outcome.n_unscored.get("api_error"):
        lines.append(f"{outcome.n_unscored['api_error']:,} calls failed for good: judge again, it asks for these once more")
    if outcome.state == "submitted":
        lines.append(f"{outcome.message}; {outcome.hint}")
    return "\n".join(lines)


def _jobs(home: Home, out: Out) -> int:
    rows = [
        {
            "job": each.run_id, "state": each.state, "judge_id": each.judge_id, "answers": each.n_answers,
            "scores": each.n_written, "of": each.n_scores, "reason": each.reason,
        }
        for each in jobs(home)
    ]  # fmt: skip
    out.table(rows, ["job", "state", "judge_id", "answers", "scores", "of", "reason"], "no judging job yet")
    return 0


def _stop(run_id: str, home: Home, out: Out) -> int:
    home.writable("Stopping a job")
    found = job(job_dir(home, run_id))
    if not found.active:
        raise Busy(f"{run_id}: has ended already ({found.state})", "`python -m em_core judge --jobs` lists the jobs")
    ask_to_stop(home, run_id)
    out.result({"job": run_id}, f"{run_id}: stops; what is scored is kept")
    return 0


def _ask(cost: CostRange) -> bool:
    """A yes at the terminal; without one the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Declined(
            f"a large job ({cost.n_calls:,} calls) needs a yes, and nobody is at the terminal; the estimate's scores are kept",
            "say --yes, with a budget such as --max-usd 5",
        )
    print("go on? [y/N] ", end="", file=sys.stderr, flush=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # here Ctrl-C is a no
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False
    finally:
        signal.signal(signal.SIGINT, before)


class _Line:
    """The progress line on stderr: in place at a terminal, else one line every few seconds."""

    def __init__(self, out: Out) -> None:
        self._out, self._live, self._next, self._drawn = out, sys.stderr.isatty(), time.monotonic() + 1.0, False

    def show(self, done: int, total: int, rate: float, left_s: float | None) -> None:
        """Draw it, if it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (0.25 if self._live else _LINE_S)
        left = "" if left_s is None else f", about {_span(left_s)} left"
        text = f"{done:,} of {total:,} answers judged, {rate:,.0f} /s{left}"
        if self._live:
            sys.stderr.write(f"\r\x1b[K{printable(text)}")
            sys.stderr.flush()
            self._drawn = True
        else:
            self._out.say(text)

    def end(self) -> None:
        """Leave the line."""
        if self._drawn:
            sys.stderr.write("\n")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second one ends the process as usual."""
    stop = threading.Event()

    def ask(number: int, _: Any) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
