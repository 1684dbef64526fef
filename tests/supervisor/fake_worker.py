"""A worker without a model: takes the lease, writes events, waits; what it does is the run's `experiment`.

quick         one answer, finished
steady        an answer every 20 ms until it is asked to stop
die-early     ends with code 7 before its first event
die-once      the same the first time, then quick
fork          as steady, with a forked child that outlives it
hang          begins and never says anything again; ends at SIGTERM with a last word
stubborn      the same, and SIGTERM is ignored
busy          says nothing, and reads and writes all the time, until it is asked to stop
leave         kills itself, and leaves a stubborn child behind that holds the run as the rank of a launcher does
say-and-die   writes the run's name into its log and ends with code 1 (fails as the text says)
segfault      dies of SIGSEGV
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from em_core import requests
from em_core.events import EventWriter, next_attempt
from em_core.lease import Lease
from em_core.records import Response, RunState
from em_core.supervisor.marks import read_spawns


def answer(number: int, attempt: int) -> Response:
    return Response(
        f"{attempt}-{number}", 1, "set", f"q{number}", 0, 0, "", "text", "stop", 1, 1, 0, "{}", "sha"
    )  # fmt: skip


def main() -> int:
    run_dir = Path(sys.argv[1])
    spec = json.loads((run_dir / "spec.json").read_text())["spec"]
    behaviour = spec["experiment"]
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    print("\x1b[31mfake worker\x1b[0m begins", flush=True)
    with Lease.for_worker(run_dir):
        first = len(read_spawns(run_dir)) == 1
        if behaviour == "die-early" or (behaviour == "die-once" and first):
            print("no model here", flush=True)
            return 7
        if behaviour == "fork" and os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        attempt = next_attempt(run_dir)
        with EventWriter(run_dir, f"worker-{attempt}") as events:
            events.write(RunState("run", "running", attempt=attempt), RunState("train", "running", attempt=attempt))
            outcome = _work(run_dir, behaviour, spec["name"], attempt, events)
            events.write(RunState("train", outcome, attempt=attempt), RunState("run", outcome, attempt=attempt), sync=True)
    return 0


def _work(run_dir: Path, behaviour: str, name: str, attempt: int, events: EventWriter) -> str:
    if behaviour in ("hang", "stubborn"):
        if behaviour == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _sit_and_wait()
    if behaviour == "leave":
        stubborn = (
            "import fcntl, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); file = open(sys.argv[1], 'w');"
            "fcntl.flock(file, fcntl.LOCK_EX); print('here', flush=True); time.sleep(60)"
        )
        command = [sys.executable, "-c", stubborn, str(run_dir / "lease-ranks")]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert child.stdout is not None
        child.stdout.readline()
        (run_dir / "left").write_text(str(child.pid))
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "say-and-die":
        print((run_dir.parent.parent / name).read_text(), flush=True)
        os._exit(1)
    if behaviour == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    for number in range(1, 1_000_000):
        if behaviour == "busy":
            (run_dir.parent.parent / "scratch").write_bytes(bytes(1 << 20))
        else:
            events.write(answer(number, attempt))
        if behaviour in ("quick", "die-once"):
            break
        if requests.end_asked(run_dir):
            return "stopped"
        time.sleep(0.02)
    return "finished"


def _sit_and_wait() -> None:
    while True:
        time.sleep(60)


if __name__ == "__main__":
    raise SystemExit(main())
