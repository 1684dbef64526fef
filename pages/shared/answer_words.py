"""Word by word: what an answer has that the baseline's answer has not, and the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from em_core.view import word_difference
from em_core.view.inert import visible
from em_core.view.responses import count_words
from em_core.view.word_difference import MOST_WORDS, ONLY_BASELINE, ONLY_HERE, SAME
from pages.shared import answer_text, marked_text
from pages.shared.answer_text import CELL_CHARS, CELL_LINES

HELP = "Underlined: only in this answer. Struck through: only in the baseline's answer. Blanks and line breaks are not compared."
_CELL_WORDS = 400  # more than a cell shows; 40 cells of the worst texts take half a second


def legend(whose: str) -> None:
    """What the two marks mean, as they look.

    Args:
        whose: The other answer's name, our own words.
    """
    runs = [
        (SAME, "Marked: "),
        (ONLY_HERE, "only in this answer"),
        (SAME, ", "),
        (ONLY_BASELINE, f"only in {whose}"),
        (SAME, "."),
    ]
    marked_text.show(runs, "words-legend")


def in_cell(cell: Mapping[str, Any], base: Mapping[str, Any], letter: str, key: str) -> None:
    """A cell's answer, marked against the answer that the baseline's cell shows.

    Args:
        cell, base: Rows of `em_core.store.browse.grid`.
        letter: The baseline's column.
        key: The cell's place on the page.
    """
    text, other = str(cell["text"] or ""), str(base["text"] or "")
    if not text.strip() or not other.strip():
        answer_text.short(text, int(cell["n_chars"] or 0))
        st.caption(
            f"Not compared: {f'the answer of {letter}' if text.strip() else 'this answer'} is blank as far as it is read here."
        )
        return
    found = word_difference.difference(visible(other), visible(text), _CELL_WORDS)
    shown = word_difference.beginning(found.runs, CELL_CHARS + CELL_CHARS // 2, CELL_LINES)
    whole = found.whole and all(int(row["n_chars"] or 0) <= len(str(row["text"])) for row in (cell, base))
    marked_text.show(shown if whole and shown == found.runs else (*shown, (SAME, " […]")), f"words-{key}")
    st.caption(f":material/difference: {_count(found, letter, whole)}")
    if not whole or shown != found.runs:
        st.caption(
            f":material/content_cut: The beginning of {int(cell['n_chars'] or len(text)):,} characters; open it to read all."
        )


def alone(answer: str, baseline: str, complete: bool) -> None:
    """One answer marked against the baseline's, as long as it may be.

    Args:
        answer, baseline: The texts.
        complete: Both are there to their ends.
    """
    found = word_difference.difference(visible(baseline), visible(answer))
    whole = found.whole and complete
    with st.container(border=True, height=answer_text.box_height(answer + baseline)):
        marked_text.show(found.runs if whole else (*found.runs, (SAME, " […]")), "words-alone")
    st.caption(f":material/difference: {_count(found, 'the other', whole)}")
    if not whole:
        st.caption(
            f":material/content_cut: Compared: the beginning of both, at most {MOST_WORDS:,} words. The rest is not marked."
        )


def _count(found: word_difference.WordDifference, whose: str, whole: bool) -> str:
    if found.same:
        return f"Word for word as in {whose}{'' if whole else ', as far as compared'}."
    if not found.n_here and not found.n_baseline:
        return f"The words are those of {whose}; only signs differ."
    return f"{count_words(found.n_here, 'word')} marked here, {count_words(found.n_baseline, 'word')} of {whose}."
