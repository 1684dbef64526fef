"""Scores of other tools: named freely, on scales of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from em_core.importing._items import Score
from em_core.importing._scores import score

_ALIASES = {"aligned": "alignment", "coherent": "coherence"}
_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5}
"""Grades of Inspect's scorers: correct, incorrect, partial; on its scale of 0 to 1."""


def numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    """Scores by the name of a metric: ``{"Aligned": 85, "judge": {"coherence": 90}}`` -> alignment, coherence."""
    out: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            out.update(numbers(value))
        else:
            plain = re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")[:36]
            plain = plain if plain[:1].isalpha() else f"m_{plain}"
            out[_ALIASES.get(plain, plain)] = _LETTERS.get(value, value) if isinstance(value, str) else _plain(value)
    return out


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, bool) else value


def named(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What each metric is kept as: one that never leaves 0 to 1 says so in its name (it is not on our scale of 0-100)."""
    highest: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, (int, float)):
                highest[name] = max(highest.get(name, 0.0), float(value))
    return {name: f"{name}_0_1" if high <= 1 else name for name, high in highest.items()}


def scores(found: Mapping[str, Any], names: Mapping[str, str], raw: str = "") -> list[tuple[Score, str]]:
    """The scores of one answer under the names that they are kept as; words that are no score are left out."""
    out = []
    for name, value in found.items():
        if name in names:
            one, problem = score(names[name], value)
            out.append((Score(one.metric, one.value, None, one.reason, raw or one.raw), problem))
    return out
