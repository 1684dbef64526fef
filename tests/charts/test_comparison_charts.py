"""Bars, heat map, scaling curve and differences: what is drawn, in which order, and what is never drawn as a number."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from em_core.charts import domain_heatmap, em_bars, frame, paired_differences, scaling_curve
from tests.charts.frames import domain_heatmap as map_frame
from tests.charts.frames import paired_differences as pair_frame
from tests.charts.frames import scaling_curve as size_frame
from tests.charts.test_charts import rate_row, tooltips


def rows_in(spec):
    """Rows of the chart's largest data set."""
    return max(spec["datasets"].values(), key=len)


def pooled(**changes):
    return rate_row(step=None, **changes) | {"pooled": True, "run_id": None, "n_runs": 2}


def test_pooled_bars_have_their_runs_as_smaller_points():
    rows = pd.DataFrame(
        [pooled(em_rate=0.4), *(rate_row(run_id=f"r{i}", step=9) | {"pooled": False, "n_runs": 1} for i in range(2))]
    )
    ((_, chart),) = em_bars.panels(rows)
    spec = chart.to_dict()
    assert sorted(row["pooled"] for row in rows_in(spec)) == [False, False, True]
    assert {"filter": "datum.pooled"} in spec["layer"][0]["transform"]
    assert "pick" in json.dumps(spec.get("params", spec["layer"][2].get("params")))


def test_bars_of_many_runs_stay_within_the_marks_of_a_chart():
    rows = pd.DataFrame([rate_row(run_id=f"r{i}", step=9) for i in range(2500)])
    ((_, chart),) = em_bars.panels(rows)
    assert len(rows_in(chart.to_dict())) == frame.MAX_POINTS


def test_a_domains_own_questions_lie_on_the_diagonal_after_the_general_ones():
    cells, domains, columns = domain_heatmap.grid(map_frame.typical())
    assert domains == ["financial", "medical"]
    assert columns == ["general", "elsewhere", "financial", "medical"]
    own = cells[cells["own"]]
    assert list(zip(own["domain_label"], own["column"], strict=True)) == [("financial", "financial"), ("medical", "medical")]


def test_a_cell_without_estimate_is_marked_and_never_zero():
    cells, *_ = domain_heatmap.grid(map_frame.typical())
    found = cells.set_index(["domain_label", "column"])
    assert found.loc[("medical", "financial"), "words"] == "no estimate"
    assert found.loc[("medical", "elsewhere"), ["words", "state"]].tolist() == ["–", "not asked"]
    assert found.loc[("financial", "elsewhere"), ["words", "count"]].tolist() == ["0%", "n = 50"]  # a real zero


def test_a_set_with_own_and_other_questions_has_a_column_for_each():
    rows = pd.DataFrame(
        [dict(map_frame.typical().iloc[0]), dict(map_frame.typical().iloc[0]) | {"in_domain": True, "em_rate": 0.9}]
    )
    _, _, columns = domain_heatmap.grid(rows)
    assert columns == ["general", "general, own domain"]


def test_the_heat_map_is_exported_with_its_numbers_even_when_nothing_was_scored():
    rows = map_frame.typical().assign(em_rate=None)
    assert "no estimate" in json.dumps(domain_heatmap.chart(rows).to_dict())


def test_sizes_of_one_family_are_one_line():
    assert scaling_curve.family("meta-llama/Llama-3.2-1B-Instruct") == scaling_curve.family("Llama-3.1-8B") == "llama"
    assert scaling_curve.family("Qwen/Qwen2.5-7B") == "qwen"


def test_published_points_are_hollow_and_without_a_line():
    own = size_frame.typical().assign(study="")
    other = own.iloc[:1].assign(study="a study", run_id=None, judge_id="their judge", question_set="first_8")
    drawn = scaling_curve.panels(pd.concat([own, other]))
    assert len(drawn) == 1  # published question sets make no panel
    spec = drawn[0][1].to_dict()
    line = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    hollow = next(layer for layer in spec["layer"] if layer["mark"].get("filled") is False)
    assert line["transform"] == [{"filter": "datum.study === ''"}]
    assert hollow["transform"] == [{"filter": "datum.study !== ''"}]
    assert {row["study"] for row in rows_in(spec)} == {"", "a study"}


def test_a_model_of_unknown_size_has_no_place_on_the_size_axis():
    rows = pd.concat([size_frame.typical(), size_frame.typical().iloc[:1].assign(size_b=None, label="unknown")])
    ((_, chart),) = scaling_curve.panels(rows)
    assert "unknown" not in {row["label"] for row in rows_in(chart.to_dict())}


@pytest.mark.parametrize("form", [paired_differences.FOREST, paired_differences.DUMBBELL])
def test_differences_and_rates_are_drawn_from_the_same_rows(form):
    spec = paired_differences.chart(pair_frame.typical(), form=form, a="before", b="after").to_dict()
    assert [row["row"] for row in rows_in(spec)] == ["q1", "q0", "all questions"]  # one set: its name is not repeated
    assert spec["data"]["name"] in spec["datasets"]
    text = json.dumps(spec)
    assert "before" in text
    assert "after" in text


def test_two_runs_of_one_label_are_told_apart():
    spec = paired_differences.chart(pair_frame.typical(), a="medical", b="medical").to_dict()
    assert {"EM rate, first, medical", "EM rate, second, medical"} <= {title for titles in tooltips(spec) for title in titles}


def test_a_permutation_test_that_disagrees_leaves_the_whole_undecided():
    rows = pair_frame.typical()
    rows.loc[rows["pooled"], "p_flip"] = 0.07
    kinds = {row["row"]: row["kind"] for row in rows_in(paired_differences.chart(rows).to_dict())}
    assert kinds == {"q0": "more misaligned", "q1": "not told apart", "all questions": "not told apart"}


def test_many_differences_are_cut_to_the_largest_and_say_so():
    rows = pd.concat(
        [pair_frame.typical()] + [pd.DataFrame([pair_frame.row(f"x{i}", 0.1, 0.1 + i / 200, 0, 1, 0.5)]) for i in range(100)]
    )
    spec = paired_differences.chart(rows.reset_index(drop=True)).to_dict()
    drawn = rows_in(spec)
    assert len(drawn) == paired_differences.MOST + 1
    assert "the 60 largest of 102 differences" in spec["title"]["subtitle"]
