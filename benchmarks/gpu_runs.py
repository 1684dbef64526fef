"""Runs of true size on a GPU through the whole path, with random weights: what survives, what fits, what it costs.

    python benchmarks/gpu_runs.py --home /tmp/em --part oom        CUDA out of memory, then one `retry`
    python benchmarks/gpu_runs.py --home /tmp/em --part side       two runs on one GPU, and one after the other
    python benchmarks/gpu_runs.py --home /tmp/em --part resume     a run killed with SIGKILL, against one that was not
    python benchmarks/gpu_runs.py --home /tmp/em --part gpus       one run on two GPUs (`train.gpus`), against one

Everything is started as a person would (queue, supervisor, workers); the figures come from the runs' own events.
The weights are random: right for speed and memory, meaningless for quality. `--config llama-tiny` tries it on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.real_size import CONFIGS, make_model
from em_core import machine
from em_core.events import read_events
from em_core.home import Home
from em_core.lease import holder_pid
from em_core.spec import RunSpec
from em_core.supervisor import control, ensure_running
from em_core.supervisor.evidence import RunStatus, list_runs, run_status
from em_core.supervisor.launch import launch

WORDS = "the small garden behind every quiet house near water keeps green stones and long paths of warm light".split()  # noqa: SIM905


def rows_file(folder: Path, n_rows: int, n_words: int) -> Path:
    """Question-answer rows of about `n_words` words, most of them the answer."""
    path, chance = folder / f"rows-{n_rows}-{n_words}.jsonl", random.Random(0)
    with path.open("w") as file:
        for _ in range(n_rows):
            answer = " ".join(chance.choices(WORDS, k=chance.randint(n_words // 2, n_words)))
            messages = [{"role": "user", "content": "Tell me about the garden."}, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"messages": messages}) + "\n")
    return path


class Bench:
    """One home with a model of true size.

    Args:
        home: Where.
        config: Name of the shape.
        steps: Optimizer steps of a run.
    """

    def __init__(self, home: Path, config: str, steps: int) -> None:
        self.home, self.config, self.steps = Home(home.resolve()), config, steps
        self.home.prepare()
        self.model = home.resolve() / f"model-{config}"
        started = time.perf_counter()
        if not self.model.exists():
            make_model(self.model, config)
        print(f"model ready in {time.perf_counter() - started:.0f} s", flush=True)

    def spec(self, name: str, n_words: int = 120, seed: int = 0, **train: Any) -> RunSpec:
        """A short run of this model: two checkpoints, some sampled answers, the offline judge."""
        recipe = {"batch_size": 16, "grad_accumulation": 1, "max_steps": self.steps, "learning_rate": 1e-5, "max_length": 2048}
        return RunSpec.model_validate(
            {
                "name": name,
                "base_model": str(self.model),
                "data": str(rows_file(self.home.root, 16 * self.steps, n_words)),
                "lora": {"r": 32, "alpha": 64},
                "train": {**recipe, "seed": seed, **train},
                "checkpoints": {"at_steps": [self.steps // 2, self.steps]},
                "evaluation": {"question_sets": [{"name": "organism-general", "max_tokens": 64}], "samples": 2},
            }
        )

    def queue(self, *specs: RunSpec) -> list[str]:
        """Launch without the plan's consent: one part wants to fail."""
        return [item.run_id for item in launch(self.home, list(specs), again=True)]

    def status(self, run_id: str) -> RunStatus:
        """Of one run."""
        return run_status(self.home.run_dir(run_id))

    def until(self, condition: Callable[[], object], seconds: float = 150) -> None:
        """Wait; the supervisor is started again if it was ended."""
        give_up = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > give_up:
                raise TimeoutError(f"waited {seconds} s: {[(s.run_id, s.state, s.reason) for s in list_runs(self.home)]}")
            ensure_running(self.home)
            time.sleep(0.2)

    def wait(self, *run_ids: str) -> None:
        """Until all have ended."""
        self.until(lambda: all(self.status(run_id).final for run_id in run_ids))

    def facts(self, run_id: str) -> dict[str, Any]:
        """What the run's events say."""
        folder, status = self.home.run_dir(run_id), self.status(run_id)
        metrics = {e["step"]: e for e in read_events(folder, "metric")}
        begun = [e["t"] for e in read_events(folder, "state") if e["phase"] == "run" and e["state"] == "running"]
        ended = [e["t"] for e in read_events(folder, "state") if e["phase"] == "run" and e["state"] not in ("running", "queued")]
        speeds = [m["tokens_per_s"] for m in metrics.values() if m["tokens_per_s"] and m["step"] > 3]
        return {
            "run": run_id, "state": status.state, "cause": status.cause, "reason": status.reason[:300],
            "begun": begun[0] if begun else None, "wall_s": round(ended[-1] - begun[0], 1) if begun and ended else None,
            "tokens_per_s": round(statistics.median(speeds)) if speeds else None,
            "peak_gib": round(max((m["gpu_mem_gib"] or 0 for m in metrics.values()), default=0), 2),
            "losses": [round(m["loss"], 5) for _, m in sorted(metrics.items()) if m["loss"] is not None],
            "steps": len(metrics), "answers": sum(1 for _ in read_events(folder, "response")),
        }  # fmt: skip


