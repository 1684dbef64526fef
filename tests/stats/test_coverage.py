"""Simulation: how often the intervals hold the truth (a fixed small part of benchmarks/intervals.py)."""

from __future__ import annotations

import pytest

from benchmarks.intervals import (
    WANTED,
    Setting,
    change_coverage,
    coverage,
    coverage_of_upper_bound,
    paired_coverage,
    seeds_coverage,
)

SETTINGS = [
    Setting(("beta", 0.2), 0.02, 24, 100),
    Setting(("beta", 0.4), 0.02, 50, 100),
    Setting(("beta", 0.4), 0.5, 8, 20),
    Setting(("beta", 0.05), 0.2, 24, 5),
    Setting(("logit", 1.0), 0.2, 8, 100),
    Setting(("logit", 2.0), 0.02, 24, 20),
    Setting(("logit", 2.0), 0.2, 50, 20),
    Setting(("logit", 2.0), 0.5, 24, 5),
    Setting(("beta", 0.4), 0.2, 24, 20, uneven=True),
    Setting(("logit", 2.0), 0.02, 8, 20, uneven=True),
]


@pytest.mark.parametrize("kind", ["questions", "population"])
@pytest.mark.parametrize(
    "setting", SETTINGS, ids=lambda s: f"{s.effect[0]}-{s.effect[1]}-{s.rate}-{s.questions}x{s.samples}{'-uneven' * s.uneven}"
)
def test_95_percent_intervals_hold_the_truth_in_92_to_98_percent(setting: Setting, kind: str) -> None:
    share, _ = coverage(setting, kind, sets=2000)  # type: ignore[arg-type]
    assert WANTED[0] <= share <= WANTED[1]


@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_with_eight_strongly_differing_questions_it_errs_on_the_wide_side_only(rate: float) -> None:
    share, _ = coverage(Setting(("logit", 2.0), rate, 8, 100), "population", sets=2000)
    assert 0.92 <= share <= 0.995


def test_the_plain_bootstrap_is_too_narrow_with_eight_questions() -> None:
    setting = Setting(("beta", 0.2), 0.2, 8, 20)
    boot, _ = coverage(setting, "population", sets=200, method="bootstrap")
    ours, _ = coverage(setting, "population", sets=2000)
    assert boot < 0.92 < ours


@pytest.mark.parametrize("kind", ["questions", "population"])
def test_upper_bounds_hold_in_at_least_95_percent(kind: str) -> None:
    assert coverage_of_upper_bound(Setting(("logit", 2.0), 0.02, 24, 20), kind, sets=200) >= 0.93  # type: ignore[arg-type]


def test_paired_differences_hold_the_truth_and_rarely_find_what_is_not_there() -> None:
    like, these, p, flip = paired_coverage(0.3, 0.3, 12, 20, sets=400)
    assert min(like, these) >= 0.92
    assert max(p, flip) <= 0.08
    like, these, p, _ = paired_coverage(0.1, 0.4, 12, 20, sets=400)
    assert min(like, these) >= 0.92
    assert p > 0.9


def test_intervals_across_seeds_hold_the_truth() -> None:
    like, these = seeds_coverage(0.3, 4, 16, 20, 0.7, sets=500)
    assert 0.92 <= like <= 0.99
    assert 0.92 <= these <= 0.99


def test_the_credible_set_holds_the_jump() -> None:
    held, size, sure, unsure = change_coverage(8, 0.2, 0.4, own=0.5, sets=100)
    assert held >= 0.92
    assert size < 4
    assert sure > 0.8
    assert unsure < 0.4
