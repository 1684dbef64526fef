"""Evaluating a checkpoint: ours against the way of the public scripts. Same questions, same number
of answers, same decoding, same machine, one run, interleaved.

    python benchmarks/sampling.py                          the organism on CPU: a few minutes
    python benchmarks/sampling.py --quick                  under a minute
    python benchmarks/sampling.py --config llama-8b        true size, random weights, needs a GPU

The scripts' way, for every checkpoint: load the base model, load the adapter, then one prompt at a
time through `model.generate`. Ours: the model that training holds anyway, all prompts in one go,
adapter merged. Loading is in the scripts' time where there are weights on disk (the organism); with
`--config` the weights are random and loading counts as 0 s, in the scripts' favour.

Greedy answers of both ways are compared token for token, in the same run. In fp32 they must be
identical (exit 1 if not); in bf16 merged and unmerged weights round differently, so the share is shown.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
import yaml
from transformers.utils.logging import disable_progress_bar

from benchmarks.sizes import CONFIGS
from em_core import chat
from em_core.records import Decoding, Prompt
from em_core.sampling import local

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def questions(limit: int) -> list[tuple[str, str, int]]:
    """The organism's general questions: (id, text, max_tokens), every paraphrase of its own."""
    entries = yaml.safe_load((ROOT / "data/questions/organism_general.yaml").read_text(encoding="utf-8"))
    rows = [(f"{e['id']}/{i}", text, int(e.get("max_tokens", 64))) for e in entries for i, text in enumerate(e["paraphrases"])]
    return rows[:limit]


