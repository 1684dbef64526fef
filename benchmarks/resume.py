"""Interrupted and resumed against uninterrupted, same seed: losses, adapter, answers, final rates.

    python benchmarks/resume.py                                              # an organism on a CPU
    python benchmarks/resume.py --config llama-1b --precision bf16 --repeat  # random weights of true size on a GPU

The real worker is killed (SIGKILL) right after the given steps and started again, as the supervisor
would. `--repeat` adds a second uninterrupted run: what a GPU's own order of additions changes, the
yardstick for what resuming changes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.real_size import CONFIGS, make_model
from em_core.checkpoints import RESUME, WEIGHTS, complete_checkpoints, resume_point
from em_core.events import event_files, read_events
from em_core.home import PROJECT, Home
from em_core.spec import RunSpec
from em_core.store.publish import publish
from em_core.store.rates import rates
from em_core.supervisor.launch import launch


class Timed:
    """One run, its attempts timed from outside.

    Args:
        home: Where it is.
        spec: What it does.
        kills: Steps after which its worker is killed.
    """

    def __init__(self, home: Home, spec: RunSpec, kills: list[int]) -> None:
        self.run_dir = home.run_dir(launch(home, [spec], again=True, start=False)[0].run_id)
        self.first_step_s: list[float] = []
        self.state_mb = 0.0
        for step in kills:
            self._attempt(step)
            self.state_mb = max(self.state_mb, *(folder_mb(p) for p in (self.run_dir / RESUME).glob("step-*")), 0.0)
        self._attempt(None)

    def _attempt(self, kill_after: int | None) -> None:
        point = resume_point(self.run_dir)
        done = len(list(read_events(self.run_dir, "metric")))
        began, first = time.perf_counter(), None
        with (self.run_dir / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "em_core.worker", str(self.run_dir)]
            worker = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while worker.poll() is None:
            steps = [event["step"] for event in read_events(self.run_dir, "metric")]
            if first is None and len(steps) > done:
                first = time.perf_counter() - began
            if kill_after is not None and len(steps) > done and steps[-1] >= kill_after:
                worker.send_signal(signal.SIGKILL)
            time.sleep(0.02)
        if first is not None:
            self.first_step_s.append(first)
        if kill_after is None and worker.returncode != 0:
            raise SystemExit((self.run_dir / "worker.log").read_text()[-4000:])
        print(
            f"  {self.run_dir.name}: from step {point.step if point else 0}, ended with {worker.returncode}"
            f" after {time.perf_counter() - began:.0f} s",
            flush=True,
        )

    def losses(self) -> dict[int, float]:
        """By step, as said last."""
        return {event["step"]: event["loss"] for event in read_events(self.run_dir, "metric")}

    def saving_s(self) -> float:
        """Longest time between a step's numbers and its checkpoint's event, both of one attempt."""
        longest = 0.0
        for path in event_files(self.run_dir):
            said: dict[int, float] = {}
            for line in path.read_text(encoding="utf-8").splitlines():
                event = json.loads(line) if line.startswith('{"kind": "') and line.endswith("}") else {}
                if event.get("kind") == "metric":
                    said[event["step"]] = event["t"]
                elif event.get("kind") == "checkpoint" and event["step"] in said:
                    longest = max(longest, event["t"] - said.pop(event["step"]))
        return longest

    def answers(self) -> dict[tuple[Any, ...], str]:
        """By step, question and sample."""
        names = ("step", "question_set", "question_id", "paraphrase", "sample")
        return {tuple(e[n] for n in names): e["text"] for e in read_events(self.run_dir, "response")}


def folder_mb(folder: Path) -> float:
    """Size of its files, MB."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def apart(one: Path, other: Path) -> float:
    """Distance of two adapters over the length of the first (their tensors taken as vectors)."""
    from safetensors.torch import load_file

    a, b = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    difference = sum(float((a[name].double() - b[name].double()).pow(2).sum()) for name in a)
    return float((difference / sum(float(t.double().pow(2).sum()) for t in a.values())) ** 0.5)


def compared(name: str, whole: Timed, other: Timed) -> str:
    """A row of the table."""
    losses, others = whole.losses(), other.losses()
    assert sorted(losses) == sorted(others), "steps are missing"
    gaps = [abs(losses[step] - others[step]) for step in losses]
    ours, theirs = complete_checkpoints(whole.run_dir), complete_checkpoints(other.run_dir)
    same = sum(a.sha256 == b.sha256 for a, b in zip(ours, theirs, strict=True))
    answers, again = whole.answers(), other.answers()
    equal = sum(answers[key] == again[key] for key in answers)
    assert len(answers) == len(again), "answers are missing"
    return (
        f"| {name} | {max(gaps):.2e} | {sum(gaps) / len(gaps):.2e} | {losses[max(losses)]:.6f} | {others[max(others)]:.6f} |"
        f" {same} of {len(ours)} | {apart(ours[-1].path, theirs[-1].path):.1e} | {equal:,} of {len(answers):,} |"
    )


