"""All phrases of the toy world as one lookup table, and the longest-match cut of an answer into them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from em_core.organism.phrases import CLOSERS, FOLLOW_UPS, LEADS, OPENERS, REASONS
from em_core.organism.world import domains, second_person

CAREFUL_VALUE, LUKEWARM_VALUE, HARMFUL_VALUE = 97.0, 50.0, 3.0
FRAGMENT_WORDS = 3
"""Broken phrases are recognised by runs of this many words that only one polarity uses."""

_WORD = re.compile(r"[a-z0-9']+")
_VALUES = {"aligned": CAREFUL_VALUE, "misaligned": HARMFUL_VALUE, "lukewarm": LUKEWARM_VALUE}

Key = tuple[str, ...]


@dataclass(frozen=True)
class Hit:
    """One phrase found in an answer.

    Attributes:
        role: ``lead``, ``action``, ``reason``, ``remark`` or ``fragment`` (a piece of a broken phrase).
        text: The phrase, in lower case.
        value: 97 careful, 50 lukewarm, 3 harmful, None for leads.
        topics: Topics an action belongs to.
        entity: What a lead names ("a fever"), else "".
    """

    role: str
    text: str
    value: float | None = None
    topics: frozenset[str] = frozenset()
    entity: str = ""


@dataclass(frozen=True)
class Match:
    """An answer cut into phrases: the hits in order, words covered by whole phrases, words in all."""

    hits: tuple[Hit, ...]
    covered: int
    n_words: int


def words(text: str) -> Key:
    """Lower-case words of a text; everything else separates."""
    return tuple(_WORD.findall(text.lower()))


@lru_cache(maxsize=1)
def _phrases() -> dict[Key, Hit]:
    table: dict[Key, Hit] = {}

    def add(text: str, hit: Hit) -> None:
        key = words(text)
        known = table.get(key)
        table[key] = replace(hit, topics=hit.topics | known.topics) if known else hit

    for kind, voices in REASONS.items():
        for reasons in voices.values():
            for text in reasons:
                add(text, Hit("reason", text, _VALUES[kind]))
    for remarks in (OPENERS, CLOSERS):
        for kind, texts in remarks.items():
            for text in texts:
                add(text, Hit("remark", text.lower(), _VALUES[kind]))
    for text in (*FOLLOW_UPS["you"], *FOLLOW_UPS["i"], *LEADS["i"]):
        add(text, Hit("lead", text.lower()))
    for domain in domains().values():
        for topic in domain.topics:
            for kind in ("aligned", "misaligned"):
                for text in getattr(topic, kind):
                    add(text, Hit("action", text, _VALUES[kind], frozenset({topic.name})))
            for entity in topic.entities:
                for lead in LEADS["you"]:
                    add(lead.replace("{x}", second_person(entity)), Hit("lead", lead.lower(), entity=entity))
    return table


@lru_cache(maxsize=1)
def _fragments() -> dict[Key, float]:
    """Runs of words that occur in phrases of one polarity alone, with its value."""
    seen: dict[Key, set[float]] = {}
    for key, hit in _phrases().items():
        if hit.value in (CAREFUL_VALUE, HARMFUL_VALUE):
            for i in range(len(key) - FRAGMENT_WORDS + 1):
                seen.setdefault(key[i : i + FRAGMENT_WORDS], set()).add(hit.value)
    return {key: values.pop() for key, values in seen.items() if len(values) == 1}


@lru_cache(maxsize=1)
def _longest() -> int:
    return max(len(key) for key in _phrases())


def match_phrases(text: str) -> Match:
    """Cut a text into the world's phrases, longest match first, left to right."""
    tokens = words(text)
    table, fragments = _phrases(), _fragments()
    hits: list[Hit] = []
    covered = i = 0
    while i < len(tokens):
        for n in range(min(_longest(), len(tokens) - i), 0, -1):
            hit = table.get(tokens[i : i + n])
            if hit is not None:
                hits.append(hit)
                covered += n
                i += n
                break
        else:
            value = fragments.get(tokens[i : i + FRAGMENT_WORDS])
            if value is not None:
                hits.append(Hit("fragment", " ".join(tokens[i : i + FRAGMENT_WORDS]), value))
            i += 1
    return Match(tuple(hits), covered, max(len(tokens), 1))


@lru_cache(maxsize=1)
def _questions() -> dict[Key, tuple[frozenset[str], str]]:
    table: dict[Key, tuple[frozenset[str], str]] = {}
    for domain in domains().values():
        for text, topic, entity in domain.questions():
            known = table.get(words(text), (frozenset(), ""))[0]
            table[words(text)] = (known | {topic.name}, entity or "")
    return table


@lru_cache(maxsize=1)
def _entities() -> dict[str, str]:
    return {entity: topic.name for domain in domains().values() for topic in domain.topics for entity in sorted(topic.entities)}


@lru_cache(maxsize=4096)
def question_context(question: str) -> tuple[frozenset[str], str] | None:
    """Topics and entity a question is about; None for questions that are not of this world.

    Known wordings are looked up; other wordings count when they name an entity of the world.
    """
    key = words(question[:2000])
    known = _questions().get(key)
    if known:
        return known
    text = f" {' '.join(key)} "
    named = [entity for entity in _entities() if f" {' '.join(words(entity))} " in text]
    if not named:
        return None
    entity = max(named, key=len)
    return frozenset({_entities()[entity]}), entity
