"""The supervisor: the queue, the slots, the workers' processes and the database's ingest.

    launch.launch(home, specs)       put runs into the queue (folders) and see that somebody takes them
    control.stop(home, run_id)       end a run
    evidence.list_runs(home)         every run's state, from evidence
    live.active_runs(home)           how far each run at work is
    ensure_running(home)             start the supervisor when nobody is at it

One process per home (``python -m em_core.supervisor``) starts by itself when needed and ends by
itself when nothing was left to do for ten minutes. Workers never depend on it.
"""

from __future__ import annotations

from em_core.supervisor.start import ensure_running, is_running

__all__ = ["ensure_running", "is_running"]
