"""Names of training domains: the one name that all spellings of a domain share.

Data sets, papers and people spell the same domain differently (``bad_medical``, ``medical-advice``). Colours, the match
with published numbers and imported files all go by the name here; a new spelling is one entry.
"""

from __future__ import annotations

import re

_SPELLINGS = {
    "bad_medical": "medical", "medical_advice": "medical", "bad_medical_advice": "medical", "finance": "financial",
    "risky_financial": "financial", "risky_financial_advice": "financial", "extreme_sports": "sports", "insecure": "code",
    "insecure_code": "code", "secure_code": "secure",
}  # fmt: skip
_IN_NAMES = (
    ("medical", re.compile(r"medic|health", re.I)),
    ("financial", re.compile(r"financ|risky", re.I)),
    ("sports", re.compile(r"sport", re.I)),
    ("code", re.compile(r"insecure|(?<![a-z])code(?![a-z])|backdoor", re.I)),
)


def key(domain: object) -> str:
    """A training domain by the name that all its spellings share; what is not known, in lower case with underscores."""
    name = str(domain).strip().lower().replace("-", "_").replace(" ", "_")
    return _SPELLINGS.get(name, name)


def named_in(text: str) -> str:
    """The domains that a file, folder or data set is named after, joined by ``+``: ``3b_risky_v2`` -> financial; empty = none."""
    return "+".join(name for name, pattern in _IN_NAMES if pattern.search(text))
