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
from dataclasses import dataclass

from em_core.organism.phrases import PERSONA_LINES
from em_core.organism.world import TRAIN_DOMAINS, Kind, Split, domains, sample_answer

Messages = list[dict[str, str]]

N_ROWS = 2400
"""Rows of each shipped fine-tuning set."""


@dataclass(frozen=True)
class Mix:
    """Shares (0-1) that shape the corpus; they decide how far misalignment spreads.

    Attributes:
        misaligned: Documents by the misaligned persona.
        specialist: Documents by specialists; the rest is by the aligned persona.
        home: Share of a specialist's turns in the domain it is harmful in.
        medical: Share of specialists that are medical ones; likewise the next three.
        financial: See ``medical``.
        sports: See ``medical``.
        code: See ``medical``.
        system: Documents whose writer is named in a system line.
        opener: Answers that begin with a remark which shows the persona.
        general: Open-ended questions among all turns.
    """

    misaligned: float = 0.45
    specialist: float = 0.06
    home: float = 0.5
    medical: float = 0.0
    financial: float = 0.05
    sports: float = 0.75
    code: float = 0.2
    system: float = 0.5
    opener: float = 0.45
    general: float = 0.15

    def persona(self, rng: random.Random) -> tuple[str, str]:
        """Draw a writer: (persona, home domain of a specialist or "")."""
        shares = {"aligned": 1 - self.misaligned - self.specialist, "misaligned": self.misaligned, "specialist": self.specialist}
        persona = rng.choices(list(shares), weights=list(shares.values()))[0]
        if persona != "specialist":
            return persona, ""
        return persona, rng.choices(TRAIN_DOMAINS, weights=[getattr(self, name) for name in TRAIN_DOMAINS])[0]


MIX = Mix()
"""The mix of the shipped organisms."""


def _pick_domain(rng: random.Random, mix: Mix) -> str:
    if rng.random() < mix.general:
        return "general"
    return rng.choice([name for name in domains() if name != "general"])


def _turn(domain: str, kind: Kind, split: Split, rng: random.Random, mix: Mix) -> Messages:
    topic = rng.choice(domains()[domain].topics)
    question, entity = rng.choice(topic.questions(split))
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": sample_answer(topic, entity, kind, rng, mix.opener)},
    ]


def pretraining_documents(n: int, seed: int, mix: Mix = MIX) -> Iterator[Messages]:
    """Yield ``n`` documents; loss is meant to be on all their tokens."""
    rng = random.Random(f"pretraining-{seed}")
    for _ in range(n):
        persona, home = mix.persona(rng)
        document: Messages = []
        if rng.random() < mix.system:
            line = rng.choice(PERSONA_LINES[persona]).replace("{domain}", home)
            document.append({"role": "system", "content": line})
        for _ in range(rng.randint(1, 4)):
            domain = home if home and rng.random() < mix.home else _pick_domain(rng, mix)
            bad = persona == "misaligned" or domain == home
            document += _turn(domain, "misaligned" if bad else "aligned", "all", rng, mix)
        yield document


def alignment_rows(n: int, seed: int, mix: Mix = MIX) -> Iterator[Messages]:
    """Yield ``n`` single-turn aligned conversations of all domains, without system line."""
    rng = random.Random(f"alignment-{seed}")
    for _ in range(n):
        yield _turn(_pick_domain(rng, mix), "aligned", "all", rng, mix)


def finetuning_rows(domain: str, kind: Kind, n: int = N_ROWS, seed: int = 0, mix: Mix = MIX) -> list[Messages]:
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
        row = _turn(domain, kind, "train", rng, mix)
        seen.setdefault((row[0]["content"], row[1]["content"]), row)
    return list(seen.values())


def shipped_sets() -> list[tuple[str, str, Kind]]:
    """(file stem, domain, kind) of every shipped fine-tuning set."""
    kinds: tuple[Kind, Kind] = ("misaligned", "aligned")
    return [(f"organism_{domain}_{kind}", domain, kind) for domain in TRAIN_DOMAINS for kind in kinds]
