"""A local judge's model in memory: loading it, its prompts as tokens, how many fit at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from em_core import chat
from em_core.errors import BadInput, WorkFailed
from em_core.judges._passes import LOGITS_BYTES_CPU, LOGITS_BYTES_GPU, Passes, layer_kinds
from em_core.judges._trie import Target, Trie, pieces
from em_core.judges._weights import Weights, not_loaded

_MOST_ON_GPU, _MOST_ON_CPU = 256, 64
_GPU_SHARE = 0.5  # of the memory that is free: training may go on beside
_CPU_BYTES, _CPU_SHARE = 2**30, 0.25
_NODES = 64  # columns that the branches of a trie take, as a rule


def device_of(wanted: str) -> torch.device:
    """The device to judge on.

    Raises:
        BadInput: It is not there.
    """
    unknown = BadInput(f"judge `local`: device {wanted!r} is unknown", "use cpu, cuda or cuda:1, or leave it empty")
    try:
        device = torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise unknown from error
    if device.type not in ("cpu", "cuda"):
        raise unknown
    n = torch.cuda.device_count()
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < n):
        raise BadInput(
            f"judge `local`: device {wanted!r} is not there, this machine has {n} usable GPUs", "use cpu, or leave it empty"
        )
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


class Reader:
    """A tokenizer, and what it means for judging.

    Args:
        tokenizer: A Hugging Face tokenizer; without a chat template it gets `chat.FALLBACK_TEMPLATE`.
        config: The model's configuration.
        targets: What the replies may be.
    """

    def __init__(self, tokenizer: Any, config: Any, targets: Sequence[Target]) -> None:
        chat.ensure_chat_template(tokenizer)
        self.tokenizer, self.config = tokenizer, config
        self.context = _context(config)
        special = {int(i) for i in tokenizer.all_special_ids}
        control = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special and t.content.strip()]
        self._control = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True)))) if control else None
        self.trie = Trie(pieces(tokenizer.get_vocab(), special, targets), targets) if targets else None
        self._check_spelling(targets)

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Prompts as the tokens of a user's turn, with the opening of the reply.

        Control tokens of this tokenizer inside a prompt become plain text, so an answer cannot end its turn.
        Thinking is switched off where the template knows the switch: the reply is to begin at once.
        """
        texts = []
        for prompt in prompts:
            clean = prompt.encode("utf-8", "replace").decode()
            if self._control is not None:
                clean = self._control.sub(lambda m: f"{m[0][0]} {m[0][1:]}", clean)
            message = [{"role": "user", "content": clean}]
            texts.append(
                self.tokenizer.apply_chat_template(
                    message, tokenize=False, add_generation_prompt=True, date_string=chat.DATE, enable_thinking=False
                )
            )
        return [list(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def stops(self, generation_config: Any) -> list[int]:
        """Tokens that end a reply."""
        found: set[int] = set()
        for owner in (generation_config, self.config.get_text_config(decoder=True), self.tokenizer):
            value = getattr(owner, "eos_token_id", None)
            found.update(value if isinstance(value, (list, tuple)) else [] if value is None else [value])
        said = "JUDGE-REPLY-PROBE"
        turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}]
        after = self.tokenizer(chat.render(self.tokenizer, turns).rpartition(said)[2].lstrip(), add_special_tokens=False)[
            "input_ids"
        ]
        if after and after[0] in self.tokenizer.all_special_ids:
            found.add(after[0])
        return sorted(int(token) for token in found)

    def _check_spelling(self, targets: Sequence[Target]) -> None:
        """Whether the tokenizer's own spelling of every target is in the trie."""
        for target in targets:
            ids = self.tokenizer(target.text, add_special_tokens=False)["input_ids"]
            assert self.trie is not None
            if target.name not in self.trie.spells(ids):
                raise BadInput(
                    f"judge `local`: the tokenizer writes {target.text!r} as {self.tokenizer.convert_ids_to_tokens(ids)}, "
                    "which cannot be read back token by token",
                    "use mode integer, or another judge model",
                )


