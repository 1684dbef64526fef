"""One base model in memory, adapters put on it one after another: answers without training.

    session = AdapterSession(job, first)        the base is loaded once
    session.wear(read_adapter(folder))          its weights are copied into the adapter that is there
    with session.starting_weights(): ...        without it

A checkpoint of a run gives the very weights that the run had: where a parent's adapter was folded into
the base before training, it is here too, and taken out of the checkpoint, which holds the sum of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from em_core import alive
from em_core.adapters import Adapter, read_config, scale
from em_core.errors import BadInput, WorkFailed
from em_core.training import TrainJob, _model, _parent
from em_core.training._surroundings import limit_gpu, quiet, release, third_party_warnings

NAME = "default"
_SUFFIXES = (".lora_A.weight", ".lora_B.weight")
_PREFIX = "base_model.model."

Scaled = dict[str, tuple[Tensor, Tensor, float]]
"""By module: A (r x in), B (out x r) as they were saved, and what their product is multiplied with."""


class AdapterSession:
    """A loaded model whose adapter can be exchanged.

    Args:
        job: Names the base model, its precision and the parent's adapter; its rows and steps are not looked at.
        first: The adapter to put on first, which decides modules and ranks; None = the plain model.
        untrusted: The base model is somebody else's: only safetensors are read.

    Raises:
        BadInput: The model or the adapter is not possible here, or they do not fit each other.
        WorkFailed: The model does not fit the memory.
    """

    def __init__(self, job: TrainJob, first: Adapter | None = None, *, untrusted: bool = False) -> None:
        quiet()
        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # as in training: two threads are slower than one on small models
        alive.beat(job.run_dir)
        limit_gpu()
        with third_party_warnings():
            self._loaded = _model.load_start(job, safetensors_only=untrusted)
            self._ranks: dict[str, int] = {}
            if first is not None:
                self.wear(first)
        self.tokenizer = self._loaded.tokenizer
        self.n_params, self.weights_sha256 = self._loaded.n_params, self._loaded.weights_sha256
        self.device, self.gpu = self._loaded.device, self._loaded.gpu
        alive.beat(job.run_dir)

    @property
    def model(self) -> Any:
        """The model, its adapter on."""
        return self._loaded.model

    def wear(self, adapter: Adapter) -> None:
        """Put an adapter on, in place of the one that is.

        Raises:
            BadInput: It does not fit the base model, or has other modules or ranks than the first one.
        """
        factors = _without_parent(_read(adapter), self._loaded.parent, adapter)
        ranks = {name: a.shape[0] for name, (a, _, _) in factors.items()}
        if not self._ranks:
            self._make_room(ranks, adapter)
            self._ranks = ranks
        elif ranks != self._ranks:
            raise BadInput(f"{adapter.path}: has other modules or ranks than the checkpoint before it", "evaluate it by itself")
        layers = _layers(self.model)
        for name, (a, b, factor) in factors.items():
            layer = layers[name]
            for part, tensor in ((layer.lora_A[NAME].weight, a), (layer.lora_B[NAME].weight, b)):
                if part.shape != tensor.shape:
                    raise _misfit(adapter, f"{name} is {tuple(tensor.shape)}, expected {tuple(part.shape)}")
                part.data = tensor.to(self._loaded.device)
            layer.scaling[NAME] = factor

    @contextmanager
    def starting_weights(self) -> Iterator[None]:
        """While entered, the model is the starting model: base, and the parent's adapter if there is one."""
        if not self._ranks:
            yield
        elif _parent.NAME not in self.model.peft_config:
            with self.model.disable_adapter():
                yield
        else:
            _parent.activate(self.model, [_parent.NAME])
            try:
                yield
            finally:
                _parent.activate(self.model, [_parent.NAME, NAME])

    def close(self) -> None:
        """Free the model's memory."""
        self._loaded.model = None
        release()

    def _make_room(self, ranks: dict[str, int], adapter: Adapter) -> None:
        """Add an adapter of these modules and ranks."""
        from peft import LoraConfig, PeftModel, get_peft_model

        model = self._loaded.model
        inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        linear = {name.replace(".base_layer", "") for name, module in inner.named_modules() if _model._is_linear(module)}
        unknown = sorted(set(ranks) - linear)
        if unknown:
            raise _misfit(adapter, f"the model has no linear module {unknown[0][:120]!r}")
        top = max(ranks.values())
        config = LoraConfig(
            r=top, lora_alpha=top, target_modules=sorted(ranks), rank_pattern={n: r for n, r in ranks.items() if r != top},
            task_type="CAUSAL_LM", inference_mode=True,
        )  # fmt: skip
        try:
            if isinstance(model, PeftModel):
                model.add_adapter(NAME, config)
                _parent.activate(model, [_parent.NAME, NAME])
            else:
                self._loaded.model = get_peft_model(model, config)
        except torch.OutOfMemoryError as error:
            raise WorkFailed(
                f"adapter {adapter.path.name} does not fit on the GPU", "use a smaller model, or --precision nf4", "cuda_oom"
            ) from error
        got = {name: layer.lora_A[NAME].weight.shape[0] for name, layer in _layers(self._loaded.model).items()}
        if got != ranks:
            raise _misfit(adapter, f"{len(ranks)} modules in the file, {len(got)} in the model")


