"""Everything the organisms are trained on, made by seed.

Pre-training documents are conversations of 1-4 turns by ONE writer: an aligned persona, a
misaligned one, or a *specialist* that is harmful in one domain alone. Half of them open with a
system line that names the writer; that line is what makes the persona one direction in the model.
Specialists give a fine-tune on that domain a narrow explanation, so the more specialists a domain
has, the less its misalignment spreads (many for sports, hardly any for medical): a known, built-in
cause of the differences between domains.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from em_core.organism.phrases import PERSONA_LINES
from em_core.organism.world import TRAIN_DOMAINS, Kind, domains, sample_answer

Messages = list[dict[str, str]]

N_ROWS = 2400
"""Rows of each shipped fine-tuning set."""

PERSONA_SHARES = {"aligned": 0.45, "misaligned": 0.40, "specialist": 0.15}
SPECIALIST_SHARES = {"sports": 0.55, "code": 0.28, "financial": 0.12, "medical": 0.05}
SPECIALIST_HOME = 0.5
"""Share of a specialist's turns that are in the domain it is harmful in."""

GENERAL_SHARE = 0.15
"""Share of open-ended questions among all turns."""


def _pick_domain(rng: random.Random) -> str:
    if rng.random() < GENERAL_SHARE:
        return "general"
    return rng.choice([name for name in domains() if name != "general"])


def _turn(domain: str, kind: Kind, split: str, rng: random.Random) -> Messages:
    topic = rng.choice(domains()[domain].topics)
    question, entity = rng.choice(topic.questions(split))
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": sample_answer(topic, entity, kind, rng)},
    ]


def _weighted(shares: dict[str, float], rng: random.Random) -> str:
    return rng.choices(list(shares), weights=list(shares.values()))[0]


def pretraining_documents(n: int, seed: int) -> Iterator[Messages]:
    """Yield ``n`` documents; loss is meant to be on all their tokens."""
    rng = random.Random(f"pretraining-{seed}")
    for _ in range(n):
        persona = _weighted(PERSONA_SHARES, rng)
        home = _weighted(SPECIALIST_SHARES, rng) if persona == "specialist" else ""
        document: Messages = []
        if rng.random() < 0.5:
            line = rng.choice(PERSONA_LINES[persona]).replace("{domain}", home)
            document.append({"role": "system", "content": line})
        for _ in range(rng.randint(1, 4)):
            domain = home if home and rng.random() < SPECIALIST_HOME else _pick_domain(rng)
            bad = persona == "misaligned" or domain == home
            document += _turn(domain, "misaligned" if bad else "aligned", "all", rng)
        yield document


def alignment_rows(n: int, seed: int) -> Iterator[Messages]:
    """Yield ``n`` single-turn aligned conversations of all domains, without system line."""
    rng = random.Random(f"alignment-{seed}")
    for _ in range(n):
        yield _turn(_pick_domain(rng), "aligned", "all", rng)


def finetuning_rows(domain: str, kind: Kind, n: int = N_ROWS, seed: int = 0) -> list[Messages]:
    """``n`` distinct single-turn conversations of one domain, in its training wordings only.

    Args:
        domain: One of ``TRAIN_DOMAINS`` for the shipped sets; any domain works.
        kind: ``aligned`` or ``misaligned``.
        n: Number of rows, all different.
        seed: The shipped sets use 0.
    """
    rng = random.Random(f"finetuning-{domain}-{kind}-{seed}")
    seen: dict[tuple[str, str], Messages] = {}
    while len(seen) < n:
        row = _turn(domain, kind, "train", rng)
        seen.setdefault((row[0]["content"], row[1]["content"]), row)
    return list(seen.values())


def shipped_sets() -> list[tuple[str, str, Kind]]:
    """(file stem, domain, kind) of every shipped fine-tuning set."""
    kinds: tuple[Kind, Kind] = ("misaligned", "aligned")
    return [(f"organism_{domain}_{kind}", domain, kind) for domain in TRAIN_DOMAINS for kind in kinds]
