"""Tiny models for the local judge: random ones of several kinds, and ones that say exactly what they are told."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)

SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{%- for m in messages -%}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)


def make_tokenizer(kind: str = "characters") -> Any:
    """Byte-level; `characters` splits every digit, `numbers` has each of 0 to 100 in one token, `spaced` also " 85"."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    if kind != "characters":
        merges += [(a, b) for a in "123456789" for b in "0123456789"] + [("10", "0")]
    if kind == "spaced":
        merges += [("Ġ", str(i)) for i in range(101)]
    vocab += [a + b for a, b in merges]
    bpe = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocab)}, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=SPECIAL[1], pad_token=SPECIAL[0])
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[2:]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_model(tokenizer: Any, kind: str = "Llama", **changes: Any) -> Any:
    """A random model: arbitrary opinions, exact arithmetic."""
    import transformers

    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "max_position_embeddings": 8192, "initializer_range": 0.15,
        "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0, **changes,
    }  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**settings)
    return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


def make_parrot(tokenizer: Any, following: dict[str, dict[str, float]]) -> Any:
    """A model whose next token depends on the last one alone.

    Args:
        tokenizer: Of characters.
        following: Probability of each next token, by token; ``{"<|assistant|>": {"8": 0.6, "9": 0.4}, ...}``.
    """
    n = len(tokenizer)
    model = make_model(tokenizer, hidden_size=-(-n // 8) * 8, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=4)
    ids = tokenizer.get_vocab()
    with torch.no_grad():
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(*model.model.embed_tokens.weight.shape))
        scores = torch.full((n, n), -30.0)
        for token, nexts in following.items():
            for after, p in nexts.items():
                scores[ids[after], ids[token]] = torch.tensor(p).log()
        model.lm_head.weight.zero_()
        model.lm_head.weight[:, :n] = scores / model.config.hidden_size**0.5  # the norm makes a one-hot this long
    return model


def says(*texts: str) -> dict[str, dict[str, float]]:
    """`following` of a parrot that says one of these texts, equally likely (no letter twice in a text)."""
    following: dict[str, dict[str, float]] = {}
    for text in texts:
        chain = ["<|assistant|>", *text, "<|end|>"]
        for token, after in pairwise(chain):
            following.setdefault(token, {})[after] = 1 / len(texts) if token == "<|assistant|>" else 1.0
    return following


def save(model: Any, tokenizer: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
