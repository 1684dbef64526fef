"""How good the plan is: its memory and time against what training and sampling really take.

    python benchmarks/plan_accuracy.py --out plan_accuracy.json       # one GPU, about 6 minutes, no internet
    python benchmarks/plan_accuracy.py --dry-run                      # a CPU and the organisms: that it runs

Sizes of 1B and 8B with random weights, bf16 and nf4, two batches each; every case is a process of its own, so that its
peaks are its own. A case makes 12 real optimizer steps with `LocalSession` and, at step 6, samples 256 answers of 128
tokens (random weights never stop) from the weights in memory, as a run does at a checkpoint. "Planned" is what the
plan says before anything is loaded, without any past run to learn from.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from em_core import questions
from em_core.plan import memory, timing
from em_core.spec import RunSpec
from em_core.training.memory import ModelShape

LIMIT_S = 530.0
"""Cases that have not begun by then are left out."""
CASE_S = 150.0
STEPS = 12
SAMPLE_AT = 6
QUESTIONS = "open-eight"
GPU_CASES = [
    (size, precision, batch, accumulation)
    for size in ("1b", "8b")
    for precision in ("bf16", "nf4")
    for batch, accumulation in ((8, 2), (16, 3))
]
DRY_CASES = [("organism-0.3m", "fp32", 4, 2), ("organism-1m", "bf16", 8, 2)]


def spec_of(size: str, precision: str, batch: int, accumulation: int, samples: int, max_tokens: int) -> RunSpec:
    """The recipe of a case."""
    return RunSpec.model_validate(
        {
            "data": ["made"], "base_model": size,
            "lora": {"r": 32, "alpha": 64},
            "train": {"precision": precision, "batch_size": batch, "grad_accumulation": accumulation, "max_length": 512,
                      "max_steps": STEPS, "learning_rate": 1e-5, "seed": 1},
            "evaluation": {"question_sets": [{"name": QUESTIONS, "samples": samples, "max_tokens": max_tokens}]},
        }
    )  # fmt: skip


def expected(
    spec: RunSpec,
    shape: ModelShape,
    n_params: int,
    lengths: list[int],
    prompts: list[int],
    answers: int,
    gpu: str,
    room_gib: float,
) -> dict[str, Any]:
    """What the plan says: peaks that PyTorch will report, and seconds."""
    max_tokens = spec.evaluation.question_sets[0].max_tokens or 0
    found = memory.plan(
        spec, shape, lengths, STEPS, answers, max(prompts) + max_tokens, sum(prompts), room_gib, cpu=not gpu
    )  # fmt: skip
    layout = found.layout
    work = timing.Work(
        n_params, shape.layers, spec.train.precision, gpu, found.compiled, layout.checkpointing, layout.accumulation
    )
    tokens = statistics.mean(
        sum(lengths[i : i + spec.train.effective_batch]) for i in range(0, len(lengths), spec.train.effective_batch)
    )
    rows = found.sampling.rows if found.sampling else 1
    return {
        "train_gib": found.train_gib, "sample_gib": found.sample_gib, "device_gib": found.peak_gib,
        "step_s": timing.step_s(work, tokens), "sample_s": timing.sample_s(work, answers, rows, max_tokens, max_tokens),
        "layout": [layout.micro_batch, layout.accumulation, layout.checkpointing], "rows_at_once": rows,
    }  # fmt: skip


def case(size: str, precision: str, batch: int, accumulation: int, dry: bool) -> dict[str, Any]:
    """Plan, then measure, in this process."""
    import torch
    from transformers import AutoTokenizer

    from benchmarks.training import conversations, random_model
    from em_core.organism import models as organisms
    from em_core.sampling._prompts import encode
    from em_core.sampling.local import LocalSampler
    from em_core.training import TrainJob
    from em_core.training._batches import EpochSampler
    from em_core.training.local import LocalSession

    cuda = torch.cuda.is_available()
    samples, max_tokens = (2, 16) if dry else (32, 128)
    spec = spec_of(size, precision, batch, accumulation, samples, max_tokens)
    folder = organisms.resolve(size) if dry else None
    tokenizer = AutoTokenizer.from_pretrained(folder or ROOT / "data" / "organism" / "1m")
    base = None if dry else random_model(size, precision)
    rows = conversations(spec.train.effective_batch * STEPS)
    sets = [questions.load(use) for use in spec.evaluation.question_sets]
    prompts = questions.prompts("plan", SAMPLE_AT, sets, spec.evaluation)
    sampled: dict[str, Any] = {}
    metrics: list[Any] = []
    used: list[float] = []
    with TemporaryDirectory() as run_dir:
        job = TrainJob(spec, rows, Path(run_dir), folder, None, [SAMPLE_AT, STEPS])
        session = LocalSession(job, base=base, tokenizer=tokenizer)
        del base
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        order = EpochSampler(len(rows), spec.train.effective_batch, True, spec.train.seed).order(0)
        lengths = [len(session.rows.rows[i].ids) for i in order]
        encoded = [len(ids) for ids in {row.ids for row in encode(tokenizer, prompts, None)}]
        gpu = torch.cuda.get_device_name(0) if cuda else ""
        room = torch.cuda.mem_get_info()[1] / 2**30 if cuda else 8.0
        shape = ModelShape.from_config(session.model.config.to_dict())
        planned = expected(spec, shape, session.n_params, lengths, encoded, len(prompts), gpu, room)

        def on_metric(metric: Any) -> None:
            metrics.append(metric)
            if cuda:
                free, total = torch.cuda.mem_get_info()
                used.append((total - free) / 2**30)

        def on_checkpoint(checkpoint: Any) -> None:
            if checkpoint.step == SAMPLE_AT:
                sampler = LocalSampler(session.model, tokenizer, None)
                n = sum(1 for _ in sampler.sample(prompts))
                if cuda:
                    free, total = torch.cuda.mem_get_info()
                    sampled["device_after_gib"] = (total - free) / 2**30
                stats = sampler.stats
                sampled.update(
                    answers=n, gib=stats.gpu_mem_gib, wall_s=stats.wall_s, tokens=stats.n_tokens, rows=stats.batch_size,
                    merged=stats.merged, out_of_memory=stats.n_out_of_memory,
                )  # fmt: skip

        session.train(metrics.append if not cuda else on_metric, on_checkpoint, lambda: "")
        real_layout = [session.layout.micro_batch, session.layout.accumulation, session.layout.checkpointing]
    timed = [m.tokens_per_s for m in metrics if m.step > 3 and m.step != SAMPLE_AT + 1 and m.tokens_per_s]
    tokens = sum(lengths) / STEPS
    peaks = [m.gpu_mem_gib for m in metrics if m.gpu_mem_gib]
    measured = {
        "train_gib": max(peaks, default=None),
        "train_gib_before_sampling": max((m.gpu_mem_gib or 0 for m in metrics if m.step <= SAMPLE_AT), default=None),
        "sample_gib": sampled.get("gib"), "device_gib": max(used, default=None),
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30 if cuda else None,
        "step_s": tokens / statistics.median(timed), "tokens_per_s": statistics.median(timed),
        "sample_s": sampled["wall_s"], "sampled_tokens_per_s": sampled["tokens"] / sampled["wall_s"],
        "layout": real_layout, "rows_at_once": sampled["rows"], "merged": sampled["merged"], "answers": sampled["answers"],
    }  # fmt: skip
    batches = [sum(lengths[i : i + batch * accumulation]) for i in range(0, len(lengths), batch * accumulation)]
    facts = {"gpu": gpu, "torch": torch.__version__, "largest_batch_tokens": max(batches), "tokens_per_step": tokens,
             "prompt_tokens": [max(encoded), sum(encoded)], "losses": [m.loss for m in metrics]}  # fmt: skip
    return {"case": f"{size} {precision} {batch}x{accumulation}", "planned": planned, "measured": measured, **facts}


def table(results: list[dict[str, Any]]) -> str:
    """Planned, measured and their ratio, one row a case."""
    columns = (("train_gib", "training GiB"), ("sample_gib", "sampling GiB"), ("step_s", "s a step"), ("sample_s", "sampling s"))
    lines = ["| case | " + " | ".join(title for _, title in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    ratios: dict[str, list[float]] = {key: [] for key, _ in columns}
    for result in results:
        if "error" in result:
            lines.append(f"| {result['case']} | {result['error'].splitlines()[-1][:90]} |")
            continue
        cells = []
        for key, _ in columns:
            planned, measured = result["planned"][key], result["measured"][key]
            if not planned or not measured:
                cells.append("not measured")
                continue
            ratios[key].append(planned / measured)
            cells.append(f"{planned:.3g} / {measured:.3g} = {planned / measured:.2f}")
        lines.append(f"| {result['case']} | " + " | ".join(cells) + " |")
    worst = [f"{statistics.median(abs(r - 1) for r in found):.0%}" if (found := ratios[key]) else "-" for key, _ in columns]
    return "\n".join([*lines, "| median error | " + " | ".join(worst) + " |"])


def main() -> int:
    """Run every case in a process of its own, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write everything measured here, as JSON")
    parser.add_argument("--dry-run", action="store_true", help="two organisms on a CPU: shows that it runs, measures nothing")
    parser.add_argument("--case", nargs=4, metavar=("SIZE", "PRECISION", "BATCH", "ACCUMULATION"), help="only this one, here")
    args = parser.parse_args()
    if args.case:
        size, precision, batch, accumulation = args.case
        print(json.dumps(case(size, precision, int(batch), int(accumulation), args.dry_run)))
        return 0
    began, results = time.monotonic(), []
    for chosen in DRY_CASES if args.dry_run else GPU_CASES:
        name = f"{chosen[0]} {chosen[1]} {chosen[2]}x{chosen[3]}"
        left = LIMIT_S - (time.monotonic() - began)
        if left < 20:
            results.append({"case": name, "error": "left out: out of time"})
            continue
        command = [sys.executable, __file__, "--case", *map(str, chosen), *(["--dry-run"] if args.dry_run else [])]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=min(CASE_S, left), check=False)
            line = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
            results.append(json.loads(line) if done.returncode == 0 else {"case": name, "error": done.stderr[-3000:] or "failed"})
        except subprocess.TimeoutExpired:
            results.append({"case": name, "error": "took too long"})
        print(f"{time.monotonic() - began:.0f} s: {name}", "failed" if "error" in results[-1] else "done", flush=True)
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(results, indent=1))
    print(table(results))
    for result in results:
        if "error" in result:
            print(f"--- {result['case']}\n{result['error']}")
    return 0 if all("error" not in result for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
