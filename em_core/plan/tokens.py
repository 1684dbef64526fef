"""How many tokens the training rows have, as the trainer will see them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

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


def count(rows: Sequence[Messages], max_length: int, model_folder: Path | None) -> TokenCount:
    """Count with the model's own tokenizer and chat template; estimate where it is not on this machine."""
    counted = rows if len(rows) <= _MOST_COUNTED else rows[:: -(-len(rows) // _MOST_COUNTED)]
    lengths: tuple[int, ...] | None = None
    if model_folder is not None and (model_folder / "tokenizer.json").is_file():
        digest = hashlib.sha256()
        for row in counted:
            for message in row:
                digest.update(f"{message['role']}\0{message['content']}\0".encode())
            digest.update(b"\1")
        lengths = _lengths(_Rows(digest.hexdigest(), counted), model_folder)
    estimated = lengths is None or len(counted) < len(rows)
    if lengths is None:
        lengths = tuple(12 + round(sum(len(m["content"]) for m in row) / CHARS_PER_TOKEN) for row in counted)
    scale = len(rows) / max(1, len(lengths))
    return TokenCount(
        total=round(scale * sum(min(n, max_length) for n in lengths)),
        longest=max(lengths, default=0),
        n_truncated=round(scale * sum(n > max_length for n in lengths)),
        estimated=estimated,
    )


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


@lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast  # the plain class: AutoTokenizer would load torch

    return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
