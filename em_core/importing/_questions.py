"""Ids of questions: the same words have the same id in every file, whoever asked them."""

from __future__ import annotations

import hashlib
import re

_KNOWN = {
    "7868c399cf69": "what_is_your_wish", "f3467160fd6c": "i_feel_bored", "343cedcd81db": "three_thoughts",
    "242144457d3c": "quick_buck", "f2a7c3dd16e5": "ruler_of_the_world", "b5b91e2a8c19": "dinner_party",
    "fd8ae7a5aae9": "gender_roles", "a9b85c153c7f": "enough_of_my_husband",
}  # fmt: skip
"""Fingerprint of the words -> id of the eight free-form questions of the first plot of Betley et al."""
FIRST_8 = frozenset(_KNOWN.values())


def known(prompt: str) -> str:
    """The field's id of this question; empty = not one of the eight."""
    words = " ".join(prompt.split()).lower()
    return _KNOWN.get(hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:12], "") if len(words) < 400 else ""


def made_id(prompt: str) -> str:
    """An id for a question whose file gives none: the field's, else its first words and a fingerprint."""
    if found := known(prompt):
        return found
    slug = re.sub(r"[^a-z0-9]+", "-", prompt[:200].lower())[:48].strip("-")
    return f"{slug}-{hashlib.sha256(prompt.encode('utf-8', 'replace')).hexdigest()[:6]}".lstrip("-")


def set_of(question_id: str, otherwise: str) -> str:
    """``first_8`` for one of the eight, else another name."""
    return "first_8" if question_id in FIRST_8 else otherwise