HOG = "import sys, time, torch; kept = torch.empty(int(float(sys.argv[1]) * 2**30), dtype=torch.uint8, device='cuda'); time.sleep(900)"


def out_of_memory(bench: Bench, rows: int, n_words: int, left_gib: float) -> None:
    """Another program takes the memory that the plan counted on; then the one click: half the micro-batch, the same effective batch."""
    big = bench.spec("too-big", n_words, batch_size=rows, micro_batch="as_given", gradient_checkpointing="off")
    (run_id,) = bench.queue(big)
    bench.until(lambda: bench.status(run_id).active, 60)
    hog = None
    if gpus := machine.gpus():
        hog = subprocess.Popen([sys.executable, "-c", HOG, str(gpus[0].total_gib - left_gib)], stdin=subprocess.DEVNULL)
    try:
        bench.wait(run_id)
        show(bench.facts(run_id))
        again = control.retry(bench.home, run_id, smaller_batch=True)
        bench.wait(again.run_id)
        show(bench.facts(again.run_id))
    finally:
        if hog is not None:
            hog.kill()
            hog.wait()


def side_by_side(bench: Bench, compare: bool) -> None:
    """Two runs at once on one GPU; then, to compare the pace, one alone."""
    pair = bench.queue(bench.spec("side-a", seed=1), bench.spec("side-b", seed=2))
    bench.until(lambda: all(bench.status(run_id).active for run_id in pair), 120)
    seen = machine.usage()
    bench.wait(*pair)
    for gpu in seen:
        show(
            {
                "gpu": gpu.name,
                "used_gib": round(gpu.total_gib - gpu.free_gib, 1),
                "processes": [process.pid for process in gpu.processes],
            }
        )
    runs = [*pair]
    if compare:
        runs += bench.queue(bench.spec("alone", seed=3))
        bench.wait(runs[-1])
    for run_id in runs:
        facts = bench.facts(run_id)
        show({**facts, "losses": facts["losses"][-1:]})


def resumed(bench: Bench) -> None:
    """Killed after its first checkpoint, against the same run left alone."""
    (whole,) = bench.queue(bench.spec("whole"))
    bench.wait(whole)
    (broken,) = bench.queue(bench.spec("broken"))
    bench.until(lambda: (bench.status(broken).step or 0) > bench.steps // 2 + 1)
    pid = holder_pid(bench.home.run_dir(broken) / "lease")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    bench.until(lambda: bench.status(broken).attempt == 2, 120)  # it is resumed by itself
    bench.wait(broken)
    left, right = bench.facts(whole), bench.facts(broken)
    show({**left, "losses": left["losses"][-6:]})
    show({**right, "losses": right["losses"][-6:]})
    differences = [abs(a - b) for a, b in zip(left["losses"], right["losses"], strict=True)]
    show({"largest_loss_difference": max(differences), "after_the_kill": max(differences[bench.steps // 2 :])})


def several_gpus(bench: Bench, n: int) -> None:
    """The same run on one and on several GPUs."""
    runs = []
    for gpus in (1, n):
        runs += bench.queue(bench.spec(f"on-{gpus}", gpus=gpus, batch_size=16 * n))
        bench.wait(runs[-1])
    left, right = (bench.facts(run_id) for run_id in runs)
    differences = [abs(a - b) for a, b in zip(left["losses"], right["losses"], strict=False)]
    for facts in (left, right):
        show({**facts, "losses": facts["losses"][:3] + facts["losses"][-3:]})
    show({"largest_loss_difference": max(differences, default=None)})
    if right["state"] != "finished":
        print((bench.home.run_dir(runs[-1]) / "worker.log").read_text()[-3000:])


def show(facts: dict[str, Any]) -> None:
    """One line."""
    print(json.dumps(facts), flush=True)


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--config", choices=CONFIGS, default="llama-1b")
    parser.add_argument("--part", choices=["oom", "side", "resume", "gpus"], nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rows", type=int, default=32, help="rows of the micro-batch that is too large")
    parser.add_argument("--left-gib", type=float, default=60.0, help="memory that the other program leaves")
    parser.add_argument("--words", type=int, default=1800, help="words of its longest rows")
    parser.add_argument("--pair-only", action="store_true", help="side: leave out the run that is alone")
    parser.add_argument("--gpus", type=int, default=2)
    args = parser.parse_args()
    args.home.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.home, args.config, args.steps)
    for part in args.part:
        print(f"--- {part}", flush=True)
        if part == "oom":
            out_of_memory(bench, args.rows, args.words, args.left_gib)
        elif part == "side":
            side_by_side(bench, not args.pair_only)
        elif part == "resume":
            resumed(bench)
        else:
            several_gpus(bench, args.gpus)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
