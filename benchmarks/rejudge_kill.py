"""Answers re-judged after kill -9 half-way: calls made by the second attempt = scores still missing.

    python -m benchmarks.rejudge_kill --answers 10000

A judge server on loopback counts every call by its prompt; the judge is the real command in a process
of its own. Asked twice may be only what was in flight when the process was killed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from em_core.events import EventWriter, read_events
from em_core.home import PROJECT, Home
from em_core.records import QuestionRow, Response, RunCreated, response_id
from tests.servers.openai_server import Call, OpenAIServer

RUN = "many"
N_METRICS = 2


@dataclass(frozen=True)
class Measured:
    """Calls by attempt.

    Args:
        n_answers: Answers to judge, two metrics each.
        n_first: Calls that the server had got when the first attempt was killed.
        n_written: Of these, scores that its events hold.
        n_missing: Scores still missing at the start of the second attempt.
        n_second: Calls that the second attempt made (its probe left out).
        n_twice: Prompts that were asked twice: in flight at the kill.
        n_lost: Scores in the events of neither attempt.
        n_double: Scores written twice.
        first_s, second_s: Wall time of the attempts, seconds.
        second: What the second attempt's document says.
    """

    n_answers: int
    n_first: int
    n_written: int
    n_missing: int
    n_second: int
    n_twice: int
    n_lost: int
    n_double: int
    first_s: float
    second_s: float
    second: dict[str, object]


def make_answers(home: Home, n: int) -> None:
    """A run with `n` answers, every text different."""
    home.prepare()
    with EventWriter(home.run_dir(RUN), "worker-1") as events:
        events.write(
            RunCreated("imported", RUN, "", "{}", "", "some-model", "", "", "medical", "[]", "", None, None, None, None, None),
            QuestionRow("general", "0", "q0", 0, "", "What about it?", "", "free_form"),
        )
        for start in range(0, n, 1000):
            events.write(
                *(
                    Response(response_id(RUN, 10, "general", "q0", 0, i), 10, "general", "q0", 0, i, "",
                             f"Answer number {i} of this run.", "stop", 6, 8, i, "{}", "0")
                    for i in range(start, min(n, start + 1000))
                )
            )  # fmt: skip


def command(home: Home, server: OpenAIServer, *more: str) -> list[str]:
    """The judging command against that server."""
    return [
        sys.executable, "-m", "em_core", "--home", str(home.root), "judge", "--judge", "openai_compatible", "--set", "model=judge-1",
        "--set", f"base_url={server.base_url}", "--runs", RUN, "--json", "--yes", *more,
    ]  # fmt: skip


def measure(home: Home, server: OpenAIServer, n: int) -> Measured:
    """Judge `n` answers, kill the command half-way, judge again."""
    make_answers(home, n)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    first = subprocess.Popen(
        command(home, server), cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while server.n_replied < n * N_METRICS // 2:
        if first.poll() is not None:
            raise RuntimeError(f"the first attempt ended by itself with {first.returncode}")
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first_s = time.monotonic() - began
    time.sleep(0.5)  # the server notices
    calls_first = [_prompt(call) for call in server.calls if _is_score(call)]
    written = _scores(home)
    began = time.monotonic()
    done = subprocess.run(command(home, server), cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    second_s = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(done.stderr)
    calls = Counter(_prompt(call) for call in server.calls if _is_score(call))
    after = _scores(home)
    return Measured(
        n_answers=n,
        n_first=len(calls_first),
        n_written=sum(written.values()),
        n_missing=n * N_METRICS - len(written),
        n_second=sum(calls.values()) - len(calls_first),
        n_twice=sum(1 for count in calls.values() if count > 1),
        n_lost=n * N_METRICS - len(after),
        n_double=sum(1 for count in after.values() if count > 1),
        first_s=first_s,
        second_s=second_s,
        second=json.loads(done.stdout),
    )


def _is_score(call: Call) -> bool:
    return "Answer number" in call.prompt


def _prompt(call: Call) -> str:
    return hashlib.sha256(call.prompt.encode()).hexdigest()


def _scores(home: Home) -> Counter[tuple[str, str]]:
    """Whole judgement events of all judging jobs, by answer and metric."""
    return Counter(
        (event["response_id"], event["metric"])
        for folder in home.runs.glob("judge-*")
        for event in read_events(folder, "judgement")
        if event["value"] is not None
    )


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds to each reply")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root, OpenAIServer(latency_s=args.latency) as server:
        found = measure(Home(Path(root)), server, args.answers)
        print(json.dumps({**asdict(found), "peak_in_flight": server.peak_in_flight}, indent=1))


if __name__ == "__main__":
    main()
