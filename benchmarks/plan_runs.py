"""The plan that a person sees at launch, against the run that follows it: does it get better with every run?

    python benchmarks/plan_runs.py --home /tmp/em                                        # one GPU, about 9 minutes
    python benchmarks/plan_runs.py --home /tmp/em --sizes llama-tiny --precisions bf16   # a CPU: that it runs

Real runs through queue, supervisor and worker, with random weights of true size: every size and precision with a
batch of 8 x 2 rows, then with 16 x 3, then with 8 x 2 again (another seed). The first is planned without any past run of
its kind, the others from those before them; `em_core.plan.accuracy` compares, as `plan --accuracy` does.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gpu_runs import Bench
from benchmarks.real_size import CONFIGS
from em_core.events import read_events
from em_core.plan import accuracy, past
from em_core.spec import RunSpec
from em_core.store.publish import publish

BATCHES = ((8, 2), (16, 3), (8, 2))


def spec(bench: Bench, precision: str, batch: tuple[int, int], seed: int) -> RunSpec:
    """A run of this size: `Bench.spec` with this batch, longer rows and more answers."""
    rows, accumulation = batch
    name = f"{bench.config}-{precision}-{rows}x{accumulation}-{seed}"
    found = bench.spec(name, 160, seed, precision=precision, batch_size=rows, grad_accumulation=accumulation, max_length=512)
    data = found.model_dump(mode="json")
    data["evaluation"] = {"question_sets": [{"name": "open-eight", "samples": 16, "max_tokens": 128}], "seed": seed}
    return RunSpec.model_validate(data)


def sampling(bench: Bench, run_id: str) -> list[dict[str, Any]]:
    """What sampling each checkpoint took, step 0 first (another run's, where they share it)."""
    folder, baseline = bench.home.run_dir(run_id), bench.status(run_id).baseline_run
    events = read_events(folder, "generation")
    return [*(read_events(bench.home.run_dir(baseline), "generation") if baseline else []), *events]


def table(bench: Bench, order: list[tuple[str, str]]) -> str:
    """Planned / measured of every run, in the order in which they were made."""
    found = {(row.run_id, row.what): row for row in accuracy.compared(bench.home)}
    lines = ["| run | " + " | ".join(accuracy.TITLES.values()) + " | times |", "|---" * (len(accuracy.TITLES) + 2) + "|"]
    for name, run_id in order:
        cells, source = [], ""
        for what in accuracy.TITLES:
            row = found.get((run_id, what))
            cells.append(f"{row.planned:.3g} / {row.measured:.3g} = {row.ratio:.2f}" if row else "not measured")
            if row and not what.startswith("memory"):
                source = row.source
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {source} |")
    return "\n".join(lines)


def main() -> int:
    """Run everything that there is time for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", choices=CONFIGS, default=["llama-1b", "llama-8b"])
    parser.add_argument("--precisions", nargs="+", default=["bf16", "nf4"])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--limit", type=float, default=500, help="seconds after which no further run begins")
    args = parser.parse_args()
    began = time.monotonic()
    args.home.mkdir(parents=True, exist_ok=True)
    benches = {size: Bench(args.home, size, args.steps) for size in args.sizes}
    order: list[tuple[str, str]] = []
    for seed, batch in enumerate(BATCHES):
        for size, bench in benches.items():
            for precision in args.precisions:
                if time.monotonic() - began > args.limit:
                    continue
                publish(bench.home)
                past.forget()
                (run_id,) = bench.queue(spec(bench, precision, batch, seed))
                bench.wait(run_id)
                order.append((f"{size} {precision} {batch[0]}x{batch[1]}", run_id))
                status = bench.status(run_id)
                sampled = [f"{at['step']}: {at['wall_s']:.1f} s" for at in sampling(bench, run_id)]
                print(
                    f"{time.monotonic() - began:.0f} s: {order[-1][0]} {status.state} {status.reason[:200]}", *sampled, flush=True
                )
                if status.state != "finished":
                    print((bench.home.run_dir(run_id) / "worker.log").read_text()[-3000:])
    last = benches[args.sizes[-1]]
    publish(last.home)
    print(table(last, order))
    for each in accuracy.summaries(accuracy.compared(last.home)):
        print(
            f"{each.what}: n {each.n}, median error {each.median_error:.0%}, worst {each.worst_error:.0%}, inside {each.n_inside}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
