"""Shared step-0 folders (``runs/base-…``) that nothing names any more."""

from __future__ import annotations

import os

from em_core.home import Home
from em_core.supervisor.evidence import list_runs

_PREFIX = "base-"


def unused(home: Home) -> list[str]:
    """Shared step-0 folders that no run of this home names any more and nobody works on; what they take is only space."""
    try:
        with os.scandir(home.runs) as found:
            there = [e.name for e in found if e.name.startswith(_PREFIX) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    statuses = list_runs(home)
    used = {status.baseline_run for status in statuses}
    runs = {status.run_id for status in statuses}
    if any(s.active and not s.baseline_run for s in statuses):  # it has not said yet which one it takes
        return []
    return sorted(name for name in there if name not in used and name not in runs)
