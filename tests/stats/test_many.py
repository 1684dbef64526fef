"""Many checkpoints against the starting model."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from em_core.stats import against_start, benjamini_hochberg, paired_by_name


def test_adjusted_p_values_equal_statsmodels() -> None:
    p = np.random.default_rng(0).uniform(0, 1, 30) ** 3
    assert benjamini_hochberg(list(p)) == pytest.approx(list(multipletests(p, method="fdr_bh")[1]))


def test_what_was_not_tested_stays_unknown_and_does_not_count() -> None:
    assert benjamini_hochberg([0.01, None, 0.02, float("nan")]) == [pytest.approx(0.02), None, pytest.approx(0.02), None]
    assert benjamini_hochberg([]) == []
    assert benjamini_hochberg([None]) == [None]


def _noise(rng: np.random.Generator, rate: float, n: int = 20, k: int = 12) -> dict[str, tuple[int, int]]:
    return {f"q{i}": (int(rng.binomial(n, rate)), n) for i in range(k)}


def test_each_checkpoint_is_tested_against_step_0_and_adjusted() -> None:
    rng = np.random.default_rng(1)
    checkpoints = {0: _noise(rng, 0.1), 10: _noise(rng, 0.1), 5: _noise(rng, 0.1), 20: _noise(rng, 0.5), 30: {"other": (1, 2)}}
    tests = against_start(checkpoints)
    assert [test.step for test in tests] == [5, 10, 20, 30]
    assert tests[2].against == paired_by_name(checkpoints[0], checkpoints[20], second_opinion=False)
    assert tests[2].p_adjusted < 0.01  # type: ignore[operator]
    assert min(tests[0].p_adjusted, tests[1].p_adjusted) > 0.05  # type: ignore[type-var, operator]
    assert (tests[3].against.p, tests[3].p_adjusted) == (None, None)
    assert tests[2].p_adjusted == pytest.approx(min(1, 3 * tests[2].against.p))  # type: ignore[operator]


def test_without_a_start_there_is_nothing_to_test() -> None:
    assert against_start({5: {"q": (1, 2)}}) == []
    assert against_start({}) == []


def test_twenty_checkpoints_of_noise_are_seldom_called_different() -> None:
    rng = np.random.default_rng(2)
    found = raw = 0
    for _ in range(30):
        tests = against_start({step: _noise(rng, 0.3) for step in range(0, 210, 10)})
        found += any(test.p_adjusted < 0.05 for test in tests)  # type: ignore[operator]
        raw += any(test.against.p < 0.05 for test in tests)  # type: ignore[operator]
    assert found / 30 < 0.2
    assert raw > 3 * found + 2
