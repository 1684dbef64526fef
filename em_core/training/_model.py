"""Loading: tokenizer, base model in its precision, the parent's adapter, a fresh adapter.

The base is loaded once and stays. A parent's adapter is folded into the weights; 4-bit weights
cannot take that without a second rounding, so there it stays beside as a frozen second adapter.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from em_core.accidents import classify
from em_core.checkpoints import WEIGHTS, sha256_of
from em_core.errors import BadInput, EMError, WorkFailed
from em_core.spec import LoraSpec, RunSpec
from em_core.training import TrainJob, _parent

log = logging.getLogger(__name__)
GPU_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, "nf4": torch.bfloat16}


@dataclass
class Loaded:
    """A model with a fresh adapter, ready to train or sample.

    Args:
        model: The PEFT model; its active adapter is ``default``.
        tokenizer: With a padding token.
        n_params: Parameters of the base model.
        weights_sha256: Identity of the starting weights.
        device: ``cuda:0`` or ``cpu``.
        gpu: The GPU's name, or "".
        dtype: Of the arithmetic.
        parent: The parent's adapter, by module, for checkpoints that need no parent.
        notes: What a person should know.
    """

    model: Any
    tokenizer: Any
    n_params: int
    weights_sha256: str
    device: str
    gpu: str
    dtype: torch.dtype
    parent: _parent.Factors
    notes: list[str] = field(default_factory=list)


def load(job: TrainJob, base: Any = None, tokenizer: Any = None) -> Loaded:
    """Load what a job names, with a fresh adapter (arguments and errors as of `load_start`)."""
    loaded = load_start(job, base, tokenizer)
    loaded.model = _adapter(loaded.model, job.spec.lora, job.spec.train.seed)
    for p in loaded.model.parameters():
        if p.requires_grad:
            p.data = p.data.to(loaded.device)
    return loaded


def load_start(job: TrainJob, base: Any = None, tokenizer: Any = None, *, safetensors_only: bool = False) -> Loaded:
    """Load the starting model: the base, and the parent's adapter if there is one; nothing to train yet.

    Args:
        job: The job.
        base: A model that is in memory already (tests and benchmarks); None = load it.
        tokenizer: Its tokenizer.
        safetensors_only: Refuse weights in any other format, which could run code when they are read.

    Raises:
        BadInput: The model, the adapter, a module or the precision is not possible here.
        WorkFailed: It does not fit, or the GPU that this process was given cannot be used.
    """
    spec = job.spec
    device = _device()
    dtype = GPU_DTYPES[spec.train.precision] if device != "cpu" else torch.float32
    notes = check_precision(spec, device)
    source = str(job.base_path or spec.base_model)
    if tokenizer is None:
        tokenizer = _tokenizer(source, spec)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked and never in the loss, so sharing the token is safe
    if base is None:
        base = _base(source, spec, device, dtype, safetensors_only)
    n_params = base.num_parameters()
    identity = _identity(source, spec, base)
    parent: _parent.Factors = {}
    model: Any = base
    if job.parent_adapter is not None:
        identity += "+" + sha256_of(job.parent_adapter / WEIGHTS)
        model, parent = _parent.attach(base, job.parent_adapter, keep=spec.train.precision == "nf4")
    digest = hashlib.sha256(identity.encode()).hexdigest()
    gpu = torch.cuda.get_device_name(0) if device != "cpu" else ""
    return Loaded(model, tokenizer, n_params, digest, device, gpu, dtype, parent, notes)


def _device() -> str:
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    if torch.cuda.is_available():
        return "cuda:0"
    if given not in ("", "-1"):  # else the run would crawl on the CPU, or wait for ever for those that have a GPU
        raise WorkFailed(
            f"CUDA_VISIBLE_DEVICES={given}: PyTorch finds no GPU there",
            "`python -m em_core doctor` looks for the reason (driver, build of PyTorch), then `resume` it",
            "driver",
        )
    return "cpu"


def check_precision(spec: RunSpec, device: str) -> list[str]:
    """Whether the precision is possible on this device.

    Returns:
        Notes for the person.

    Raises:
        BadInput: It is not.
    """
    precision = spec.train.precision
    if precision == "fp16" and device == "cpu":
        raise BadInput("train.precision: fp16 needs a GPU, this machine has none", "use bf16 or fp32")
    if precision == "bf16" and device != "cpu" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise BadInput(f"train.precision: {torch.cuda.get_device_name(0)} has no bf16", "use fp16 or nf4")
    if precision == "nf4" and importlib.util.find_spec("bitsandbytes") is None:
        raise BadInput("train.precision: nf4 needs the package bitsandbytes, which is not installed", "pip install bitsandbytes")
    if device == "cpu" and precision in ("bf16", "nf4"):
        return [f"On a CPU the arithmetic is float32; the base weights are those of {precision}."]
    return []


def _tokenizer(source: str, spec: RunSpec) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, revision=spec.revision or "main")
    except Exception as error:
        raise _not_loaded(source, spec, "tokenizer", error) from error


def _base(source: str, spec: RunSpec, device: str, dtype: torch.dtype, safetensors_only: bool) -> Any:
    from transformers import AutoModelForCausalLM

    precision = spec.train.precision
    kwargs: dict[str, Any] = {"dtype": torch.bfloat16 if precision == "bf16" else dtype, "device_map": {"": device}}
    if safetensors_only:
        kwargs["use_safetensors"] = True
    if precision == "nf4":
        from transformers import BitsAndBytesConfig

        kwargs["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    try:
        base = AutoModelForCausalLM.from_pretrained(
            source, revision=spec.revision or "main", attn_implementation="sdpa", **kwargs
        )
    except torch.OutOfMemoryError as error:
        raise WorkFailed(
            f"base model {spec.base_model!r} does not fit on the GPU",
            "use train.precision = nf4, or a smaller base model",
            "cuda_oom",
        ) from error
    except Exception as error:
        raise _not_loaded(source, spec, "base model", error) from error
    if device == "cpu" and precision == "bf16":
        base = base.float()  # the values of bf16, the arithmetic of float32: CPUs are an order slower in bf16
    base.config.use_cache = True
    return base


def _not_loaded(source: str, spec: RunSpec, what: str, error: Exception) -> EMError:
    if known := classify(error):
        return WorkFailed(f"{what} {spec.base_model!r} could not be loaded: {known.message}", known.hint, known.cause)
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    place = f"{spec.base_model!r}" + (f" at revision {spec.revision!r}" if spec.revision else "")
    if Path(source).exists():
        hint = f"check that {source} is a complete model folder (config.json, tokenizer.json, *.safetensors)"
    else:
        hint = (
            "use an organism (organism-1m), a local model folder, or a Hugging Face id;"
            " a gated or private model needs `hf auth login`, a download needs the internet"
        )
    return BadInput(f"{what} {place} could not be loaded: {reason}", hint)


def _identity(source: str, spec: RunSpec, base: Any) -> str:
    """Text that differs whenever the starting weights differ: content of local files, or id and commit."""
    folder = Path(source)
    if folder.is_dir():
        files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
        identity = "+".join(sha256_of(path) for path in files)
    else:
        identity = f"{spec.base_model}@{getattr(base.config, '_commit_hash', None) or spec.revision or 'unknown'}"
    return identity + ("+nf4" if spec.train.precision == "nf4" else "")


def _adapter(model: Any, lora: LoraSpec, seed: int) -> Any:
    """Add the adapter `default`; its first values are seeded."""
    from peft import LoraConfig, PeftModel, get_peft_model

    inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    n_layers = inner.config.get_text_config().num_hidden_layers
    if lora.layers is not None:
        beyond = [i for i in lora.layers if not 0 <= i < n_layers]
        if beyond:
            raise BadInput(f"lora.layers: {beyond[0]} is not a layer of the model", f"use layers from 0 to {n_layers - 1}")
    names = sorted({name.split(".")[-1] for name, m in inner.named_modules() if _is_linear(m)} - {"lm_head", "base_layer"})
    unknown = [name for name in lora.target_modules if name not in names]
    if unknown:
        raise BadInput(f"lora.target_modules: the model has no linear module {unknown[0]!r}", f"choose from: {', '.join(names)}")
    config = LoraConfig(
        r=lora.r,
        lora_alpha=int(lora.alpha) if float(lora.alpha).is_integer() else lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        use_rslora=lora.rslora,
        target_modules=list(lora.target_modules),
        layers_to_transform=list(lora.layers) if lora.layers is not None else None,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    if not isinstance(model, PeftModel):
        return get_peft_model(model, config)
    model.add_adapter("default", config)
    _parent.activate(model, [_parent.NAME, "default"])
    return model


def _is_linear(module: Any) -> bool:
    return isinstance(module, torch.nn.Linear) or hasattr(module, "base_layer")
