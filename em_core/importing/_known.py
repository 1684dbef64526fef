"""Which files are here already: told by the folders of imported runs, not by the database."""

from __future__ import annotations

import json
from pathlib import Path

from em_core.home import Home
from em_core.importing._staging import CARD


def known(home: Home) -> dict[str, list[str]]:
    """sha256 of every imported file -> the runs it is in; only where all runs that came with it are still here."""
    found: dict[str, list[str]] = {}
    for path in sorted(home.runs.glob(f"*/{CARD}")):
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            files, runs = [str(each["sha256"]) for each in card["files"]], [str(run) for run in card["runs"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for sha256 in files:
            found.setdefault(sha256, []).append(path.parent.name)
        if not all(_there(home, run) for run in runs):
            for sha256 in files:
                found[sha256] = []
    return {sha256: runs for sha256, runs in found.items() if runs}


def _there(home: Home, run_id: str) -> bool:
    return any((Path(root) / run_id).is_dir() for root in (home.runs, home.demo)) or any(home.runs.glob(f"{run_id}-????????"))
