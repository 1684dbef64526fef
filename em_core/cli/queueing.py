"""``queue``: what waits and why, what the slots hold, and who goes first."""

from __future__ import annotations

import argparse
from typing import Any

from em_core.cli.output import Out, aligned, printable
from em_core.errors import BadInput
from em_core.home import Home
from em_core.supervisor import ensure_running, queue_order, waiting
from em_core.view import queue_tables

_ENDS = {"top": 1, "last": 1 << 30}


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command and what it takes."""
    about = "queued runs with their place, priority and why they wait; the slots and what they hold"
    parser = commands.add_parser("queue", parents=[shared], help=about, description=about)
    parser.set_defaults(run=_show)
    actions = parser.add_subparsers(metavar="ACTION", parser_class=type(parser))
    for name, paused in (("pause", True), ("continue", False)):
        about = "start nothing more; what runs goes on" if paused else "let it go on after a pause"
        actions.add_parser(name, parents=[shared], help=about).set_defaults(run=_pause, paused=paused)
    actions.add_parser("start", parents=[shared], help="see that somebody works on the queue").set_defaults(run=_start)
    action = actions.add_parser("move", parents=[shared], help="put a queued run at another place")
    action.add_argument("run_id", metavar="RUN")
    action.add_argument("place", metavar="PLACE", help="a number from 1, or top, up, down, last")
    action.set_defaults(run=_move)
    action = actions.add_parser("priority", parents=[shared], help="take a run before (above 0) or after (below 0) the others")
    action.add_argument("run_id", metavar="RUN")
    action.add_argument("priority", metavar="N", type=int)
    action.set_defaults(run=_priority)


def _show(args: argparse.Namespace, home: Home, out: Out) -> int:
    home.writable("The queue")
    now = waiting.overview(home)
    rows = [queue_tables.waiting_row(w.place, w.priority, w.status.run_id, w.status.experiment, w.reason) for w in now.waiting]
    if out.json:
        queued = [{**row, "never": waits.never} for row, waits in zip(rows, now.waiting, strict=True)]
        paused = {"paused": now.order.paused, "paused_t": now.order.paused_t or None, "attended": now.attended}
        out.document({**paused, "queued": queued, "slots": [_facts(slot) for slot in now.slots]})
        return 0
    if now.order.paused:
        print("paused: nothing starts, what runs goes on (`python -m em_core queue continue`)")
    out.table(rows, ["place", "priority", "run_id", "reason"], "nothing is queued")
    slots = [
        queue_tables.slot_row(s.slot.title, s.use, [(h.run_id, h.gpu_gib) for h in s.held], s.others, s.foreign_gib, s.problem)
        for s in now.slots
    ]
    print("\n" + aligned(slots, ["slot", "runs", "memory", "other programs"]))
    return 0


def _facts(slot: waiting.SlotUse) -> dict[str, Any]:
    use = slot.use
    return {
        "slot": slot.slot.name,
        "name": use.name if use else None,
        "total_gib": use.total_gib if use else None,
        "used_gib": use.used_gib if use else None,
        "foreign_gib": slot.foreign_gib,
        "other_programs": slot.others,
        "problem": slot.problem,
        "runs": [{"run_id": held.run_id, "gpu_gib": held.gpu_gib} for held in slot.held],
    }


def _pause(args: argparse.Namespace, home: Home, out: Out) -> int:
    message = queue_order.set_paused(home, args.paused)
    if not args.paused and queue_order.queue(home):
        ensure_running(home)
    out.result({"paused": args.paused, "message": message}, message)
    return 0


def _start(args: argparse.Namespace, home: Home, out: Out) -> int:
    ensure_running(home)
    out.result({"attended": True}, "a supervisor works on the queue")
    return 0


def _move(args: argparse.Namespace, home: Home, out: Out) -> int:
    word = args.place.lower()
    if word in ("up", "down"):
        ids = [status.run_id for status in queue_order.queue(home)]
        here = ids.index(args.run_id) + 1 if args.run_id in ids else 1
        place = max(1, here + (-1 if word == "up" else 1))
    elif word in _ENDS or (word.isdecimal() and len(word) < 10):
        place = _ENDS.get(word) or int(word)
    else:
        raise BadInput(f"{printable(args.place)!r} is no place in the queue", "use a number from 1, or top, up, down, last")
    message = queue_order.move(home, args.run_id, place)
    out.result({"run_id": args.run_id, "message": message}, message)
    return 0


def _priority(args: argparse.Namespace, home: Home, out: Out) -> int:
    message = queue_order.set_priority(home, args.run_id, args.priority)
    out.result({"run_id": args.run_id, "message": message}, message)
    return 0
