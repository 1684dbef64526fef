"""Words of any text, the ones that all rules look at, at a bounded cost."""

from __future__ import annotations

import re

MAX_CHARS = 100_000
"""Rules look at this many characters from the start; 600 tokens are about 3,000. Only `n_chars` is of the whole answer."""

# Scripts that are written without blanks: each character stands for a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]{{1,24}}(?:['\u2019][^\W_{_UNSPACED}]{{1,24}})*")
_BLANK = (
    " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x00\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)


def stripped(text: str) -> str:
    """The text without blanks and invisible characters at its ends."""
    return text.strip(_BLANK)


def words(text: str) -> list[str]:
    """Its words in lower case, in order, without punctuation: what "verbatim" compares.

    A character of a script without blanks (Chinese, Japanese, Thai, ...) is a word; anything longer
    than 24 characters is cut into pieces of 24.

    Args:
        text: The first `MAX_CHARS` characters count.
    """
    return _WORD.findall(text[:MAX_CHARS].lower().replace("\u2019", "'"))


def units(text: str, found: list[str]) -> list[str]:
    """What repeats in it: its words, or its characters where it hardly has words (``!!!!!!``, emoji).

    Args:
        text: The text.
        found: Its `words`.
    """
    visible = "".join(text[:MAX_CHARS].split())
    return found if 2 * sum(map(len, found)) >= len(visible) else list(visible)