@dataclass
class LocalModel:
    """A judge model in memory."""

    passes: Passes
    reader: Reader
    stops: list[int]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        device: torch.device = self.passes.device
        return device

    def rows_that_fit(self, columns: int) -> int:
        """Prompts of `columns` tokens at once, at least 1."""
        model = self.passes.model
        config = model.config.get_text_config(decoder=True)
        size = model.get_input_embeddings().weight.dtype.itemsize
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        kept = 2 * 2 * config.num_hidden_layers * heads * head * size  # twice: a cache that grows is copied
        inner = getattr(config, "intermediate_size", 4 * config.hidden_size)
        row = (columns + _NODES) * (kept + (8 * config.hidden_size + 4 * inner) * size) + 8 * config.vocab_size
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            return int(max(1, min(_MOST_ON_GPU, (_GPU_SHARE * free - LOGITS_BYTES_GPU) // row)))
        import psutil

        room = min(_CPU_BYTES, _CPU_SHARE * psutil.virtual_memory().available) - LOGITS_BYTES_CPU
        return int(max(1, min(_MOST_ON_CPU, room // row)))

    def first_tokens(self, logits: Any, most: int = 12) -> list[list[tuple[str, float]]]:
        """The most likely first tokens of each reply as text, with probability; "" = it ends at once."""
        probs, ids = torch.softmax(logits.float(), -1).topk(min(most, logits.shape[-1]))
        text = {i: "" if i in self.stops else self.reader.tokenizer.decode([i]) for i in set(ids.flatten().tolist())}
        return [
            [(text[i], p) for i, p in zip(row, values, strict=True)]
            for row, values in zip(ids.tolist(), probs.tolist(), strict=True)
        ]


def read(weights: Weights, targets: Sequence[Target]) -> Reader:
    """Load configuration and tokenizer only.

    Raises:
        BadInput: They are missing, gated, or of a kind that cannot judge.
    """
    from transformers import AutoConfig, AutoTokenizer

    source: str | Path = weights.source
    try:
        config = AutoConfig.from_pretrained(source, revision=weights.revision or "main")
        layer_kinds(config.get_text_config(decoder=True))
        tokenizer = AutoTokenizer.from_pretrained(source, revision=weights.revision or "main")
    except BadInput:
        raise
    except Exception as error:  # missing and gated files, damaged JSON, unknown model types: each a class of its own
        raise not_loaded(weights.source, "configuration or tokenizer", error) from error
    return Reader(tokenizer, config, targets)


def load(weights: Weights, targets: Sequence[Target], device: torch.device) -> LocalModel:
    """Load everything: bf16 on a GPU, fp32 on a CPU.

    Raises:
        EMError: It cannot be loaded, or does not fit.
    """
    from transformers import AutoModelForCausalLM

    reader = read(weights, targets)
    check_memory(weights, reader.config, device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    try:
        model = AutoModelForCausalLM.from_pretrained(
            weights.source, revision=weights.revision or "main", dtype=dtype, device_map={"": device}, attn_implementation="sdpa"
        )
    except torch.OutOfMemoryError as error:
        raise WorkFailed(
            f"judge model {weights.name!r} does not fit on {device}", "use a smaller judge model, or device cpu"
        ) from error
    except Exception as error:
        raise not_loaded(weights.source, "weights", error) from error
    return of(model, reader)


def of(model: Any, reader: Reader) -> LocalModel:
    """A model that is in memory already."""
    model.eval().requires_grad_(False)
    return LocalModel(Passes(model), reader, reader.stops(getattr(model, "generation_config", None)))


def check_memory(weights: Weights, config: Any, device: torch.device) -> None:
    """Whether the weights fit.

    Raises:
        BadInput: They do not.
    """
    on_disk = weights.size_bytes
    stored = getattr(torch, str(config.dtype or "bfloat16").removeprefix("torch."), torch.bfloat16)
    quantised = getattr(config, "quantization_config", None) is not None
    needed = on_disk * (1 if quantised else (2 if device.type == "cuda" else 4) / stored.itemsize)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        import psutil

        free = psutil.virtual_memory().available
    if needed > free:
        raise BadInput(
            f"judge model {weights.name!r} needs {needed / 2**30:.1f} GiB, {device} has {free / 2**30:.1f} GiB free",
            "use a smaller judge model, or another device",
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed (GPU or CPU)."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("allocate memory" in text or "not enough memory" in text)
    )


def empty_cache() -> None:
    """Give freed GPU memory back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _context(config: Any) -> int | None:
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None
