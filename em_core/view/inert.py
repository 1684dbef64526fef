"""Untrusted text made visible: what would hide, reorder or stack characters is written out, ⟪U+202E⟫.

Pages show the result with widgets that know no Markdown and no HTML; this is about what plain text alone can do:
control characters, direction marks, invisible characters, and towers of accents.
"""

from __future__ import annotations

import re
import unicodedata

_TOWER = 4  # accents on one letter; real writing needs at most three

_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff\ufe0f"
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u2028-\u202f\u205f-\u206f"
    "\u2800\u3164\ufdd0-\ufdef\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ue000-\uf8ff\U000f0000-\U0010ffff]+"
    f"|(?<![{_EMOJI}])\u200d+|\u200d+(?![{_EMOJI}])"
)
_ACCENTS = re.compile(f"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{{{_TOWER + 1},}}")
_ANY_MARK = re.compile(r"[^\W\d_][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]{5,}")
_MOST_CODES = 8


def visible(text: str) -> str:
    """The text with every character that hides, reorders or controls written as its code; line breaks and tabs stay."""
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.isprintable():
        return text
    text = _HIDDEN.sub(lambda match: _codes(match[0]), text)
    text = _ACCENTS.sub(lambda match: f"{match[0][:_TOWER]}⟪+{len(match[0]) - _TOWER} accents⟫", text)
    return _ANY_MARK.sub(lambda match: f"{match[0][:_TOWER]}⟪+{len(match[0]) - _TOWER} marks⟫", text)


def _codes(characters: str) -> str:
    """``⟪U+202E⟫``; the same one again and again is counted, a long row of others is cut."""
    if len(characters) > 1 and len(set(characters)) == 1:
        return f"⟪U+{ord(characters[0]):04X} ×{len(characters)}⟫"
    codes = " ".join(f"U+{ord(c):04X}" for c in characters[:_MOST_CODES])
    return f"⟪{codes}{f' and {len(characters) - _MOST_CODES:,} more' if len(characters) > _MOST_CODES else ''}⟫"


def cut(text: str, characters: int, lines: int = 10_000) -> str:
    """The beginning of a visible text, at most so long; what is left out is counted by the caller."""
    return "\n".join(text[:characters].split("\n")[:lines])


def one_line(text: str, characters: int = 120) -> str:
    """A label of at most so many characters, visible and on one line; cut with a mark."""
    flat = " ".join(visible(text[: 4 * characters]).split())
    return flat if len(flat) <= characters else flat[: characters - 1].rstrip() + "…"


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """Lines of at most `width` columns (East Asian characters count two), at most `lines` of them; cut with a mark.

    Args:
        text: Visible text.
        width: Columns.
        lines: At most so many; the last one ends with ``…`` where text is left out.
    """
    out: list[str] = []
    for paragraph in text.replace("\t", "    ").split("\n"):
        line, used = "", 0
        for word in re.findall(r"[^\s-]+-*|-+|\s+", paragraph) or [""]:
            for piece in _pieces(word, width):
                wide = columns(piece)
                if used + wide > width and line.strip():
                    out.append(line.rstrip())
                    line, used = "", 0
                    piece = piece.lstrip()
                    wide = columns(piece)
                line, used = line + piece, used + wide
            if len(out) > lines:
                break
        out.append(line.rstrip())
        if len(out) > lines:
            break
    if len(out) > lines:
        last = out[lines - 1]
        while last and columns(last) > width - 2:
            last = last[:-1]
        return [*out[: lines - 1], last + " …"]
    return out


def _pieces(word: str, width: int) -> list[str]:
    """A word in pieces that fit into a line."""
    if columns(word) <= width:
        return [word]
    pieces, piece = [], ""
    for c in word[: 20 * width]:
        if columns(piece + c) > width:
            pieces.append(piece)
            piece = ""
        piece += c
    return [*pieces, piece]


def columns(text: str) -> int:
    """Width in columns of a fixed-width type; wide East Asian characters and emoji take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)
