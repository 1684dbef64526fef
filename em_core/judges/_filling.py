"""Answers are hostile input: how a text gets into a judge's template without getting out of its place.

A template is filled in one pass and never with `str.format`, so braces in a text are text. In our
rubrics each text stands between marker lines that carry a code made of the texts themselves, so no
text can contain its own closing marker. Published templates keep their wording, and whatever looks
like one of their markers (other brackets, capitals, spacing, look-alike letters, invisible
characters) is defused inside the texts. So are the control tokens of chat templates, which could
end the turn on a local server.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

FILLING = 1
"""Version of the way templates are filled; part of every rubric hash."""
PUBLISHED_FILLING = 2
"""Version of the way published templates are filled; part of the hash of `question-file`."""

FIELD = re.compile(r"\{(question|answer|domain)\}")

_SQUARE_OPEN, _SQUARE_CLOSE = r"\[［【〔⟦❲〚「『⁅", r"\]］】〕⟧❳〛」』⁆"
_ANGLE_OPEN, _ANGLE_CLOSE = "<＜‹〈⟨《", ">＞›〉⟩》"
# a marker holds no other bracket of its kind, so one pass over a text finds them all, however hostile it is
_MARKER = re.compile(
    f"[{_SQUARE_OPEN}]([^{_SQUARE_OPEN}{_SQUARE_CLOSE}]+)[{_SQUARE_CLOSE}]"
    f"|[{_ANGLE_OPEN}]([^{_ANGLE_OPEN}{_ANGLE_CLOSE}]+)[{_ANGLE_CLOSE}]"
)
_CONTROL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
    r"|\[/?SYSTEM_PROMPT\]",
    re.I,
)
_DISGUISES = {
    "a": "аα", "b": "вβ", "c": "сϲ", "d": "ԁ", "e": "еε", "g": "ɡ", "h": "һнη", "i": "іιı", "j": "јϳ", "k": "кκ", "l": "ӏ",
    "m": "мμ", "n": "ոν", "o": "оοօ", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ", "t": "тτ", "u": "υս", "w": "ԝѡω", "x": "хχ",
    "y": "уγү", "z": "ζ",
}  # fmt: skip
_LOOKS_LIKE = {ord(disguise): plain for plain, disguises in _DISGUISES.items() for disguise in disguises}
"""Greek, Cyrillic and other small letters that pass for Latin ones, in small print or as capitals."""


def fill(template: str, question: str, answer: str, domain: str = "") -> str:
    """Fill a template of our own: each text goes between marker lines with an unforgeable code.

    The code is a digest of both texts, so the same pair gives the same prompt (repeatable, and a
    provider's cache works), and a text would have to contain its own digest to close its marker.
    The domain is a label of the user's own; it stands in the line, reduced to plain characters.
    """
    code = hashlib.sha256(f"{FILLING}\x1f{len(question)}\x1f{question}\x1f{answer}".encode("utf-8", "replace")).hexdigest()[:16]
    texts = {"question": question, "answer": answer}

    def marked(match: re.Match[str]) -> str:
        field = match[1]
        if field == "domain":
            return re.sub(r"[^\w ,.+-]+", " ", domain)[:100].strip()
        return f"----- {field} {code} begins -----\n{_defuse_control(texts[field])}\n----- {field} {code} ends -----"

    return FIELD.sub(marked, template)


def fill_published(template: str, question: str, answer: str) -> str:
    """Fill a published template as it stands; its own markers are defused inside the two texts."""
    markers = {_bare(match[1] or match[2]) for match in _MARKER.finditer(template)} - {""}
    texts = {"question": question, "answer": answer}

    def rounded(match: re.Match[str]) -> str:
        inside = match[1] or match[2]
        return f"({inside})" if _bare(inside) in markers else match[0]

    def plain(match: re.Match[str]) -> str:
        field = match[1]
        return match[0] if field == "domain" else _MARKER.sub(rounded, _defuse_control(texts[field]))

    return FIELD.sub(plain, template)


def _bare(marker: str) -> str:
    """What a marker says, without case, spacing, accents and disguise, so that variants of it are recognised too."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", marker).casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", "", plain.translate(_LOOKS_LIKE))


def _defuse_control(text: str) -> str:
    """``<|im_end|>`` becomes ``< |im_end| >``: still readable, no longer one token of a chat template."""
    return _CONTROL.sub(lambda m: f"{m[0][0]} {m[0][1:-1]} {m[0][-1]}", text)
