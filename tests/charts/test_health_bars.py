"""Bars of health: before and after, each answer once, one judge's reasons only."""

import json

import pandas as pd

from em_core.charts import health_bars
from tests.charts.frames.health_bars import row, typical


def test_the_same_baseline_under_two_runs_is_counted_once():
    counts = health_bars.compared(typical()).set_index(["panel", "domain_label"])
    assert counts.loc[("organism-1m", "no fine-tune"), "n_measured"] == 50
    assert counts.loc[("organism-1m", "medical"), "n_measured"] == 50  # the last step only
    assert counts.loc[("organism-1m", "medical"), "n_repeated"] == 10


def test_two_judges_do_not_double_the_answers_and_their_reasons_are_left_out():
    rows = typical()
    both = pd.concat([rows, rows.assign(judge_id="j2", n_refusal=40)])
    counts = health_bars.compared(both)
    assert counts["n_refusal"].sum() == 0
    assert counts["n_total"].sum() == health_bars.compared(rows)["n_total"].sum()


def test_seeds_of_one_domain_are_pooled_and_lengths_are_means_of_answers():
    rows = pd.DataFrame(
        [row("a", step=5, n=30, mean_words=10.0), row("b", step=9, n=10, mean_words=50.0), row("a", step=0, n=10, mean_words=8.0)]
    )
    counts = health_bars.compared(rows).set_index("domain_label")
    assert counts.loc["medical", "n_total"] == 40
    assert counts.loc["medical", "mean_words"] == 20.0
    assert health_bars.lengths(rows) == ["organism-1m: 8 words before, medical 20"]


def test_every_share_comes_with_interval_and_counts():
    drawn = health_bars.panels(typical())
    assert [name for name, _ in drawn] == ["organism-1m", "Llama-3.1-8B"]
    spec = json.dumps(drawn[0][1].to_dict())
    for field in ("share_low", "share_high", "n_of", "sign_rule"):
        assert f'"{field}"' in spec or f'"{field}:Q"' in spec
    assert '".0%"' in spec


def test_answers_that_nobody_measured_give_no_bars_and_no_lengths():
    rows = pd.DataFrame([row(n=0, n_total=20, mean_words=float("nan"))])
    assert all(sign not in json.dumps([c.to_dict() for _, c in health_bars.panels(rows)]) for sign in ("Empty", "Mostly code"))
    assert health_bars.lengths(rows) == []
    assert health_bars.panels(rows.iloc[:0]) == []
