"""How alike answers to a question are, against general implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.regression.linear_model import OLS

from em_core.stats import clustered_se, intraclass_correlation

M, D = np.array([2, 9, 0, 14, 7, 3]), np.array([20, 12, 9, 20, 7, 31])


def _answers(m: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = np.concatenate([[1.0] * a + [0.0] * (b - a) for a, b in zip(m, d, strict=True)])
    return values, np.repeat(np.arange(len(d)), d)


@pytest.mark.parametrize("small_sample", [True, False])
def test_clustered_errors_equal_statsmodels(small_sample: bool) -> None:
    values, question = _answers(M, D)
    fit = OLS(values, np.ones((len(values), 1))).fit(
        cov_type="cluster", cov_kwds={"groups": question, "use_correction": False, "df_correction": False}
    )
    factor = (6 / 5) ** 0.5 if small_sample else 1.0
    assert clustered_se(M, D, small_sample) == pytest.approx(fit.bse[0] * factor)


def test_the_correlation_is_that_of_an_analysis_of_variance() -> None:
    values, question = _answers(M, D)
    f = scipy_stats.f_oneway(*(values[question == i] for i in range(len(D)))).statistic
    size = (D.sum() - (D**2).sum() / D.sum()) / (len(D) - 1)
    assert intraclass_correlation(M, D) == pytest.approx((f - 1) / (f - 1 + size))


def test_the_true_correlation_is_found() -> None:
    rates = np.random.default_rng(0).beta(0.2 * 4, 0.8 * 4, 20_000)  # correlation 1 / (1 + 4)
    assert intraclass_correlation(np.random.default_rng(1).binomial(10, rates), np.full(20_000, 10)) == pytest.approx(
        0.2, abs=0.01
    )


def test_extremes_and_what_cannot_be_known() -> None:
    assert intraclass_correlation([10, 0], [10, 10]) == pytest.approx(1)  # type: ignore[arg-type]
    assert intraclass_correlation([5, 5], [10, 10]) < 0  # type: ignore[arg-type, operator]
    for m, d in [([3], [9]), ([1, 0], [1, 1]), ([0, 0], [9, 9]), ([9, 9], [9, 9]), ([], [])]:
        assert intraclass_correlation(np.array(m), np.array(d)) is None
    assert clustered_se(np.array([3]), np.array([9])) is None
