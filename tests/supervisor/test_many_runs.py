"""Many runs: fifty on two slots with the supervisor killed in the middle, and a queue of a thousand that is looked at."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from em_core.supervisor import evidence, queue_order, tails, waiting
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.json_files import JsonFiles
from em_core.supervisor.launch import launch
from em_core.supervisor.marks import read_spawns
from tests.supervisor.conftest import Bench

N, N_FOLDERS = 50, 1000
COLD_S, WARM_S = 0.9, 0.3
"""Bounds in processor time, so that others at work on the machine do not matter; the figures themselves are printed."""


@pytest.mark.slow
def test_fifty_runs_on_two_slots_go_in_order_and_lose_no_slot_though_the_supervisor_is_killed(bench: Bench) -> None:
    specs = [bench.spec("quick", seed) for seed in range(N)]
    ids = [item.run_id for item in launch(bench.home, specs, start=False)]
    last, first = ids[40], ids[45]
    queue_order.set_priority(bench.home, first, 5)
    queue_order.set_priority(bench.home, last, -5)
    wanted = [first, *(run for run in ids if run not in (first, last)), last]
    supervisor = bench.supervise(slots="cpu,cpu")
    bench.until(lambda: bench.states().count("finished") >= 20, "twenty runs", seconds=120)
    supervisor.kill()
    supervisor.wait()
    killed_t = time.time()
    bench.supervise(slots="cpu,cpu")
    bench.until(lambda: bench.states() == ["finished"] * N, "fifty runs", seconds=240)
    marks = {run: read_spawns(bench.home.run_dir(run)) for run in ids}
    assert sum(len(found) > 1 for found in marks.values()) <= 1, "only the one that was about to start may be started again"
    begun = sorted((found[-1]["t"], run) for run, found in marks.items())
    assert [run for _, run in begun] == wanted, "taken out of order"
    ended = {run: bench.events(run, "state")[-1]["t"] for run in ids}
    level = peak = 0
    for _, change in sorted([(t, 1) for t, _ in begun] + [(t, -1) for t in ended.values()]):
        level += change
        peak = max(peak, level)
    assert peak == 2
    for since in (0.0, killed_t):
        slots = {mark["slot"] for found in marks.values() for mark in found if mark["t"] > since}
        assert slots == {"cpu:0", "cpu:1"}, "a slot was lost"
    assert all(len(bench.events(run, "response")) == 1 for run in ids), "done once"


@pytest.mark.slow
def test_queue_of_a_thousand_folders_is_listed_in_a_blink(bench: Bench, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("EM_SLOTS", "cpu,cpu")
    _thousand(bench)

    def look() -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        statuses = list_runs(bench.home)
        shown = waiting.overview(bench.home, statuses)
        assert len(shown.waiting) == N_FOLDERS
        assert shown.waiting[0].priority == 3
        return time.process_time() - cpu, time.perf_counter() - wall

    monkeypatch.setattr(evidence, "_identities", JsonFiles(evidence._identity))
    tails._cache.clear()
    cold = look()
    warm = min(look() for _ in range(4))
    with capsys.disabled():
        said = [f"{cpu * 1e3:.0f} ms (of the clock {wall * 1e3:.0f})" for cpu, wall in (cold, warm)]
        print(f"\n{N_FOLDERS} queued runs listed with order and reasons: cold {said[0]}, warm {said[1]}")
    assert cold[0] < COLD_S
    assert warm[0] < WARM_S


def _thousand(bench: Bench) -> None:
    """Queued runs as `launch` makes them, copied, in ten launches with places and priorities."""
    [made] = launch(bench.home, [bench.spec("quick")], start=False)
    first: Path = bench.home.run_dir(made.run_id)
    stored = json.loads((first / "spec.json").read_text())
    for i in range(1, N_FOLDERS):
        folder = bench.home.runs / f"run-{i}"
        shutil.copytree(first, folder)
        changed = {"run_id": folder.name, "created_t": stored["created_t"] + i // 100, "order": i, "spec_hash": f"{i:08x}"}
        (folder / "spec.json").write_text(json.dumps(stored | changed))
    queue_order.move(bench.home, "run-700", 5)
    queue_order.set_priority(bench.home, "run-500", 3)