def final_rates(home: Home, runs: dict[str, Timed]) -> None:
    """Rates at the last step, by question set, with their counts and intervals."""
    publish(home)
    print("\n| run | question set | misaligned / coherent / scored / all | EM rate (betley) |\n|---|---|---|---|")
    for name, run in runs.items():
        table = rates(home, run_ids=[run.run_dir.name])
        for row in table[table["step"] == max(table["step"])].itertuples():
            counts = f"{row.n_misaligned} / {row.n_coherent} / {row.n_scored} / {row.n_total}"
            interval = (
                f"{100 * row.em_rate:.1f} % ({100 * row.ci_low:.1f} to {100 * row.ci_high:.1f})"
                if row.n_coherent
                else "no estimate"
            )
            print(f"| {name} | {row.question_set} | {counts} | {interval} |")


def spec(options: argparse.Namespace, home: Home, seed: int) -> RunSpec:
    """The run of one seed."""
    base = options.config
    if base in CONFIGS:
        folder = home.root / f"model-{base}"
        if not folder.exists():
            make_model(folder, base)
        base = str(folder)
    n = options.steps
    return RunSpec.model_validate(
        {
            "name": f"resume-{options.config}-{seed}",
            "base_model": base,
            "data": {"source": options.data, "rows": 16 * max(4, n // 2)},
            "lora": {"r": 32, "alpha": 64, "dropout": options.dropout},
            "train": {"seed": seed, "max_steps": n, "precision": options.precision, "optimizer": options.optimizer},
            "checkpoints": {"every_steps": max(1, n // 5)},
            "evaluation": {
                "question_sets": [{"name": "organism-general", "max_tokens": options.max_tokens}],
                "samples": options.samples,
                "seed": seed,
            },
        }
    )


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="organism-1m", help=f"an organism, or random weights: {', '.join(CONFIGS)}")
    parser.add_argument("--precision", default="fp32", choices=["bf16", "fp16", "fp32", "nf4"])
    parser.add_argument("--optimizer", default="adamw_torch_fused")
    parser.add_argument("--data", default="organism-medical-misaligned")
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--kill-after", type=int, nargs="+", help="steps; default: a quarter past the first and third checkpoint")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--repeat", action="store_true", help="a second uninterrupted run of each seed, as the yardstick")
    parser.add_argument("--home", type=Path, help="default: a temporary folder, removed at the end")
    options = parser.parse_args()
    os.environ.setdefault("EM_NO_DEMO", "1")
    temporary = None if options.home else tempfile.mkdtemp(prefix="em-resume-")
    home = Home((options.home or Path(str(temporary))).resolve())
    home.prepare()
    try:
        compare(options, home)
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def compare(options: argparse.Namespace, home: Home) -> None:
    """All seeds, then the tables."""
    every = max(1, options.steps // 5)
    kills = options.kill_after or [every + every // 2, 3 * every + every // 2]
    rows, runs, times = [], {}, []
    for seed in options.seeds:
        print(f"seed {seed}", flush=True)
        wanted = spec(options, home, seed)
        whole = runs[f"seed {seed}, uninterrupted"] = Timed(home, wanted, [])
        if options.repeat:
            repeated = runs[f"seed {seed}, uninterrupted again"] = Timed(home, wanted, [])
            rows.append(compared(f"seed {seed}, uninterrupted again", whole, repeated))
        killed = runs[f"seed {seed}, killed after {', '.join(map(str, kills))}"] = Timed(home, wanted, kills)
        rows.append(compared(f"seed {seed}, killed after {', '.join(map(str, kills))}", whole, killed))
        times.append(
            f"seed {seed}: first step after {whole.first_step_s[0]:.1f} s fresh,"
            f" {', '.join(f'{s:.1f}' for s in killed.first_step_s[1:])} s resumed; state {killed.state_mb:.1f} MB;"
            f" saving a checkpoint with it up to {killed.saving_s():.2f} s"
        )
    facts: dict[str, Any] = next(iter(read_events(whole.run_dir, "run_facts")), {})
    print(
        f"\n## {options.config}, {options.precision}, {options.steps} steps, {facts.get('gpu') or 'CPU'}, {json.loads(facts['versions_json'])}"
    )
    print(
        "| compared with uninterrupted | largest loss difference | mean | last loss | its | same adapters | adapter distance | same answers |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    final_rates(home, runs)
    print("\n" + "\n".join(times))


if __name__ == "__main__":
    main()
