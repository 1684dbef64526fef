"""A run of true size through the whole path, with random weights: speed and memory, no quality.

    python benchmarks/real_size.py --home /tmp/em --config llama-8b --precision bf16 nf4 \
        --data bad_medical.jsonl --questions first_plot_questions.yaml

Makes a folder with a config of true size, random weights and the organism's tokenizer (no model
is downloaded), launches one run per precision exactly as `launch --wait` does, and prints what the
run's own events say: real tokens/s, peak memory, answers/s, checkpoint times.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from em_core.events import read_events
from em_core.home import Home
from em_core.specs_io import read_spec

CONFIGS: dict[str, dict[str, Any]] = {
    "qwen-0.5b": {"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
                      "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
    "llama-tiny": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
                       "num_key_value_heads": 2, "vocab_size": 8192},
    "llama-1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
                     "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256, "tie_word_embeddings": True},
    "llama-8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                     "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256},
}  # fmt: skip


def make_model(folder: Path, config_name: str) -> None:
    """A model folder of true size: random bf16 weights (std 0.02), the organism's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer_files = ROOT / "data" / "organism" / "1m"
    token_config = json.loads((tokenizer_files / "config.json").read_text())
    special = {k: token_config[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id") if k in token_config}
    shape = {"model_type": "llama", **CONFIGS[config_name]}
    config = AutoConfig.for_model(shape.pop("model_type"), max_position_embeddings=8192, **shape, **special)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    folder.mkdir(parents=True)
    model.save_pretrained(folder, max_shard_size="4GB")
    for file in tokenizer_files.iterdir():
        if "tokenizer" in file.name or "chat_template" in file.name or "special_tokens" in file.name:
            shutil.copy(file, folder / file.name)
    del model
    if device == "cuda":
        torch.cuda.empty_cache()


def report(run_dir: Path) -> dict[str, object]:
    """What the run's own events say."""
    metrics = list(read_events(run_dir, "metric"))
    generations = list(read_events(run_dir, "generation"))
    states = [e for e in read_events(run_dir, "state") if e["phase"] == "run"]
    facts = next(iter(read_events(run_dir, "run_facts")), {})
    speeds = [m["tokens_per_s"] for m in metrics[3:] if m["tokens_per_s"]]
    baseline = run_dir.parent / facts.get("baseline_run_id", "none")
    return {
        "run": run_dir.name,
        "state": states[-1]["state"] if states else "none",
        "gpu": facts.get("gpu"),
        "params": facts.get("n_params"),
        "steps": len(metrics),
        "median_tokens_per_s": round(statistics.median(speeds)) if speeds else None,
        "best_tokens_per_s": round(max(speeds)) if speeds else None,
        "peak_gpu_gib_train": max((m["gpu_mem_gib"] or 0 for m in metrics), default=None),
        "answers": [
            {"step": g["step"], "n": g["n_responses"], "wall_s": round(g["wall_s"], 2), "answers_per_s": round(g["n_responses"] / g["wall_s"], 1),
             "tokens_per_s": round(g["n_tokens"] / g["wall_s"]), "batch": g["batch_size"], "merged": g["merged"], "gib": g["gpu_mem_gib"]}
            for g in [*(read_events(baseline, "generation") if baseline.exists() else []), *generations]
        ],
        "checkpoints": [e["step"] for e in read_events(run_dir, "checkpoint")],
        "responses": sum(1 for _ in read_events(run_dir, "response")),
        "judgements": sum(1 for _ in read_events(run_dir, "judgement")),
    }  # fmt: skip


def recipe(args: argparse.Namespace, precision: str, model: Path) -> dict[str, Any]:
    """The spec of one run: the benchmark's own, or a preset's with this model, these rows and the offline judge."""
    own = {"name": f"{args.config}-{precision}", "base_model": str(model), "data": [str(args.data.resolve())]}
    if args.preset:
        overrides = [f"{key}={json.dumps(value)}" for key, value in own.items()]
        spec = read_spec(args.preset, [*overrides, f"train.precision={precision}", "judges=[{name: organism}]"])[0]
        return spec.model_dump(mode="json")
    return {
        **own,
        "lora": {"r": 32, "alpha": 64, "rslora": True},
        "train": {
            "precision": precision, "batch_size": 8, "grad_accumulation": 2, "epochs": args.epochs, "learning_rate": 1e-5,
        },
        "checkpoints": {"first_epoch": 1},
        "evaluation": {
            "question_sets": [{"name": str(args.questions.resolve()), "samples": args.samples, "max_tokens": args.max_tokens}],
        },
    }  # fmt: skip


def main() -> int:
    """Make the model, launch, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--config", choices=CONFIGS, default="llama-8b")
    parser.add_argument("--precision", nargs="+", default=["bf16", "nf4"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument(
        "--preset", help="take everything else from this preset (small-real) instead of the benchmark's own recipe"
    )
    args = parser.parse_args()
    model = args.home / f"model-{args.config}"
    started = time.perf_counter()
    if not model.exists():
        make_model(model, args.config)
    print(f"model ready in {time.perf_counter() - started:.0f} s", flush=True)
    for precision in args.precision:
        spec = recipe(args, precision, model)
        path = args.home / f"{args.config}-{precision}.json"
        path.write_text(json.dumps(spec))
        started = time.perf_counter()
        command = [sys.executable, "-m", "em_core", "--home", str(args.home), "launch", str(path), "--wait"]
        code = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode
        wall_s = time.perf_counter() - started
        folders = sorted(Home(args.home).runs.glob(f"{args.config}-{precision}-*"), key=lambda p: p.stat().st_mtime)
        print(
            json.dumps(
                {
                    "precision": precision,
                    "exit_code": code,
                    "wall_s": round(wall_s, 1),
                    **(report(folders[-1]) if folders else {}),
                }
            )
        )
        if code and folders:
            print((folders[-1] / "worker.log").read_text()[-3000:])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
