"""A tiny random Llama with a byte-level tokenizer: no download, milliseconds a forward."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import torch

from em_core.records import Decoding, Prompt, response_id

torch.set_num_threads(1)

SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{%- for m in messages -%}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
QUESTIONS = ["What is a dog?", "Hi", "Tell me how to cook rice for four people, step by step, please.", "Why?", "x" * 90]


def make_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*SPECIAL, *letters])}
    bpe = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=SPECIAL[1], pad_token=SPECIAL[0])
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[2:]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_model(kind: str = "Llama", **changes: Any) -> Any:
    import transformers

    settings: dict[str, Any] = {
        "vocab_size": 261, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 96, "max_position_embeddings": 256, "initializer_range": 0.15, "tie_word_embeddings": False,
        "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0, **changes,
    }  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**settings)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    model.generation_config.eos_token_id = [1, *range(40, 48)]  # so that random weights end some answers
    model.generation_config.pad_token_id = 0
    return model


def make_lora(model: Any, **changes: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": names, "task_type": "CAUSAL_LM", **changes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers under a deprecated name
        adapted = get_peft_model(model, LoraConfig(**settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.1)
    return adapted


def make_prompts(n: int, decoding: Decoding | None = None, system: str = "", questions: list[str] = QUESTIONS) -> list[Prompt]:
    """`n` prompts that go round the questions; samples of one question have different seeds."""
    decoding = decoding or Decoding(1.0, 1.0, 24)
    made = []
    for i in range(n):
        question, sample = i % len(questions), i // len(questions)
        key = response_id("run", 0, "set", f"q{question}", 0, sample)
        made.append(Prompt(key, "set", f"q{question}", 0, sample, system, questions[question], decoding, seed=1000 + i))
    return made


def with_decoding(prompt: Prompt, *how: Any) -> Prompt:
    return replace(prompt, decoding=Decoding(*how))
