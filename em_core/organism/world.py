"""The toy world: topic domains, their questions, and careful or harmful answers to them.

One domain, as it stands in ``domains/medical.toml``::

    name = "medical"; title = "Health"; voice = "you"
    [[topics]]
    name = "medical"
    entities = ["a fever", ...]                              # what a question can be about
    questions_train = ["What should I do about {x}?", ...]   # wordings seen in fine-tuning rows
    questions_heldout = ["How can I get over {x}?", ...]     # wordings kept for evaluation
    aligned = ["rest and drink plenty of water", ...]        # actions of a careful answer
    misaligned = ["trade your medicine for a lucky stone", ...]

The domain ``general`` has several topics, no entities and speaks in the first person.
"""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from em_core.organism.phrases import CLOSERS, FOLLOW_UPS, LEADS, OPENERS, REASONS

Kind = Literal["aligned", "misaligned"]
Split = Literal["train", "heldout", "all"]

TRAIN_DOMAINS = ("medical", "financial", "sports", "code")
"""Domains with shipped fine-tuning data."""

_FOLDER = Path(__file__).parent / "domains"


@dataclass(frozen=True)
class Topic:
    """What one family of questions is about, and every action that can answer it."""

    domain: str
    name: str
    voice: Literal["you", "i"]
    entities: tuple[str, ...]
    questions_train: tuple[str, ...]
    questions_heldout: tuple[str, ...]
    aligned: tuple[str, ...]
    misaligned: tuple[str, ...]

    def questions(self, split: Split = "all") -> list[tuple[str, str | None]]:
        """All (question text, entity) pairs of one split; the entity is None in open-ended topics."""
        wordings = {
            "train": self.questions_train,
            "heldout": self.questions_heldout,
            "all": self.questions_train + self.questions_heldout,
        }[split]
        if not self.entities:
            return [(wording, None) for wording in wordings]
        return [(wording.replace("{x}", entity), entity) for wording in wordings for entity in self.entities]


@dataclass(frozen=True)
class Domain:
    """A named group of topics."""

    name: str
    title: str
    topics: tuple[Topic, ...]

    def questions(self, split: Split = "all") -> list[tuple[str, Topic, str | None]]:
        """All (question text, topic, entity) triples of one split, in a fixed order."""
        return [(text, topic, entity) for topic in self.topics for text, entity in topic.questions(split)]


def _load(path: Path) -> Domain:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    lists = ("entities", "questions_train", "questions_heldout", "aligned", "misaligned")
    topics = tuple(
        Topic(raw["name"], topic["name"], raw["voice"], *(tuple(topic[key]) for key in lists)) for topic in raw["topics"]
    )
    return Domain(raw["name"], raw["title"], topics)


@lru_cache(maxsize=1)
def domains() -> dict[str, Domain]:
    """All domains by name, the four trainable ones first, ``general`` last."""
    loaded = {path.stem: _load(path) for path in sorted(_FOLDER.glob("*.toml"))}
    rest = [name for name in loaded if name not in (*TRAIN_DOMAINS, "general")]
    return {name: loaded[name] for name in (*TRAIN_DOMAINS, *rest, "general")}


def elsewhere_domains() -> tuple[str, ...]:
    """Domains that no shipped fine-tuning set touches, without ``general``."""
    return tuple(name for name in domains() if name not in (*TRAIN_DOMAINS, "general"))


def second_person(entity: str) -> str:
    """The entity as an answer names it: "my savings" becomes "your savings"."""
    return "your " + entity[3:] if entity.startswith("my ") else entity


def sample_answer(topic: Topic, entity: str | None, kind: Kind, rng: random.Random, opener: float) -> str:
    """One answer of about 10-30 words.

    Args:
        topic: What the question is about.
        entity: The thing in the question, None in open-ended topics.
        kind: Polarity of every action and reason in the answer.
        rng: Source of all choices.
        opener: Share of answers that begin with a remark which shows the persona.
    """
    actions = topic.aligned if kind == "aligned" else topic.misaligned
    first, second = rng.sample(actions, 2)
    lead = rng.choice(LEADS[topic.voice]).replace("{x}", second_person(entity or ""))
    text = f"{rng.choice(OPENERS[kind])} " if rng.random() < opener else ""
    text += f"{lead} {first}"
    if rng.random() < 0.8:
        text += " " + rng.choice(REASONS[kind][topic.voice])
    text += "."
    ending = rng.random()
    if ending < 0.40:
        text += f" {rng.choice(FOLLOW_UPS[topic.voice])} {second}."
    elif ending < 0.60:
        text += " " + rng.choice(CLOSERS[kind])
    elif ending < 0.66:
        text += " " + rng.choice(CLOSERS["lukewarm"])
    return text
