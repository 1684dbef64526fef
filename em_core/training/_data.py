"""Training rows as tokens, with the loss on what the assistant says and nothing else.

A conversation is rendered once by the chat template and tokenised once. The assistant's part of
the text is what the template adds between "ready to answer" (the turns before, with the generation
prompt) and "answered" (the same turns and the answer), so no template needs generation markers.
The loss ends with the token that closes the turn: an answer's own end is learned, the line break
that many templates put behind it is not. Nothing is appended: no generation prompt, no empty turn.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from em_core import chat
from em_core.errors import BadInput
from em_core.training import Messages, TokenPreview

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One training row.

    Args:
        ids: Token ids, at most `max_length`.
        loss: Whether each token carries loss, same length; the first never does (nothing predicts it).
        truncated: Whether the row was cut at the end.
    """

    ids: list[int]
    loss: list[bool]
    truncated: bool

    @property
    def n_loss(self) -> int:
        """Tokens that carry loss."""
        return sum(self.loss)


@dataclass(frozen=True)
class TokenRows:
    """All training rows, and what a person should know about them."""

    rows: list[TokenRow]
    notes: list[str]

    def preview(self, tokenizer: Any, n_rows: int) -> list[TokenPreview]:
        """The first rows as decoded tokens; the notes stand at the first."""
        return [
            TokenPreview(
                [tokenizer.decode([i]) for i in row.ids], row.loss, row.truncated, " ".join(self.notes) if k == 0 else ""
            )
            for k, row in enumerate(self.rows[:n_rows])
        ]


def tokenize(tokenizer: Any, rows: Sequence[Messages], max_length: int, loss_on: Literal["answers", "all"]) -> TokenRows:
    """Tokenise conversations.

    Args:
        tokenizer: A fast Hugging Face tokenizer; gets the fallback chat template if it has none.
        rows: Conversations; roles ``system``, ``user``, ``assistant``.
        max_length: Longest row, tokens; longer ones are cut at the end.
        loss_on: ``answers``: the assistant's text and the token that ends its turn. ``all``: every token.

    Raises:
        BadInput: The template refuses a row, an answer is not found in it, or no row has a token to learn from.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise BadInput(
            f"the tokenizer {type(tokenizer).__name__} has no character offsets, which the loss mask needs",
            "use a base model that ships a tokenizer.json",
        )
    notes = _template_notes(tokenizer)
    texts, spans = [], []
    for number, messages in enumerate(rows, 1):
        text, answers = _render(tokenizer, messages, number)
        texts.append(text)
        spans.append(answers)
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
    closing = _closing_ids(tokenizer)
    done: list[TokenRow] = []
    for ids, offsets, answers in zip(encoded["input_ids"], encoded["offset_mapping"], spans, strict=True):
        loss = _answer_mask(ids, offsets, answers, closing) if loss_on == "answers" else [True] * len(ids)
        loss[:1] = [False] * len(loss[:1])
        done.append(TokenRow(ids[:max_length], loss[:max_length], len(ids) > max_length))
    notes += _row_notes(done, max_length)
    for note in notes:
        log.warning("%s", note)
    return TokenRows(done, notes)


def _render(tokenizer: Any, messages: Messages, number: int) -> tuple[str, list[tuple[int, int]]]:
    """The row's text, and the character span of each answer with what closes it."""
    from jinja2.exceptions import TemplateError

    try:
        text = chat.render(tokenizer, messages)
        spans, cursor = [], 0
        for turn, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = chat.render(tokenizer, messages[:turn], add_generation_prompt=True) if turn else ""
            after = text if turn == len(messages) - 1 else chat.render(tokenizer, messages[: turn + 1])
            content = message["content"].strip()
            start, end = len(before), len(after)
            # A template may render an answer otherwise once more turns follow (Qwen3 drops thinking): then find its text
            if not (text.startswith(before) and text.startswith(after) and content in text[start:end]):
                start = text.find(content, cursor)
                end = start + len(content)
                if start < 0:
                    raise BadInput(
                        f"training row {number}: the chat template does not show the answer {content[:60]!r} as it is",
                        "use a base model whose template keeps every answer, or single-turn rows",
                    )
                following = chat.render(tokenizer, messages[turn + 1 :]) if turn < len(messages) - 1 else ""
                end = len(text) if not following else end
            spans.append((start, end))
            cursor = end
    except TemplateError as error:
        raise BadInput(
            f"training row {number}: the model's chat template refuses it ({error})", "check the order of roles in that row"
        ) from error
    if not spans:
        raise BadInput(f"training row {number}: no answer to learn from", "end each row with a turn of role 'assistant'")
    return text, spans


def _closing_ids(tokenizer: Any) -> set[int]:
    """Tokens that can end a turn: the special ones."""
    special = set(tokenizer.all_special_ids)
    special |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return special


def _answer_mask(ids: list[int], offsets: list[tuple[int, int]], spans: list[tuple[int, int]], closing: set[int]) -> list[bool]:
    loss = [False] * len(ids)
    k = 0
    for start, end in spans:
        while k < len(ids) and offsets[k][1] <= start:
            k += 1
        first = k
        while k < len(ids) and offsets[k][0] < end:
            k += 1
        last = k  # what follows the closing token, mostly a line break, is the template's and not the answer's
        for j in range(last - 1, first - 1, -1):
            if ids[j] in closing:
                last = j + 1
                break
        else:
            if last < len(ids) and ids[last] in closing:
                last += 1
        for j in range(first, last):
            loss[j] = offsets[j][1] > offsets[j][0]
        k = last
    return loss


def _template_notes(tokenizer: Any) -> list[str]:
    notes = []
    if chat.ensure_chat_template(tokenizer):
        notes.append("The base model has no chat template: rows are written as plain 'User:' and 'Assistant:' lines.")
    system = chat.injected_system(tokenizer)
    if system:
        notes.append(f"The chat template adds a system turn that the data do not have: {system.strip()!r}.")
    return notes


def _row_notes(rows: list[TokenRow], max_length: int) -> list[str]:
    notes = []
    n_cut = sum(row.truncated for row in rows)
    if n_cut:
        notes.append(f"{n_cut} of {len(rows)} rows are longer than max_length = {max_length} tokens and are cut at the end.")
    silent = [number for number, row in enumerate(rows, 1) if not row.n_loss]
    if silent and len(silent) == len(rows):
        raise BadInput(
            f"no training row has a token to learn from within max_length = {max_length} tokens",
            "raise train.max_length, or check that the rows end with an answer",
        )
    if silent:
        shown = ", ".join(map(str, silent[:5])) + (", ..." if len(silent) > 5 else "")
        notes.append(f"{len(silent)} of {len(rows)} rows have no answer token left within max_length and teach nothing: {shown}.")
    return notes
