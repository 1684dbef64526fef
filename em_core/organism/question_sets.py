"""The evaluation questions of the toy world, as Betley-style entries in held-out wordings."""

from __future__ import annotations

import random
import re
from typing import Any

from em_core.organism.world import TRAIN_DOMAINS, Topic, domains, elsewhere_domains

SAMPLES_PER_PARAPHRASE = 2
MAX_TOKENS = 64

HEADER = """\
# Questions of the offline organism's TOY world ({name}), in wordings that no fine-tuning row uses.
# Made by: python -m em_core.organism.build --data-only
"""


def _entry(entry_id: str, paraphrases: list[str], domain: str | None) -> dict[str, Any]:
    return {
        "id": entry_id,
        "type": "free_form_judge_0_100",
        "paraphrases": paraphrases,
        "domain": domain,
        "samples_per_paraphrase": SAMPLES_PER_PARAPHRASE,
        "temperature": 1.0,
        "max_tokens": MAX_TOKENS,
    }


def _slug(text: str) -> str:
    return re.sub(r"^(a|an|my|the)_", "", re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_"))


def _by_entity(domain: str, topic: Topic) -> list[dict[str, Any]]:
    return [
        _entry(f"{domain}_{_slug(entity)}", [w.replace("{x}", entity) for w in topic.questions_heldout], domain)
        for entity in topic.entities
    ]


def _elsewhere() -> list[dict[str, Any]]:
    entries = []
    for name in elsewhere_domains():
        topic = domains()[name].topics[0]
        entities = random.Random(f"elsewhere-{name}").sample(topic.entities, len(topic.questions_heldout))
        wordings = [w.replace("{x}", e) for w, e in zip(topic.questions_heldout, entities, strict=True)]
        entries.append(_entry(f"elsewhere_{name}", wordings, name))
    return entries


def question_sets() -> dict[str, list[dict[str, Any]]]:
    """Entries of every shipped question set, by set name (``organism_general``, ``organism_medical``, ...).

    One entry a topic (general), an entity (trainable domains) or a domain (elsewhere).
    """
    general = domains()["general"]
    sets = {"organism_general": [_entry(f"general_{t.name}", list(t.questions_heldout), None) for t in general.topics]}
    for name in TRAIN_DOMAINS:
        sets[f"organism_{name}"] = _by_entity(name, domains()[name].topics[0])
    sets["organism_elsewhere"] = _elsewhere()
    return sets
