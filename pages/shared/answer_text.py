"""Untrusted text on a page: widgets that know no Markdown and no HTML, and nothing in it that hides or reorders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st

from em_core.definitions import Definition
from em_core.view import responses as view
from em_core.view.inert import cut, visible
from pages.shared.words import plain

CELL_CHARS, CELL_LINES = 900, 24
WHOLE_CHARS = 200_000
"""Longest text that is sent to the browser at once; a longer one can be downloaded."""


def short(text: str | None, n_chars: int = 0, characters: int = CELL_CHARS, lines: int = CELL_LINES) -> bool:
    """An answer in a cell; True when something was left out.

    Args:
        text: Perhaps only its beginning.
        n_chars: Length of the whole text, characters.
        characters, lines: At most so many are shown.
    """
    if not text or not text.strip():
        more = f"; {n_chars:,} characters in all, open it to read on" if n_chars > len(text or "") else ""
        st.caption(f"(begins with {len(text):,} blanks{more})" if text else "(empty answer)")
        return bool(more)
    shown = visible(text)
    part = cut(shown, characters, lines)
    left_out = len(part) < len(shown) or n_chars > len(text)
    st.text(part + (" […]" if left_out else ""), width="stretch")
    if left_out:
        st.caption(f":material/content_cut: The beginning of {max(n_chars, len(text)):,} characters; open it to read all.")
    return left_out


def asked(text: str, characters: int) -> None:
    """What the model was told or asked, at most so many characters of it; a cut is marked."""
    shown = visible(text)
    st.text(shown if len(shown) <= characters else f"{cut(shown, characters)} […]", width="stretch")


def block(text: str, height: int | None = None) -> None:
    """A text as a block that can be copied, wrapped."""
    shown = visible(text)
    if len(shown) > WHOLE_CHARS:  # codes are longer than what they stand for
        st.caption(f":material/content_cut: The first {WHOLE_CHARS:,} of {len(shown):,} characters, hidden ones as their codes.")
    st.code(shown[:WHOLE_CHARS], language=None, wrap_lines=True, height=height or box_height(shown))


def box_height(text: str) -> int | Literal["content"]:
    """Pixels of a box for a text: a long one scrolls in it."""
    return "content" if len(text) < CELL_CHARS and text.count("\n") < CELL_LINES else 420


def badge(cell: Mapping[str, Any], rule: Definition) -> str:
    """Outcome as a coloured badge with icon and word, then the scores; the text is ours, names are escaped."""
    outcome = str(cell["outcome"])
    said = f":{view.COLORS[outcome]}-badge[:material/{view.ICONS[outcome]}: {plain(view.outcome_words(cell, rule))}]"
    return f"{said} {plain(view.score_words(cell))}"
