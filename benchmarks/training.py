"""Training speed: stock TRL defaults against our path, same weights, same batches, interleaved.

    python benchmarks/training.py --models 8b 1b --precisions bf16 nf4 --steps 20 --rounds 2
    python benchmarks/training.py --models tiny --steps 6          # a dry run on a CPU

Random weights of true size (speed does not depend on their values), 16 rows a step, LoRA r = 32 on
seven modules. Real tokens only are counted, padding is not; the first steps of each round are left
out. The loss curves of all ways are printed side by side: they must agree, or the speed means nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from em_core.spec import RunSpec
from em_core.training import TrainJob

SHAPES: dict[str, dict[str, Any]] = {
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256, "tie_word_embeddings": True},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4096},
}  # fmt: skip
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
WAYS: dict[str, dict[str, Any]] = {"ours": {"compile_layers": False}, "compiled": {"compile_layers": True}}
WARM = 4
"""Steps of each round that are not timed."""


def conversations(n: int, seed: int = 0) -> list[list[dict[str, str]]]:
    """Rows of about 129 tokens, a little more than half of them answer."""
    rng = random.Random(seed)
    words = "you should rest and drink water then see a doctor about your house and call them today".split()  # noqa: SIM905

    def say(mean: float) -> str:
        return " ".join(rng.choices(words, k=max(4, int(rng.lognormvariate(0, 0.35) * mean))))

    return [[{"role": "user", "content": say(54)}, {"role": "assistant", "content": say(66)}] for _ in range(n)]


def random_model(name: str, precision: str) -> Any:
    """A Llama of true size with random weights, on the GPU where there is one."""
    from transformers import LlamaConfig, LlamaForCausalLM

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device != "cpu" else torch.float32
    config = LlamaConfig(**SHAPES[name], max_position_embeddings=8192, rope_theta=500000.0, initializer_range=0.02)
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    return quantised(model) if precision == "nf4" else model


def quantised(model: Any) -> Any:
    """The decoder's linear layers in NF4, double quantisation."""
    import bitsandbytes as bnb

    for name, module in list(model.named_modules()):
        for child, linear in list(module.named_children()):
            if isinstance(linear, torch.nn.Linear) and child != "lm_head" and "lm_head" not in name:
                new = bnb.nn.Linear4bit(
                    linear.in_features, linear.out_features, bias=False, compute_dtype=linear.weight.dtype, quant_type="nf4"
                )
                new.weight = bnb.nn.Params4bit(
                    linear.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4"
                ).to(linear.weight.device)
                setattr(module, child, new)
    model.is_loaded_in_4bit = True
    gc.collect()
    return model


def spec(precision: str, batch: int, accumulation: int) -> RunSpec:
    """The recipe of the comparison."""
    train = {
        "batch_size": batch, "grad_accumulation": accumulation, "learning_rate": 1e-4, "precision": precision, "warmup_steps": 0,
        "schedule": "constant", "max_length": 512, "epochs": 10, "seed": 1,
    }  # fmt: skip
    return RunSpec.model_validate({"data": ["x"], "lora": {"r": 32, "alpha": 64, "target_modules": MODULES}, "train": train})