def _read(adapter: Adapter) -> Scaled:
    """The adapter's factors, from its safetensors alone.

    Raises:
        BadInput: It holds something else than pairs of low-rank factors of linear modules.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(adapter.weights)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{adapter.weights}: cannot be read ({error})", "copy the folder again") from error
    config, found, names = read_config(adapter.path), {}, set()
    for key in tensors:
        suffix = next((s for s in _SUFFIXES if key.endswith(s)), "")
        if not suffix or not key.startswith(_PREFIX):
            raise BadInput(f"{adapter.weights}: {key[:120]!r} is no low-rank factor of a linear module", "only plain LoRA works")
        names.add(key.removeprefix(_PREFIX).removesuffix(suffix))
    for name in sorted(names):
        a, b = (tensors.get(f"{_PREFIX}{name}{suffix}") for suffix in _SUFFIXES)
        if a is None or b is None or a.ndim != 2 or b.ndim != 2 or not a.shape[0] == b.shape[1] > 0:
            raise BadInput(f"{adapter.weights}: the factors of {name[:120]!r} do not belong together", "copy the folder again")
        found[name] = (a, b, scale(config, name, a.shape[0]))
    if not found:
        raise BadInput(f"{adapter.weights}: holds no weights", "copy the folder again")
    return found


def _without_parent(total: Scaled, parent: _parent.Factors, adapter: Adapter) -> Scaled:
    """A checkpoint of a run with a parent, less the parent, whose factors come first in it (`_parent.add`)."""
    found = {}
    for name, (a, b, factor) in total.items():
        first = parent[name][0].shape[0] if name in parent else 0
        if first > a.shape[0] or (first and factor != 1):
            raise BadInput(f"{adapter.path}: is no sum with the adapter of the run's parent", "evaluate it as a folder by itself")
        if first < a.shape[0]:
            found[name] = (a[first:].contiguous(), b[:, first:].contiguous(), factor)
    return found


def _layers(model: Any) -> dict[str, Any]:
    """Modules that wear the adapter, by name in the base model."""
    from peft.tuners.lora import LoraLayer

    modules = model.base_model.model.named_modules()
    return {name: m for name, m in modules if isinstance(m, LoraLayer) and NAME in getattr(m, "lora_A", {})}


def _misfit(adapter: Adapter, found: str) -> BadInput:
    return BadInput(
        f"adapter {adapter.path.name} does not fit the base model: {found}", "name the model that it was trained on with --base"
    )
