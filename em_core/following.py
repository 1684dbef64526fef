"""What the other processes of a run on several GPUs do: they train with rank 0, and say nothing.

Rank 0 is the worker (`em_core.worker`); `em_core.ranks` tells them apart.
"""

from __future__ import annotations

from pathlib import Path

from em_core.accidents import as_failure
from em_core.prepared import prepare, spec_of
from em_core.ranks import PeerGone, Place, say_failure
from em_core.training import TrainOutcome, open_session


def follow(run_dir: Path, place: Place) -> TrainOutcome:
    """Train this rank's share of every batch, until rank 0 says that it is enough.

    Raises:
        EMError: Something failed here; it is in the run's events too, since rank 0 is ended for it and cannot say why.
    """
    session = None
    try:
        session = open_session(prepare(run_dir, spec_of(run_dir)).train_job())
        return session.train(lambda metric: None, lambda checkpoint: None, lambda: "")
    except PeerGone:
        raise  # whoever went first says why
    except Exception as error:
        say_failure(run_dir, place, as_failure(error))  # before leaving the others: they look for it then
        raise
    finally:
        if session is not None:
            session.close()
