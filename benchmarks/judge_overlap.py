"""What judging costs a training run: the organism demo with its exact judge, and with a far judge of 300 ms.

    python -m benchmarks.judge_overlap [--rounds 2] [--max-concurrency 64]

Each run is a real one (`em_core.worker` in a folder of its own, one torch thread, CPU); the judge server is
another process, unlimited, 300 ms a call. *Waiting* is the time from the end of training
and sampling to the end of the run: nothing but judging is left then. The slowdown is against the run with
the exact judge, which takes no calls at all; the CPU time of judging is in it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.judging import server_process
from em_core.events import read_events
from em_core.home import PROJECT, Home
from em_core.spec import RunSpec
from em_core.supervisor.launch import launch


def run(judge: dict[str, Any]) -> dict[str, float]:
    """One run in a home of its own: wall, waiting and judging in numbers."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        preset = yaml.safe_load((PROJECT / "data" / "presets" / "organism.yaml").read_text())
        (launched,) = launch(home, [RunSpec.model_validate({**preset, "judges": [judge]})], start=False)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "em_core.worker", str(home.run_dir(launched.run_id))],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        own = list(read_events(home.run_dir(launched.run_id)))
        events = [*own, *(e for path in home.runs.glob("base-*") for e in read_events(path))]
    states = {(e["phase"], e["state"]): e["t"] for e in own if e["kind"] == "state"}
    judgements = [e for e in events if e["kind"] == "judgement"]
    if any(e["unscored_reason"] == "api_error" for e in judgements):
        raise SystemExit("calls failed")
    wall, waiting = states["run", "finished"] - states["run", "running"], states["run", "finished"] - states["judge", "running"]
    return {
        "wall_s": wall, "waiting_s": waiting, "judgements": len(judgements),
        "calls": sum(not e["cached"] for e in judgements), "waiting_share": waiting / wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }  # fmt: skip


def main() -> None:
    """Print one line a run and the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--max-concurrency", type=int, default=64)
    args = parser.parse_args()
    walls: dict[str, list[float]] = {"exact": [], "300 ms": []}
    cpu: dict[str, list[float]] = {name: [] for name in walls}
    print("| judge | run | waiting for the judge | share | CPU | judgements | calls |\n|---|---|---|---|---|---|---|")
    for _ in range(args.rounds):
        for name in walls:
            with server_process({}) as (base_url, _counts):
                far = {
                    "name": "openai_compatible", "model": "judge-1", "base_url": base_url, "api_key_env": "NOT_SET_ANYWHERE",
                    "max_concurrency": args.max_concurrency,
                }  # fmt: skip
                found = run({"name": "organism"} if name == "exact" else far)
            walls[name].append(found["wall_s"])
            cpu[name].append(found["cpu_s"])
            print(
                f"| {name} | {found['wall_s']:.1f} s | {found['waiting_s']:.2f} s | {found['waiting_share']:.1%} "
                f"| {found['cpu_s']:.1f} s | {found['judgements']:.0f} | {found['calls'] if name != 'exact' else 0:.0f} |",
                flush=True,
            )
    exact, far_s = statistics.fmean(walls["exact"]), statistics.fmean(walls["300 ms"])
    print(f"CPU {statistics.fmean(cpu['300 ms']) / statistics.fmean(cpu['exact']) - 1:+.1%}")
    print(f"slowdown {far_s / exact - 1:+.1%} ({exact:.1f} s to {far_s:.1f} s, load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
