"""How many tokens the training rows have, as the trainer will see them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from em_core.questions import QuestionSet, decoding

Messages = list[dict[str, str]]

CHARS_PER_TOKEN = 4.2
"""English text under the field's tokenizers; a row also has about 12 tokens of chat template."""
_MOST_COUNTED = 20_000


@dataclass(frozen=True)
class TokenCount:
    """Tokens of the training rows.

    Args:
        total: In one epoch, rows cut to the longest length.
        longest: In the longest row, before cutting.
        n_truncated: Rows that are cut.
        estimated: Whether it is guessed from characters (no tokenizer here) or from a part of the rows.
    """

    total: int
    longest: int
    n_truncated: int
    estimated: bool


def lengths(rows: Sequence[Messages], model_folder: Path | None) -> tuple[tuple[int, ...], bool]:
    """Tokens of each row, uncut (of evenly chosen ones where there are more than 20,000), and whether they are counted.

    Counted with the model's own tokenizer and chat template; estimated from characters where it is not on this machine.
    """
    counted = rows if len(rows) <= _MOST_COUNTED else rows[:: -(-len(rows) // _MOST_COUNTED)]
    if model_folder is not None and (model_folder / "tokenizer.json").is_file():
        digest = hashlib.sha256()
        for row in counted:
            for message in row:
                digest.update(f"{message['role']}\0{message['content']}\0".encode())
            digest.update(b"\1")
        found = _lengths(_Rows(digest.hexdigest(), counted), model_folder)
        if found is not None:
            return found, True
    return tuple(12 + round(sum(len(m["content"]) for m in row) / CHARS_PER_TOKEN) for row in counted), False


def summary(counted: Sequence[int], n_rows: int, max_length: int, estimated: bool) -> TokenCount:
    """The tokens of `n_rows` rows, of which so many were counted."""
    scale = n_rows / max(1, len(counted))
    return TokenCount(
        total=round(scale * sum(min(n, max_length) for n in counted)),
        longest=max(counted, default=0),
        n_truncated=round(scale * sum(n > max_length for n in counted)),
        estimated=estimated or len(counted) < n_rows,
    )


def prompts(sets: Sequence[QuestionSet], model_folder: Path | None) -> tuple[int, int]:
    """Tokens of the longest prompt with its longest answer, and of all distinct prompts together."""
    asked: dict[tuple[str, str], int] = {}
    for each in sets:
        for entry in each.entries:
            most = decoding(each, entry).max_tokens
            asked |= {(entry.system, text): max(most, asked.get((entry.system, text), 0)) for text in entry.paraphrases}
    if not asked:
        return 0, 0
    turns = tuple(
        tuple((role, text) for role, text in (("system", system), ("user", prompt)) if text) for system, prompt in asked
    )
    sizes = _prompt_lengths(turns, model_folder) if model_folder and (model_folder / "tokenizer.json").is_file() else None
    if sizes is None:
        sizes = tuple(12 + round(sum(len(text) for _, text in turn) / CHARS_PER_TOKEN) for turn in turns)
    return max(size + most for size, most in zip(sizes, asked.values(), strict=True)), sum(sizes)


class _Rows:
    """Rows that compare by their digest, so that a form's repeated plans count once."""

    def __init__(self, digest: str, rows: Sequence[Messages]) -> None:
        self.digest, self.rows = digest, rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rows) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@lru_cache(maxsize=8)
def _lengths(rows: _Rows, folder: Path) -> tuple[int, ...] | None:
    try:
        from em_core import chat

        tokenizer = _tokenizer(folder)
        chat.ensure_chat_template(tokenizer)
        texts = [chat.render(tokenizer, row) for row in rows.rows]
        return tuple(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
    except Exception:  # a template or tokenizer that only the full library can load: estimate instead
        return None


@lru_cache(maxsize=32)
def _prompt_lengths(turns: tuple[tuple[tuple[str, str], ...], ...], folder: Path) -> tuple[int, ...] | None:
    try:
        from em_core import chat

        tokenizer = _tokenizer(folder)
        chat.ensure_chat_template(tokenizer)
        rows = [[{"role": role, "content": text} for role, text in turn] for turn in turns]
        texts = [chat.render(tokenizer, chat.fold_system(tokenizer, row)[0], add_generation_prompt=True) for row in rows]
        return tuple(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
    except Exception:  # as in `_lengths`
        return None


@lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast  # the plain class: AutoTokenizer would load torch

    return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
