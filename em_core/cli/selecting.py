"""What the flags of results select, held against what is there: a wrong name is an error that lists the right ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import queries
from em_core.store.contents import contents

_LISTED = 12


def listed(text: str | None) -> list[str] | None:
    """The words of ``a,b``; None (all) stays None, and an empty text is none at all."""
    return [part.strip() for part in text.split(",") if part.strip()] if text is not None else None


def check(wanted: Iterable[str] | None, there: pd.Series, kind: str) -> None:
    """Refuse a name that is not there.

    Raises:
        BadInput: Says which there are.
    """
    known = sorted({str(name) for name in there.dropna()})
    for name in wanted or ():
        if name not in known:
            more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
            raise BadInput(f"{kind} {name!r} is not here", f"{kind}s here: {', '.join(known[:_LISTED]) or 'none'}{more}")


def check_runs_and_judges(home: Home, runs: Sequence[str] | None, judges: Sequence[str]) -> None:
    """Refuse runs and judges that are not here (a run without answers is here: it has losses to draw).

    Raises:
        BadInput: Says which there are.
    """
    if not runs and not judges:
        return
    there = contents(home)
    check(judges, there["judge_id"], "judge")
    if set(runs or ()) - set(there["run_id"]):
        check(runs, queries.runs(home)["run_id"], "run")
