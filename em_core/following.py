"""What the other processes of a run on several GPUs do: they train with rank 0, and say nothing.

Rank 0 is the worker (`em_core.worker`); `em_core.ranks` tells them apart.
"""

from __future__ import annotations

import json
from pathlib import Path

from em_core.errors import EMError
from em_core.events import EventWriter
from em_core.prepared import prepare, spec_of
from em_core.ranks import Place
from em_core.records import RunState
from em_core.training import TrainOutcome, open_session


def follow(run_dir: Path, place: Place) -> TrainOutcome:
    """Train this rank's share of every batch, until rank 0 says that it is enough.

    Raises:
        EMError: Something failed here; it is in the run's events too, since rank 0 is ended for it and cannot say why.
    """
    try:
        session = open_session(prepare(run_dir, spec_of(run_dir)).train_job())
        try:
            return session.train(lambda metric: None, lambda checkpoint: None, lambda: "")
        finally:
            session.close()
    except EMError as error:
        attempt = _attempt(run_dir)
        with EventWriter(run_dir, f"rank-{place.rank}-{attempt}") as events:
            events.write(RunState("run", "failed", error.message, error.hint, attempt, error.cause), sync=True)
        raise


def _attempt(run_dir: Path) -> int:
    """From the mark that the supervisor left before it started the launcher."""
    try:
        return int(json.loads((run_dir / "spawned").read_bytes().splitlines()[-1])["attempt"])
    except (OSError, ValueError, KeyError, IndexError):
        return 1
