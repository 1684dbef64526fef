"""Which files are here already: told by the folders of imported runs, not by the database."""

from __future__ import annotations

import json

from em_core.home import Home
from em_core.importing._staging import CARD


def known(home: Home) -> dict[str, list[str]]:
    """sha256 of every imported file -> the runs it is in; only where all runs that came together are still here."""
    imports: dict[str, tuple[int, dict[str, list[str]]]] = {}
    for path in sorted(home.runs.glob(f"*/{CARD}")):
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            files, together, n_runs = [str(each["sha256"]) for each in card["files"]], str(card["import"]), int(card["n_runs"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        _, runs = imports.setdefault(together, (n_runs, {}))
        runs[path.parent.name] = files
    found: dict[str, list[str]] = {}
    for n_runs, runs in imports.values():
        if len(runs) == n_runs:
            for run_id, files in runs.items():
                for sha256 in files:
                    found.setdefault(sha256, []).append(run_id)
    return found
