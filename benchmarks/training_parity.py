"""Which way of computing a step is nearest to float32: gradients of the first step, against a float32 reference.

    python benchmarks/training_parity.py --model 1b

A lower loss after one step proves nothing; the angle between a way's gradient and the float32 gradient
of the same batch and the same adapter does. Adam's first update is the sign of the gradient, so the
share of elements with the right sign is printed too.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.training import MODULES, SHAPES, conversations, random_model
from em_core.spec import RunSpec
from em_core.training import TrainJob


class Seen(Exception):
    """The first step's gradients are known."""


def first_gradients(base: Any, tokenizer: Any, rows: Any, train: dict[str, Any], compiled: bool) -> tuple[float, dict[str, Any]]:
    """Loss and gradients of lora_B (lora_A has none yet) of the first step."""
    from em_core.training import _optimizer
    from em_core.training._surroundings import compile_layers
    from em_core.training.local import LocalSession

    body = {"data": ["x"], "lora": {"r": 32, "alpha": 64, "target_modules": MODULES}}
    fixed = {"batch_size": 16, "grad_accumulation": 1, "learning_rate": 1e-4, "max_length": 512, "seed": 1, "warmup_steps": 0}
    spec = RunSpec.model_validate({**body, "train": {**fixed, **train}})
    found: dict[str, Any] = {}
    losses: list[float] = []

    def stop(self: Any, closure: Any = None) -> None:
        names = [n for n, p in session.model.named_parameters() if p.requires_grad]
        found.update({n: p.grad.detach().float().cpu() for n, p in zip(names, self.live, strict=True) if "lora_B" in n})
        losses.append(float(trainer_loss()))
        raise Seen

    def trainer_loss() -> Any:
        import gc

        from em_core.training._trainer import LoraTrainer

        return next(o for o in gc.get_objects() if isinstance(o, LoraTrainer) and o.step_loss is not None).step_loss

    with TemporaryDirectory() as folder:
        session = LocalSession(
            TrainJob(spec, rows, Path(folder), None, None, [1]), base=base, tokenizer=tokenizer, compile_layers=False
        )
        if compiled:
            compile_layers(session.model)
        before = _optimizer.LoraOptimizer.step
        _optimizer.LoraOptimizer.step = stop  # type: ignore[assignment,method-assign]
        try:
            session.train(lambda m: None, lambda c: None, lambda: "")
        except Seen:
            pass
        finally:
            _optimizer.LoraOptimizer.step = before  # type: ignore[method-assign]
        session.model.unload()
        for layer in session.model.get_base_model().base_model.layers:
            layer._compiled_call_impl = None
    return losses[0], found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=list(SHAPES))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(__file__).resolve().parents[1] / "data" / "organism" / "1m")
    rows = conversations(256)
    base = random_model(options.model, "bf16").float()
    reference = first_gradients(base, tokenizer, rows, {"precision": "fp32", "padding_free": "off"}, False)
    again = first_gradients(base, tokenizer, rows, {"precision": "fp32", "padding_free": "on"}, False)
    compiled32 = first_gradients(base, tokenizer, rows, {"precision": "fp32", "padding_free": "off"}, True)
    if torch.cuda.is_available():
        base = base.to(torch.bfloat16)
    ways = {"fp32 padded": reference, "fp32 packed": again, "fp32 padded, compiled": compiled32}
    for name, train, compiled in (
        ("bf16 padded", {"padding_free": "off"}, False),
        ("bf16 varlen", {}, False),
        ("bf16 padded, compiled", {"padding_free": "off"}, True),
        ("bf16 varlen, compiled", {}, True),
    ):
        ways[name] = first_gradients(base, tokenizer, rows, {"precision": "bf16", **train}, compiled)
    print(f"| {options.model} | loss | cosine with fp32 | right sign | norm | worst module |\n|---|---|---|---|---|---|")
    true = torch.cat([g.flatten() for g in reference[1].values()])
    for name, (loss, gradients) in ways.items():
        mine = torch.cat([g.flatten() for g in gradients.values()])
        cosine = torch.nn.functional.cosine_similarity(mine, true, 0)
        each = {
            n: float(torch.nn.functional.cosine_similarity(g.flatten(), reference[1][n].flatten(), 0))
            for n, g in gradients.items()
        }
        worst = min(each, key=each.__getitem__)
        right = (mine.sign() == true.sign()).float().mean()
        short = worst.removeprefix("base_model.model.model.").removesuffix(".lora_B.default.weight")
        print(f"| {name} | {loss:.5f} | {cosine:.4f} | {right:.1%} | {mine.norm():.3e} | {short} {each[worst]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