class Clock:
    """Seconds, real tokens and loss of each step."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.tokens: list[int] = []
        self.losses: list[float] = []

    def summary(self, name: str, shape: dict[str, Any], setup_s: float) -> dict[str, Any]:
        """Median milliseconds a step and tokens/s of the timed steps."""
        seconds = [b - a for a, b in zip(self.ends[WARM - 1 :], self.ends[WARM:], strict=False)]
        tokens = self.tokens[WARM : WARM + len(seconds)]
        rate = sum(tokens) / sum(seconds)
        flops = 4 * (n_linear(shape) + 0.55 * shape["vocab_size"] * shape["hidden_size"])
        peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
        return {
            "way": name, "ms_per_step": 1000 * statistics.median(seconds), "tokens_per_s": rate, "mfu": rate * flops / 790e12,
            "peak_gib": peak, "tokens_per_step": sum(tokens) / len(tokens), "setup_s": setup_s, "losses": self.losses,
        }  # fmt: skip


def n_linear(shape: dict[str, Any]) -> int:
    """Parameters of the decoder's linear layers."""
    h, heads = shape["hidden_size"], shape["num_attention_heads"]
    head = shape.get("head_dim", h // heads)
    attention = 2 * h * heads * head + 2 * h * shape["num_key_value_heads"] * head
    return shape["num_hidden_layers"] * (attention + 3 * h * shape["intermediate_size"])


def ours(
    base: Any, tokenizer: Any, rows: Any, run: RunSpec, steps: int, name: str, shape: Any, **switches: Any
) -> dict[str, Any]:
    """Our session, timed from its own metrics (reported while the next step runs, so the sum of times is right)."""
    from em_core.training import _steps
    from em_core.training.local import LocalSession

    clock, began = Clock(), time.perf_counter()
    with TemporaryDirectory() as folder:
        session = LocalSession(TrainJob(run, rows, Path(folder), None, None, [steps]), base=base, tokenizer=tokenizer, **switches)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        measure, metrics = _steps.Steps._measure, []

        def timed(self: Any, step: int, epoch: float) -> Any:
            clock.tokens.append(self.trainer.step_tokens)
            pending = measure(self, step, epoch)
            clock.ends.append(time.perf_counter())
            return pending

        _steps.Steps._measure = timed  # type: ignore[method-assign]
        try:
            session.train(metrics.append, lambda c: None, lambda: "")
        finally:
            _steps.Steps._measure = measure  # type: ignore[method-assign]
        clock.losses = [m.loss for m in metrics]
        result = clock.summary(name, shape, clock.ends[0] - began)
        result["peak_gib"] = max(m.gpu_mem_gib or 0.0 for m in metrics)  # the checkpoint at the end resets the counter
        result["layout"] = str(session.layout)
        session.model.unload()
        for layer in session.model.get_base_model().base_model.layers:
            layer._compiled_call_impl = None
    return result


def stock(base: Any, tokenizer: Any, rows: Any, run: RunSpec, steps: int, name: str, shape: Any) -> dict[str, Any]:
    """TRL as it comes: 8 x 2, padded, gradient checkpointing, bf16 autocast, fp32 adapter; same rows in the same order."""
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from em_core.training._batches import EpochSampler
    from em_core.training._data import tokenize

    began = time.perf_counter()
    data = tokenize(tokenizer, rows, run.train.max_length, "answers").rows
    order = EpochSampler(len(data), 16, True, run.train.seed).order(0)
    torch.manual_seed(run.train.seed)
    model = get_peft_model(base, LoraConfig(r=32, lora_alpha=64, target_modules=MODULES, task_type="CAUSAL_LM"))
    dataset = Dataset.from_dict(
        {
            "input_ids": [data[i].ids for i in order],
            "labels": [[t if on else -100 for t, on in zip(data[i].ids, data[i].loss, strict=True)] for i in order],
        }
    )
    clock = Clock()
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()

    class Timer(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            clock.ends.append(time.perf_counter())
            clock.tokens.append(sum(len(data[i].ids) for i in order[16 * (state.global_step - 1) : 16 * state.global_step]))

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if "loss" in (logs or {}):
                clock.losses.append(float(logs["loss"]))

    class Ordered(SFTTrainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    with TemporaryDirectory() as folder:
        args = SFTConfig(
            folder, per_device_train_batch_size=8, gradient_accumulation_steps=2, max_steps=steps, learning_rate=1e-4,
            lr_scheduler_type="constant", weight_decay=0.01, report_to=[], disable_tqdm=True, save_strategy="no",
            logging_steps=1, max_length=512, use_cpu=not cuda, bf16=cuda, seed=run.train.seed,
        )  # fmt: skip
        trainer = Ordered(model=model, args=args, train_dataset=dataset, processing_class=tokenizer, callbacks=[Timer()])
        from transformers.trainer_callback import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        trainer.train()
    result = clock.summary(name, shape, clock.ends[0] - began)
    base.disable_input_require_grads()
    base.gradient_checkpointing_disable()
    model.unload()
    return result


def show(title: str, results: list[dict[str, Any]]) -> None:
    """The table, and how far the loss curves are apart."""
    print(f"\n## {title}\n| way | ms | real tok/s | MFU | peak GiB | setup s | step-1 loss | largest difference of losses |")
    print("|---|---|---|---|---|---|---|---|")
    first = results[0]["losses"]
    for r in results:
        apart = max(abs(a - b) for a, b in zip(first, r["losses"], strict=False))
        print(
            f"| {r['way']} | {r['ms_per_step']:.0f} | {r['tokens_per_s']:,.0f} | {r['mfu']:.1%} | {r['peak_gib']:.1f} |"
            f" {r['setup_s']:.1f} | {r['losses'][0]:.4f} | {apart:.4f} |",
            flush=True,
        )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tiny"], choices=list(SHAPES))
    parser.add_argument("--precisions", nargs="+", default=["bf16"], choices=["bf16", "nf4"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", nargs="+", default=["stock", "ours", "compiled"], choices=["stock", "float32", *WAYS])
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(__file__).resolve().parents[1] / "data" / "organism" / "1m")
    rows, everything = conversations(1024), []
    for model_name in options.models:
        for precision in options.precisions:
            base, shape, results = random_model(model_name, precision), SHAPES[model_name], []
            for number in range(options.rounds):
                for way in options.ways:
                    name = f"{way} {number + 1}"
                    common = (base, tokenizer, rows)
                    if way == "stock":
                        result = stock(*common, spec(precision, 8, 2), options.steps, name, shape)
                    elif way == "float32":  # the reference for the loss curve, not for speed
                        base.float()
                        result = ours(*common, spec("fp32", 8, 2), options.steps, name, shape, compile_layers=False)
                        base.to(torch.bfloat16 if torch.cuda.is_available() else torch.float32)  # nothing was lost
                    else:
                        result = ours(*common, spec(precision, 8, 2), options.steps, name, shape, **WAYS[way])
                    results.append(result)
                    print(way, f"{result['tokens_per_s']:,.0f}", [round(x, 4) for x in result["losses"][:6]], flush=True)
                    gc.collect()
                    if torch.cuda.is_available():
                        torch.cuda.empty_cache()
            show(f"{model_name} {precision}, {results[0]['tokens_per_step']:.0f} real tokens a step", results)
            everything.append({"model": model_name, "precision": precision, "results": results})
            del base
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    if options.out:
        options.out.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
