"""``delete`` and ``trash``: runs go to a trash first, and leave the disk when that is emptied."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from em_core.cli.output import Out
from em_core.errors import BadInput
from em_core.home import Home
from em_core.supervisor import baselines, experiments, trash
from em_core.view import run_words


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    parser = commands.add_parser("delete", parents=[shared], help="move runs to the trash; `trash --restore` brings them back")
    parser.add_argument("run_ids", metavar="RUN", nargs="*")
    parser.add_argument("--experiment", metavar="NAME", default="", help="all runs of this experiment")
    parser.add_argument("--baselines", action="store_true", help="shared step-0 answers that no run names any more")
    parser.add_argument("--force", action="store_true", help="also runs that others start from or take their step 0 from")
    parser.add_argument("--dry-run", action="store_true", help="say what would go and how large it is")
    parser.set_defaults(run=_delete)
    parser = commands.add_parser("trash", parents=[shared], help="deleted runs: list, bring back, remove for good")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--restore", metavar="NAME", nargs="+", help="bring back: a name from the list, or a run's id")
    what.add_argument("--empty", metavar="NAME", nargs="*", help="remove for good: these, or everything when none is named")
    parser.add_argument("--yes", action="store_true", help="empty without asking")
    parser.set_defaults(run=_trash)


def _delete(args: argparse.Namespace, home: Home, out: Out) -> int:
    home.writable("Deleting runs")
    wanted = list(args.run_ids)
    if args.experiment:
        wanted += [status.run_id for status in experiments.members(home, args.experiment)]
    if args.baselines:
        wanted += baselines.unused(home)
    if not wanted:
        if args.baselines:
            out.result({"deleted": [], "size_bytes": 0}, "no baseline is unused")
            return 0
        raise BadInput("no run is named", "name runs, or use --experiment NAME or --baselines")
    if args.dry_run:
        found = {run_id: trash.size_bytes(trash.folder_of(home, run_id)) for run_id in dict.fromkeys(wanted)}
        rows = [{"run_id": run_id, "size": run_words.size(size)} for run_id, size in found.items()]
        if not out.json:
            out.table(rows, ["run_id", "size"], "")
        out.result(
            {"would_delete": list(found), "size_bytes": sum(found.values())}, f"{run_words.size(sum(found.values()))} in all"
        )
        return 0
    moved = trash.delete(home, wanted, force=args.force)
    size = sum(entry.size_bytes for entry in moved)
    names = [entry.name for entry in moved]
    out.result(
        {"deleted": [entry.run_id for entry in moved], "trash": names, "size_bytes": size},
        f"{len(moved)} moved to the trash, {run_words.size(size)}; `python -m em_core trash` lists, restores and empties it",
    )
    if left := [name for name in baselines.unused(home) if name not in args.run_ids]:
        out.say(f"no run names these any more: {', '.join(left)}; `python -m em_core delete --baselines` deletes them too")
    return 0


def _trash(args: argparse.Namespace, home: Home, out: Out) -> int:
    if args.restore:
        restored = trash.restore(home, *args.restore)
        ids = [entry.run_id for entry in restored]
        queued = [entry.run_id for entry in restored if entry.state == "queued"]
        more = f"; queued again: {', '.join(queued)}" if queued else ""
        out.result({"restored": ids}, f"restored: {', '.join(ids)}{more}")
        return 0
    entries = trash.entries(home)
    if args.empty is not None:
        return _empty(args, home, out, entries)
    rows: list[dict[str, Any]] = [
        {"name": e.name, "run_id": e.run_id, "deleted": time.strftime("%Y-%m-%d %H:%M", time.localtime(e.deleted_t)),
         "size": run_words.size(e.size_bytes), "state": e.state, "experiment": e.experiment}
        | ({"size_bytes": e.size_bytes, "deleted_t": e.deleted_t} if out.json else {})
        for e in entries
    ]  # fmt: skip
    out.table(rows, ["name", "size", "deleted", "state", "experiment"], "the trash is empty")
    if rows and not out.json:
        out.say(f"{run_words.size(sum(e.size_bytes for e in entries))} in all; `python -m em_core trash --empty` frees it")
    return 0


def _empty(args: argparse.Namespace, home: Home, out: Out, entries: list[trash.Trashed]) -> int:
    home.writable("Emptying the trash")
    by_name = trash.by_name(entries)
    if unknown := [name for name in args.empty if name not in by_name]:
        raise BadInput(f"{unknown[0]!r} is not in the trash", "`python -m em_core trash` lists what is")
    names = list(dict.fromkeys(by_name[name].name for name in args.empty)) or None
    doomed = [e for e in entries if names is None or e.name in names]
    size = run_words.size(sum(e.size_bytes for e in doomed))
    if doomed and not args.yes:
        if out.json or not sys.stdin.isatty():
            raise BadInput(f"{len(doomed)} runs, {size}, would be gone for good", "say so with --yes")
        out.say(f"Remove {len(doomed)} runs ({size}) for good? This cannot be undone. Type yes:")
        if sys.stdin.readline().strip().lower() != "yes":
            out.result({"freed_bytes": 0}, "nothing was removed")
            return 0
    freed = trash.empty(home, names)
    out.result({"freed_bytes": freed, "removed": [e.name for e in doomed]}, f"{run_words.size(freed)} freed")
    return 0
