"""The supervisor, the queue, and locks that somebody holds for longer than they should."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from em_core import lease, supervisor
from em_core.doctor.findings import Finding, Visit, command, counted, some
from em_core.doctor.processes import holders
from em_core.home import Home
from em_core.supervisor import queue_order
from em_core.supervisor.evidence import RunStatus, list_runs

_LOOK_AGAIN_S = 1.0
_SOON_S = 15.0


def look(visit: Visit) -> Iterator[Finding]:
    """Is it there when there is work; runs that can never start; who holds the locks."""
    home = visit.home
    statuses = list_runs(home)
    queued = [s for s in statuses if s.state == "queued"]
    active = [s for s in statuses if s.active]
    running = supervisor.is_running(home)
    counts = f"{counted(len(active), 'run')} at work, {len(queued)} queued"
    unrecorded = [s.run_id for s in statuses if s.state == "crashed" and not s.recorded]
    start = f"{command('python', '-m', 'em_core.supervisor', '--home', home.root)}, start the app, or launch a run"
    if running:
        pid = lease.holder_pid(home.supervisor / "lease")
        yield Finding("ok", "supervisor", f"running{f', pid {pid}' if pid else ''}; {counts}")
    elif queued:
        yield Finding("broken", "supervisor", f"not running; {counts}: nobody starts them", start)
    elif active or unrecorded:
        text = "nobody publishes what they write" if active else f"nobody recorded the end of {some(unrecorded)}"
        yield Finding("note", "supervisor", f"not running; {counts}: {text}", start)
    else:
        yield Finding("ok", "supervisor", f"not running; {counts}; it starts by itself when a command or the app needs it")
    order = queue_order.read(home)
    if order.paused:
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(order.paused_t))
        yield Finding(
            "note", "queue", f"paused since {since}; {counted(len(queued), 'run')} waiting", "`python -m em_core queue continue`"
        )
    yield from _unreadable(home, statuses)
    yield from _unseen(home, active)
    yield from _locks(home)


def _unreadable(home: Home, statuses: list[RunStatus]) -> Iterator[Finding]:
    names = [s.run_id for s in statuses if not s.spec_hash]
    if names:
        text = f"{counted(len(names), 'run')} with a spec.json that cannot be read: {some(names)}"
        yield Finding("broken", "runs", text, f"put it back from a backup, or `python -m em_core delete {names[0]}`")


def _unseen(home: Home, active: list[RunStatus]) -> Iterator[Finding]:
    """Runs whose lease is held by nobody that can be seen: another container or machine works on the same folder."""
    for status in active:
        path = home.runs / status.run_id / "lease"
        if not holders(path) and lease.held(path):
            text = f"{status.run_id} is worked on by a process that this user cannot see"
            fix = "another user, container or machine shares this folder: end it there; one home belongs to one machine"
            yield Finding("note", "lease", text, fix)


def _locks(home: Home) -> Iterator[Finding]:
    """Locks that are held for moments only: launching and publishing."""
    paths: dict[str, Path] = {name: home.supervisor / name for name in ("launch.lock", "publish.lock")}
    held = {name for name, path in paths.items() if lease.held(path)}
    if held:
        time.sleep(_LOOK_AGAIN_S)
    stuck = [name for name in sorted(held) if lease.held(paths[name])]
    for name in stuck:
        who = some(holders(paths[name])) or "a process that this user cannot see"
        text = f"{name} is held by {who}"
        yield Finding("note", "lock", text, f"look again in {_SOON_S:.0f} s; if it is still held, see what that process does")
    if not stuck:
        yield Finding("ok", "locks", "none is held")
