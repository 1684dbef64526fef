"""Differences between rates that share nothing, against statsmodels and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.proportion import confint_proportions_2indep

from em_core.stats import fisher_p, mover, wilson

PAIRS = [(3, 20, 11, 25), (0, 40, 0, 12), (0, 8, 50, 50), (120, 400, 2, 40), (7, 9, 7, 9)]


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_from_wilsons_intervals_it_is_newcombes(level: float) -> None:
    for m_a, n_a, m_b, n_b in PAIRS:
        low, high = mover(m_a / n_a, *wilson(m_a, n_a, level), m_b / n_b, *wilson(m_b, n_b, level))
        expected = confint_proportions_2indep(m_b, n_b, m_a, n_a, compare="diff", method="newcomb", alpha=1 - level)
        assert (float(low), float(high)) == pytest.approx(expected, abs=1e-9)


def test_many_at_once_are_each_alone_and_turned_round_they_change_sign() -> None:
    sides = np.array([[[m / n, *wilson(m, n)] for m, n in ((a, b), (c, d))] for a, b, c, d in PAIRS])
    low, high = mover(*sides[:, 0].T, *sides[:, 1].T)
    for i, (a, b) in enumerate(sides):
        assert (low[i], high[i]) == pytest.approx(tuple(map(float, mover(*a, *b))))
    back = mover(*sides[:, 1].T, *sides[:, 0].T)
    assert np.allclose(-back[1], low)
    assert np.allclose(-back[0], high)


def test_an_unknown_interval_gives_none() -> None:
    assert np.isnan(mover(0.5, float("nan"), float("nan"), 0.1, 0.0, 0.2)).all()


def test_fishers_p_is_scipys() -> None:
    for m_a, n_a, m_b, n_b in PAIRS:
        assert fisher_p(m_a, n_a, m_b, n_b) == pytest.approx(
            scipy_stats.fisher_exact([[m_a, m_b], [n_a - m_a, n_b - m_b]]).pvalue
        )
    assert fisher_p(0, 40, 0, 12) == 1
    # 2 x 2 of all different: by hand from the hypergeometric, both tails
    assert fisher_p(3, 3, 0, 3) == pytest.approx(2 / 20)
