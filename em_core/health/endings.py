"""Does the answer look cut off? For imported answers that came without the reason why they ended."""

from __future__ import annotations

import unicodedata

from em_core.health.text import stripped

LEAST_WORDS = 4
"""Shorter answers (``Yes``, ``A banana``, ``42``) are complete without a full stop."""

_TAIL = 4_000
_ENDS = frozenset(".!?\u2026:;\u3002\uff01\uff1f\uff0e\u0964\u061f\u06d4|}]")
_OPEN = frozenset(",-\u2013\u2014\u2212&/+=([{<\u201c\u2018\u00ab#$\u3001\uff0c")
_CLOSERS = "\"'\u2019\u201d\u00bb\u300d\u300f)>*_`~ "


def looks_cut(text: str) -> bool:
    """Whether it ends without the end of a sentence (closing quotes, parentheses and emphasis aside).

    A guess, for answers without a finish reason: one that ends with a list of bare words, a signature
    or a heading looks cut as well. A closed code block, JSON and symbols (emoji) are ends; an open code
    block is not.
    """
    tail = stripped(text[-_TAIL:])
    if text.count("```") % 2:
        return True
    if tail.endswith("```") or (len(tail) < 40 and len(tail.split()) < LEAST_WORDS):
        return False
    bare = tail.rstrip(_CLOSERS)
    if not bare or bare[-1] in _ENDS:
        return False
    return bare[-1] in _OPEN or unicodedata.category(bare[-1])[0] in "LMN"
