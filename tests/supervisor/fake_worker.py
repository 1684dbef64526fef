"""A worker without a model: takes the lease, writes events, waits; what it does is the run's `experiment`.

quick         one answer, finished
steady        an answer every 20 ms until it is asked to stop
die-early     ends with code 7 before its first event
die-once      the same the first time, then quick
fork          as steady, with a forked child that outlives it
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from em_core.events import EventWriter, event_files
from em_core.lease import Lease
from em_core.records import Response, RunState
from em_core.supervisor.marks import read_spawns


def answer(number: int, attempt: int) -> Response:
    return Response(
        f"{attempt}-{number}", 1, "set", f"q{number}", 0, 0, "", "text", "stop", 1, 1, 0, "{}", "sha"
    )  # fmt: skip


def main() -> int:
    run_dir = Path(sys.argv[1])
    behaviour = json.loads((run_dir / "spec.json").read_text())["spec"]["experiment"]
    print("\x1b[31mfake worker\x1b[0m begins", flush=True)
    with Lease.for_worker(run_dir):
        first = len(read_spawns(run_dir)) == 1
        if behaviour == "die-early" or (behaviour == "die-once" and first):
            print("no model here", flush=True)
            return 7
        if behaviour == "fork" and os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        attempt = 1 + sum(path.name.startswith("worker-") for path in event_files(run_dir))
        with EventWriter(run_dir, f"worker-{attempt}") as events:
            events.write(RunState("run", "running", attempt=attempt), RunState("train", "running", attempt=attempt))
            number, outcome = 0, "finished"
            while True:
                number += 1
                events.write(answer(number, attempt))
                if behaviour in ("quick", "die-once"):
                    break
                if (run_dir / "control" / "stop").exists() or (run_dir / "control" / "discard").exists():
                    outcome = "stopped"
                    break
                time.sleep(0.02)
            events.write(RunState("train", outcome, attempt=attempt), RunState("run", outcome, attempt=attempt), sync=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
