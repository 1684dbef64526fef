"""Charts for everybody: colours that stay apart without red, green or blue cones, that are seen on both backgrounds; letters
large enough; a second sign beside every colour."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest

from em_core import charts
from em_core.charts import palette
from tests.charts.test_charts import made

LIGHT, DARK = "#FFFFFF", "#0F141B"
DOMAINS = {**palette.DOMAIN_COLORS, "starting model": palette.NEUTRAL}
APART = 20.0
"""CIELAB distance (CIE76); 2.3 is just noticeable side by side, thin lines and small points need far more."""

# Machado, Oliveira and Fernandes 2009 (doi 10.1109/TVCG.2009.113), severity 1.0, on linear RGB
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
# linear sRGB to CIE XYZ, D65 (IEC 61966-2-1), and the white of D65
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(color: str) -> np.ndarray:
    """``#RRGGBB`` as linear RGB, each 0-1, shape (3,)."""
    c = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Linear RGB as CIELAB, shape (3,)."""
    x = XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(x > 216 / 24389, np.cbrt(x), (24389 / 27 * x + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a: str, b: str, sight: str) -> float:
    """How far apart two colours look."""
    return float(np.linalg.norm(lab(SIGHT[sight] @ linear(a)) - lab(SIGHT[sight] @ linear(b))))


def contrast(a: str, b: str) -> float:
    """Contrast ratio (WCAG 2.2), 1-21."""
    low, high = sorted(float(XYZ[1] @ linear(color)) for color in (a, b))
    return (high + 0.05) / (low + 0.05)


def test_the_arithmetic_gives_known_values() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)
    assert lab(linear("#FF0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    assert distance("#00A000", "#C06000", "deuteranopia") < 0.5 * distance("#00A000", "#C06000", "normal")


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(DOMAINS, 2)))
def test_domains_stay_apart_for_every_kind_of_sight(a: str, b: str, sight: str) -> None:
    assert distance(DOMAINS[a], DOMAINS[b], sight) >= APART


@pytest.mark.parametrize("background", [LIGHT, DARK])
@pytest.mark.parametrize("color", [*DOMAINS.values(), *palette.SERIES])
def test_colours_are_seen_on_both_backgrounds(color: str, background: str) -> None:
    assert contrast(color, background) >= 2.5


def test_words_in_grey_are_readable_on_both_backgrounds() -> None:
    assert min(contrast(palette.NEUTRAL, LIGHT), contrast(palette.NEUTRAL, DARK)) >= 3.9


def test_series_of_judges_differ_for_normal_sight_and_the_first_two_for_every_sight() -> None:
    assert min(distance(a, b, "normal") for a, b in itertools.combinations(palette.SERIES, 2)) >= APART
    for sight in SIGHT:
        assert distance(*palette.SERIES[:2], sight) >= APART


@pytest.mark.parametrize("name", [*charts.names(), *charts.OTHERS])
def test_letters_of_a_file_are_large_enough(name: str, tmp_path) -> None:
    text = charts.save(charts.load(name).chart(made(name, "typical")), tmp_path / "x.svg").read_text()
    sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)px"', text)]
    assert sizes
    assert min(sizes) >= 10


@pytest.mark.parametrize("name", ["em_trajectory", "em_bars", "coherence_em", "scaling_curve"])
def test_size_is_told_by_shape_and_not_by_colour_alone(name: str) -> None:
    spec = json.dumps(charts.specification(charts.load(name).chart(made(name, "typical"))))
    assert '"shape"' in spec
