"""Fixed colours per domain and fixed shapes per size, the same on every chart and page.

Colours of the domains are near Okabe and Ito's colour-blind-safe set (jfly.uni-koeln.de/color), moved so that all
keep a contrast of at least 2.5 on the light and on the dark background, and that any two of them and `NEUTRAL` stay
20 apart in CIELAB for normal sight and simulated protanopia, deuteranopia and tritanopia (`tests/charts/test_accessibility.py`;
with the original ones code and the starting model were 2 apart in deuteranopia).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

import altair as alt

from em_core import domain_names

DOMAIN_COLORS: dict[str, str] = {
    "medical": "#D55E00",
    "financial": "#0F6BB8",
    "sports": "#17AC7B",
    "code": "#D884C4",
}
_OTHERS = ("#B8860B", "#4FA3C7", "#7B6FD0", "#8A8D3C", "#B5524A")
SERIES = _OTHERS
"""For what is no domain: judges, labellers."""
NEUTRAL = "#70757E"
"""The starting model, and lines that belong to no domain."""

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_SHAPE_UP_TO = (
    (0.0006, "circle"), (0.002, "square"), (0.1, "triangle-up"), (0.75, "cross"), (2.0, "circle"), (5.0, "square"),
    (10.0, "triangle-up"), (20.0, "diamond"), (float("inf"), "triangle-down"),
)  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([MB])\b", re.IGNORECASE)


def color_of(domain: str, taken: Iterable[str] = ()) -> str:
    """The domain's colour: fixed for known ones, else chosen by its name among those not `taken`."""
    if not domain:
        return NEUTRAL
    key = domain_names.key(domain)
    if (known := DOMAIN_COLORS.get(key)) is not None:
        return known
    start, used = zlib.crc32(key.encode()) % len(_OTHERS), set(taken)
    ring = _OTHERS[start:] + _OTHERS[:start]
    return next((c for c in ring if c not in used), ring[0])


def domain_scale(domains: Iterable[str]) -> alt.Scale:
    """Colour scale of these domains, in alphabetical order."""
    names = sorted(set(domains))
    colors: list[str] = []
    for name in names:
        colors.append(color_of(name, colors))
    return alt.Scale(domain=names, range=colors)


def size_label(size_b: float) -> str:
    """Parameters in words: 0.001 -> ``1M``, 8.03 -> ``8B``."""
    if not size_b > 0:
        return "size unknown"
    if size_b >= 0.9995:
        return f"{size_b:.1f}".rstrip("0").rstrip(".") + "B" if size_b < 10 else f"{size_b:.0f}B"
    millions = size_b * 1000
    return f"{millions:.1f}".rstrip("0").rstrip(".") + "M" if millions < 10 else f"{millions:.0f}M"


def size_in(label: str) -> float | None:
    """Billions of parameters that a label or a model's name says: ``Llama-3.1-8B`` -> 8.0; None where it says none."""
    found = _SIZE.findall(label)
    return float(found[-1][0]) * (0.001 if found[-1][1] in "mM" else 1.0) if found else None


def shape_of(label: str) -> str:
    """The shape of a size, fixed by its magnitude, so that 8B has the same one on every page.

    Args:
        label: A size, or a model's name that ends in one: ``8B``, ``organism-1m``, ``Llama-3.1 · 8B``; without one: diamond.
    """
    size_b = size_in(label)
    if size_b is None:
        return "diamond"
    return next(shape for most, shape in _SHAPE_UP_TO if size_b <= most)


def shape_scale(labels: Iterable[str]) -> alt.Scale:
    """Shape scale of these size labels (or names of models that say their size), in the order given."""
    names = list(dict.fromkeys(labels))
    return alt.Scale(domain=names, range=[shape_of(name) for name in names])
