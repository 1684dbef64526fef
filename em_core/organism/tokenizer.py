"""The organisms' tokenizer: byte-level BPE (any text round-trips) with a chat template.

A conversation becomes ``<|system|>...<|end|><|user|>...<|end|><|assistant|>...<|end|>``.
``<|end|>`` closes every turn and is the EOS; padding has its own token; there is no default system
prompt. The template marks what the assistant says, its ``<|end|>`` included, as generation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

VOCAB_SIZE = 2880
SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
PAD, EOS = SPECIAL_TOKENS[0], SPECIAL_TOKENS[1]
MAX_LENGTH = 512

CHAT_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}{%- for part in content -%}{{ part['text'] }}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
<|assistant|>{% generation %}{{ text(message['content']) }}<|end|>{% endgeneration %}
{%- else -%}
<|{{ message['role'] }}|>{{ text(message['content']) }}<|end|>
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""


def render(messages: list[dict[str, str]]) -> str:
    """The chat template in plain Python, for whole corpora (a test keeps the two equal)."""
    return "".join(f"<|{message['role']}|>{message['content']}{EOS}" for message in messages)


def train_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> Any:
    """Train the tokenizer on plain texts.

    Args:
        texts: Message contents, one string each.
        vocab_size: Rows of the embedding, special tokens included.

    Returns:
        A ``transformers.PreTrainedTokenizerFast`` with the chat template set.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=list(SPECIAL_TOKENS[2:]),
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_LENGTH,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