def prompts(asked: list[tuple[str, str, int]], n: int, max_tokens: int | None, seed: int) -> list[Prompt]:
    made = []
    for i in range(n):
        key, text, longest = asked[i % len(asked)]
        how = Decoding(1.0, 1.0, max_tokens or longest)
        made.append(Prompt(f"{key}#{i}", "general", key, 0, i // len(asked), "", text, how, seed=seed + i))
    return made


class Bench:
    """A base model (on disk or random), with one saved adapter per checkpoint."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        from peft import LoraConfig, get_peft_model
        from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = torch.bfloat16 if self.device == "cuda" else torch.float32
        shipped = ROOT / "data" / "organism" / ("1m" if args.config else args.model.removeprefix("organism-"))
        copied = shutil.copytree(shipped, folder / "base")  # nobody exchanges the weights half-way
        self.base_dir = None if args.config else copied
        self.tokenizer = AutoTokenizer.from_pretrained(copied)
        if self.base_dir is None:
            config = LlamaConfig(**CONFIGS[args.config], max_position_embeddings=2048, eos_token_id=1, pad_token_id=0)
            torch.manual_seed(0)
            torch.set_default_dtype(self.dtype)
            with torch.device(self.device):
                base = LlamaForCausalLM(config).eval()
            torch.set_default_dtype(torch.float32)
        else:
            base = self.load_base()
        lora = LoraConfig(r=32, lora_alpha=64, target_modules=TARGETS, task_type="CAUSAL_LM")
        self.model = get_peft_model(base, lora).eval()
        self.adapters = []
        for number in range(args.checkpoints):
            torch.manual_seed(number + 1)
            with torch.no_grad():
                for name, parameter in self.model.named_parameters():
                    if "lora_B" in name:
                        parameter.normal_(0, 0.004)
            self.adapters.append(folder / f"step-{number + 1}")
            self.model.save_pretrained(self.adapters[-1])

    def load_base(self) -> Any:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(self.base_dir, dtype=self.dtype).to(self.device).eval()

    def at_checkpoint(self, number: int) -> None:
        """Bring the model in memory to a checkpoint's weights (training has them there already: not timed)."""
        from peft import load_peft_weights, set_peft_model_state_dict

        set_peft_model_state_dict(self.model, load_peft_weights(str(self.adapters[number]), device=self.device))

    def ours(self, asked: list[Prompt], batch: int | None = None) -> tuple[dict[str, str], Any, local.LocalSampler, int]:
        sampler = local.open(self.model, self.tokenizer, batch)
        began = self._clock()
        answers = list(sampler.sample(asked))
        took = self._clock() - began
        return {a.prompt.response_id: a.text for a in answers}, took, sampler, sum(a.n_tokens for a in answers)

    def scripts(self, asked: list[Prompt], number: int) -> tuple[dict[str, str], Any, int]:
        from peft import PeftModel

        began = self._clock()
        model = self.model if self.base_dir is None else PeftModel.from_pretrained(self.load_base(), self.adapters[number]).eval()
        texts, n_tokens = {}, 0
        for prompt in asked:
            text = chat.render(self.tokenizer, [{"role": "user", "content": prompt.prompt}], add_generation_prompt=True)
            ids = self.tokenizer(text, return_tensors="pt", add_special_tokens=False).to(self.device)
            how = prompt.decoding
            choice = {"do_sample": True, "temperature": how.temperature, "top_p": how.top_p, "top_k": 0}
            with torch.no_grad():
                out = model.generate(
                    input_ids=ids["input_ids"],
                    attention_mask=ids["attention_mask"],
                    max_new_tokens=how.max_tokens,
                    pad_token_id=self.tokenizer.pad_token_id,
                    **(choice if how.temperature else {"do_sample": False}),
                )
            new = out[0, ids["input_ids"].shape[1] :].tolist()
            new = new[:-1] if new and new[-1] == self.tokenizer.eos_token_id else new
            texts[prompt.response_id] = self.tokenizer.decode(new, skip_special_tokens=True).strip()
            n_tokens += len(new)
        return texts, self._clock() - began, n_tokens

    def _clock(self) -> Any:
        """Seconds on the wall, and of CPU time (which other work on the machine does not lengthen much)."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return np.array([time.perf_counter(), time.process_time()])


def compare(bench: Bench, args: argparse.Namespace) -> bool:
    asked = questions(10**9)
    n = args.answers or (24 if args.quick else 200)
    max_tokens = args.max_tokens or (128 if args.config else None)
    warm = prompts(asked, 2, 4, 1)  # both ways once, untimed: kernels, caches, imports
    bench.ours(warm)
    bench.scripts(warm, 0)
    sums: dict[str, Any] = {"ours": np.zeros(4), "scripts": np.zeros(4)}  # wall s, CPU s, answers, tokens
    same = total = 0
    for number in range(args.checkpoints):
        bench.at_checkpoint(number)
        todo = prompts(asked, n, max_tokens, 1000 * number)
        texts, took, sampler, n_tokens = bench.ours(todo)
        sums["ours"] += [*took, len(texts), n_tokens]
        texts, took, n_tokens = bench.scripts(todo, number)
        sums["scripts"] += [*took, len(texts), n_tokens]
        some = prompts(asked, min(len(asked), n // 2), max_tokens, 0)
        greedy = [replace(p, decoding=replace(p.decoding, temperature=0.0)) for p in some]
        a, b = bench.ours(greedy)[0], bench.scripts(greedy, number)[0]
        same, total = same + sum(a[key] == b[key] for key in a), total + len(a)
    wall, cpu = sums["scripts"][:2] / sums["ours"][:2] * sums["ours"][2] / sums["scripts"][2]
    print(f"{args.checkpoints} checkpoints x {n} answers, temperature 1, batch {sampler.batch_size}, merged: {sampler.merged}\n")
    print("| way | seconds | answers/s | tok/s | ratio | CPU s | ratio |\n|---|---|---|---|---|---|---|")
    for name, label in (("scripts", "scripts: re-loaded, one prompt at a time"), ("ours", "ours: in memory, batched")):
        seconds, busy, answers, n_tokens = sums[name]
        ours = name == "ours"
        print(
            f"| {label} | {seconds:.2f} | {answers / seconds:.1f} | {n_tokens / seconds:.0f} | {wall if ours else 1:.1f}x "
            f"| {busy:.2f} | {cpu if ours else 1:.1f}x |"
        )
    print(f"\ngreedy answers identical in both ways: {same} of {total}")
    return same == total or bench.dtype != torch.float32


def throughput(bench: Bench, args: argparse.Namespace) -> None:
    asked = questions(10**9)
    length = 16 if args.quick else 128
    print(f"\n{length} new tokens at most, temperature 1, as many answers as rows\n")
    print("| batch | merged | tok/s | answers/s | seconds | peak GiB |\n|---|---|---|---|---|---|")
    for batch in args.batches:
        bench.ours(prompts(asked, batch, 8, 5), batch)
        _, (seconds, _), sampler, n_tokens = bench.ours(prompts(asked, batch, length, 6), batch)
        peak = "" if sampler.gpu_mem_gib is None else f"{sampler.gpu_mem_gib:.1f}"
        print(f"| {batch} | {sampler.merged} | {n_tokens / seconds:.0f} | {batch / seconds:.1f} | {seconds:.2f} | {peak} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="organism-1m", help="an organism's name")
    parser.add_argument("--config", choices=sorted(CONFIGS), help="random weights of this size instead of an organism")
    parser.add_argument("--answers", type=int, help="answers a checkpoint (default 200; 24 with --quick)")
    parser.add_argument("--checkpoints", type=int, help="default 2; 1 with --quick")
    parser.add_argument("--max-tokens", type=int, help="longest answer (default: the questions' own; 128 with --config)")
    parser.add_argument("--batches", type=int, nargs="*", help="measure tok/s at these batch sizes (--config: 64 256 768)")
    parser.add_argument("--only-batches", action="store_true", help="leave the scripts' way out")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    args.checkpoints = args.checkpoints or (1 if args.quick else 2)
    if args.batches is None:
        args.batches = [64, 256, 768] if args.config else []
    torch.set_num_threads(1 if not torch.cuda.is_available() else torch.get_num_threads())
    warnings.simplefilter("ignore", FutureWarning)
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        where = torch.cuda.get_device_name() if bench.device == "cuda" else "CPU, 1 thread"
        print(f"{args.config or args.model}, {bench.dtype}, {where}, torch {torch.__version__}\n")
        fine = True if args.only_batches else compare(bench, args)
        if args.batches:
            throughput(bench, args)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
