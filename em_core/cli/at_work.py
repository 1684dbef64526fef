"""What ``show RUN`` says of a run at work: its phases with count, pace and time left, as the page Live shows them."""

from __future__ import annotations

from typing import Any

from em_core.home import Home
from em_core.supervisor.evidence import RunStatus
from em_core.supervisor.live import active_runs
from em_core.view import live_words


def now(home: Home, status: RunStatus) -> dict[str, Any]:
    """Fields of a run at work; empty lists and None of another one."""
    if not status.active:
        return {"eta_s": None, "tokens_per_s": None, "quiet_s": None, "now": []}
    [run] = active_runs(home, [status])
    rows = [
        {
            "phase": phase.name, "state": phase.state, "done": phase.done, "total": phase.total, "per_s": phase.per_s,
            "eta_s": phase.eta_s, "in_words": live_words.sentence(phase),
        }
        for phase in run.phases
    ]  # fmt: skip
    return {"eta_s": run.eta_s, "tokens_per_s": run.tokens_per_s, "quiet_s": status.quiet_s, "now": rows}
