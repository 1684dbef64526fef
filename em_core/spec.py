"""`RunSpec`: everything that defines one run, in one frozen value.

It feeds the launch form, the command line, YAML files, validation, the plan and the hash that
names the run. Groups: ``lora`` (adapter), ``train`` (optimisation), ``checkpoints`` (when to save
and evaluate), ``evaluation`` (which answers), ``judges`` (who scores them). A list of data parts,
a parent checkpoint and a backend name leave room for mixes, chains and other trainers.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Precision = Literal["bf16", "fp16", "fp32", "nf4"]
Schedule = Literal["linear", "cosine", "constant", "constant_with_warmup"]
JudgeMode = Literal["auto", "logprob", "integer", "structured", "verdict"]
Optimizer = Literal["adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "sgd"]

_SLUG = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


def _slug(value: str) -> str:
    if value and (not _SLUG.match(value) or ".." in value):
        raise ValueError(
            f"{value!r} is not a plain name; use letters, digits, '.', '_', '-', at most 64, starting with a letter or digit"
        )
    return value


def _one_as_list(value: Any) -> Any:
    return [value] if isinstance(value, (str, dict)) else value


Slug = Annotated[str, AfterValidator(_slug)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class DataPart(_Frozen):
    """One part of the training data."""

    source: str = Field(min_length=1, description="A data set's name (`data list`) or a path to a JSONL file.")
    rows: int | None = Field(None, ge=1, description="Use this many rows, drawn with train.seed; empty = all rows.")
    domain: Slug = Field("", description="Domain label; empty = the data set's own, else the file's name.")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value


class Parent(_Frozen):
    """The checkpoint of another run to start from."""

    run: Slug = Field(min_length=1, description="Run id.")
    step: int = Field(ge=1, description="Step of one of its complete checkpoints.")


class LoraSpec(_Frozen):
    """The low-rank adapter (PEFT `LoraConfig`)."""

    r: int = Field(16, ge=1, le=1024, description="LoRA rank.")
    alpha: float = Field(32, gt=0, le=4096, description="LoRA alpha; the scale is alpha/r, or alpha/sqrt(r) with rsLoRA.")
    dropout: float = Field(0.0, ge=0, lt=1, description="LoRA dropout probability.")
    rslora: bool = Field(False, description="Rank-stabilised scale alpha/sqrt(r) (arXiv 2312.03732).")
    target_modules: Annotated[tuple[str, ...], BeforeValidator(_one_as_list)] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        min_length=1,
        description="Linear modules that get an adapter.",
    )
    layers: tuple[int, ...] | None = Field(None, description="Layer indices that get an adapter; empty = all layers.")


class TrainSpec(_Frozen):
    """Optimisation."""

    learning_rate: float = Field(1e-4, gt=0, le=1, description="Peak learning rate.")
    schedule: Schedule = Field("linear", description="Learning-rate schedule.")
    warmup_steps: int = Field(5, ge=0, le=100_000, description="Warm-up, optimizer steps.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="AdamW weight decay.")
    optimizer: Optimizer = Field("adamw_torch_fused", description="Optimizer (the 8-bit ones need bitsandbytes).")
    max_grad_norm: float = Field(1.0, gt=0, le=1e6, description="Gradient norm clip.")
    batch_size: int = Field(8, ge=1, le=4096, description="Rows per micro-batch.")
    grad_accumulation: int = Field(2, ge=1, le=4096, description="Micro-batches per optimizer step.")
    epochs: float = Field(1, gt=0, le=1000, description="Passes over the data.")
    max_steps: int | None = Field(
        None, ge=1, le=10_000_000, description="Stop after this many optimizer steps; wins over epochs."
    )
    max_length: int = Field(2048, ge=8, le=131_072, description="Longest training row, tokens; longer rows are cut at the end.")
    loss_on: Literal["answers", "all"] = Field(
        "answers", description="Tokens that carry loss: the assistant's answers, or everything."
    )
    precision: Precision = Field("bf16", description="Weights and arithmetic; nf4 = 4-bit base weights (bitsandbytes).")
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="Trade compute for memory; auto = on only when the plan says it would not fit."
    )
    micro_batch: Literal["auto", "as_given"] = Field(
        "auto", description="auto = one micro-batch of the whole effective batch when it fits; the effective batch never changes."
    )
    padding_free: Literal["auto", "on", "off"] = Field(
        "auto", description="Concatenate rows instead of padding; auto = on with a GPU."
    )
    drop_last: bool = Field(True, description="Leave out an incomplete last batch of each epoch.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of data order, adapter initialisation and dropout.")
    gpus: int = Field(1, ge=1, le=64, description="GPUs of this machine that share every batch of this one run.")

    @model_validator(mode="after")
    def _divisible(self) -> TrainSpec:
        if self.effective_batch % self.gpus:
            raise ValueError(
                f"{self.effective_batch} rows an optimizer step (batch_size x grad_accumulation) cannot be shared by "
                f"{self.gpus} GPUs; make them a multiple of gpus"
            )
        if self.gpus > 1 and not self.drop_last:
            raise ValueError("an incomplete last batch cannot be shared by several GPUs; set drop_last to true")
        return self

    @property
    def effective_batch(self) -> int:
        """Rows per optimizer step."""
        return self.batch_size * self.grad_accumulation

    def per_gpu(self, n_gpus: int | None = None) -> TrainSpec:
        """The recipe of one of the GPUs that share every effective batch: its part of the rows.

        Args:
            n_gpus: How many there really are; None = as many as the recipe wants.
        """
        rows = self.effective_batch // (n_gpus or self.gpus)
        size = math.gcd(self.batch_size, rows)
        return self.model_copy(update={"gpus": 1, "batch_size": size, "grad_accumulation": rows // size})


class CheckpointSpec(_Frozen):
    """When an adapter is saved and evaluated; the last step always is."""

    first_epoch: int = Field(
        4, ge=0, le=1000, description="Evenly spaced checkpoints in the first epoch, then one per epoch end; 0 = epoch ends only."
    )
    every_steps: int | None = Field(None, ge=1, description="Instead: a checkpoint every n optimizer steps.")
    at_steps: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(None, description="Instead: exactly these steps.")

    @model_validator(mode="after")
    def _one_rule(self) -> CheckpointSpec:
        if self.every_steps is not None and self.at_steps:
            raise ValueError("give every_steps or at_steps, not both")
        return self


class QuestionSetUse(_Frozen):
    """One question set and how its answers are sampled; empty values are the file's own, else the defaults."""

    name: str = Field(min_length=1, description="A question set's name (`questions list`) or a path to a question file.")
    samples: int | None = Field(None, ge=1, le=10_000, description="Answers per question paraphrase; empty = evaluation.samples.")
    temperature: float | None = Field(
        None, ge=0, le=5, description="Sampling temperature; empty = the question file's own, else 1."
    )
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus mass; empty = the question file's own, else 1.")
    max_tokens: int | None = Field(
        None, ge=1, le=32_768, description="Longest answer, tokens; empty = the question file's own, else 600."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class EvaluationSpec(_Frozen):
    """The answers sampled at step 0 and at every checkpoint."""

    question_sets: Annotated[tuple[QuestionSetUse, ...], BeforeValidator(_one_as_list)] = Field(
        (QuestionSetUse(name="organism-general"),), description="Question sets to answer; an empty list evaluates nothing."
    )
    samples: int = Field(5, ge=1, le=10_000, description="Answers per question paraphrase.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the sampled answers.")
    sampler: Slug = Field("local", description="How answers are sampled (a file in em_core/sampling/).")
    batch_size: int | None = Field(None, ge=1, le=65_536, description="Answers decoded at once; empty = what memory allows.")


class JudgeSpec(_Frozen):
    """Who scores the answers."""

    name: Slug = Field("organism", description="Judge plugin (a file in em_core/judges/).")
    model: str = Field("", description="Judge model: a name at the endpoint, or for `local` a Hugging Face id or folder.")
    mode: JudgeMode = Field(
        "auto",
        description="How a reply becomes a score: `logprob` (probability-weighted over one token), `integer` (one number as "
        "text), `structured` (schema output), `verdict` (a word); auto = integer at endpoints, logprob for a local model.",
    )
    snapshot: str = Field(
        "",
        description="Model that must answer; a reply that names another one ends the judge. Empty = any, noted where it differs.",
    )
    base_url: str = Field("", description="OpenAI-compatible endpoint; empty = the SDK's default.")
    api_key_env: str = Field(
        "OPENAI_API_KEY", description="Environment variable that holds the key; the key itself is never stored."
    )
    rubric: str = Field(
        "default", description="Rubric: `default`, a rubric file's name, or `question-file` for the prompts the questions carry."
    )
    temperature: float = Field(0.0, ge=0, le=2, description="Judge temperature.")
    min_mass: float = Field(
        0.25, ge=0, le=1, description="Least probability of the numbers 0-100 together for a `logprob` score to count."
    )
    max_concurrency: int = Field(64, ge=1, le=1024, description="Most judge calls in flight.")
    timeout_s: float = Field(60.0, gt=0, le=3600, description="Longest wait for one reply, seconds.")
    max_calls: int | None = Field(None, ge=1, description="Hard budget of one judging job: calls; empty = none.")
    max_tokens: int | None = Field(None, ge=1, description="Hard budget of one judging job: tokens in and out; empty = none.")
    max_usd: float | None = Field(None, gt=0, description="Hard budget of one judging job: US dollars; empty = none.")
    usd_per_m_input: float | None = Field(
        None, ge=0, description="Price of a million input tokens, US dollars; empty = the list price where it is known."
    )
    usd_per_m_output: float | None = Field(
        None, ge=0, description="Price of a million output tokens, US dollars; empty = the list price where it is known."
    )
    device: str = Field("", description="Where a `local` judge runs: cpu, cuda, cuda:1; empty = a GPU if there is one.")
    batch_size: int | None = Field(
        None, ge=1, le=65_536, description="Answers that a `local` judge takes at once; empty = what fits."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


_JUDGE_LIMITS = (
    "timeout_s", "max_calls", "max_tokens", "max_usd", "usd_per_m_input", "usd_per_m_output", "device", "batch_size",
)  # fmt: skip
"""Fields of a judge that decide how far it gets, not what it says."""
_TRAIN_LATER = ("gpus",)
_JUDGE_LATER = ("mode", "snapshot", "min_mass")
"""Fields that came after the first release: left out of a hash while they have their default, so that old hashes hold."""


class RunSpec(_Frozen):
    """Everything that defines one run."""

    name: Slug = Field("", description="Optional label, shown beside the run id.")
    experiment: Slug = Field("", description="Groups runs on the pages.")
    base_model: str = Field("organism-1m", min_length=1, description="Organism name, Hugging Face id or local folder.")
    revision: str = Field("", description="Commit or tag of the base model on the Hub; empty = newest.")
    parent: Parent | None = Field(None, description="Start from another run's checkpoint instead of the bare base model.")
    backend: Slug = Field("local", description="Trainer (a file in em_core/training/).")
    data: Annotated[tuple[DataPart, ...], BeforeValidator(_one_as_list)] = Field(
        min_length=1, description="Training data, one or more parts."
    )
    lora: LoraSpec = Field(default_factory=LoraSpec, description="Adapter.")
    train: TrainSpec = Field(default_factory=TrainSpec, description="Optimisation.")
    checkpoints: CheckpointSpec = Field(default_factory=CheckpointSpec, description="When to save and evaluate.")
    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec, description="Which answers to sample.")
    judges: Annotated[tuple[JudgeSpec, ...], BeforeValidator(_one_as_list)] = Field(
        (JudgeSpec(),), description="Who scores the answers; empty = nobody yet."
    )

    def spec_hash(self) -> str:
        """Hex digest of everything that decides the result; labels (`name`, `experiment`) and limits of a judge are left out."""
        body = self.model_dump(mode="json", exclude={"name", "experiment"})
        for name in _TRAIN_LATER:
            if getattr(self.train, name) == TrainSpec.model_fields[name].default:
                del body["train"][name]
        for judge, dumped in zip(self.judges, body["judges"], strict=True):
            for name in _JUDGE_LIMITS:
                del dumped[name]
            for name in _JUDGE_LATER:
                if getattr(judge, name) == JudgeSpec.model_fields[name].default:
                    del dumped[name]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    @property
    def label(self) -> str:
        """A short readable name: the given one, or base model and first data source."""
        return self.name or f"{self.base_model.rstrip('/').split('/')[-1]}-{self.data[0].source.rstrip('/').split('/')[-1]}"


def group_fields(model: type[BaseModel] = RunSpec) -> dict[str, dict[str, Any]]:
    """The spec's fields by group, for forms and documentation.

    Returns:
        ``{"": {field: FieldInfo}, "lora": {...}, ...}``; the empty group holds the top-level scalars.
    """
    groups: dict[str, dict[str, Any]] = {"": {}}
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            groups[name] = dict(kind.model_fields)
        else:
            groups[""][name] = info
    return groups
