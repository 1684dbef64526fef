"""Charts of judges: drawn from real frames, with counts and intervals; empty ones say so."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from em_core import charts, definitions
from em_core.agreement import calibration_table, frames, judge_table
from em_core.errors import BadInput
from em_core.store import agreement, labels
from tests.agreement.made_judges import MILD, STRICT, WORDS


@pytest.fixture(scope="module")
def made(judged):
    rule = definitions.get("betley")
    found = agreement.answers(judged, [STRICT, MILD, WORDS], rule)
    judges, people = labels.against_judges(judged, [STRICT, MILD], rule)
    return {
        "judge_scatter": frames.points(found, 0, 1),
        "bland_altman": frames.differences(found, 0, 1),
        "judge_rates": judge_table(found),
        "judge_calibration": calibration_table(judges, people),
    }


NAMES = ["judge_scatter", "bland_altman", "judge_rates", "judge_calibration"]


@pytest.mark.parametrize("name", NAMES)
def test_it_renders_to_svg(name, made, tmp_path):
    module = charts.load(name)
    assert charts.save(module.chart(made[name]), tmp_path / "x.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_frame_gives_a_titled_chart_with_a_sentence(name, tmp_path):
    module = charts.load(name)
    text = charts.save(module.chart(pd.DataFrame(columns=list(module.COLUMNS))), tmp_path / "x.svg").read_text()
    assert "yet" in text
    assert module.TITLE.split()[0] in text


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_column_is_named(name, made):
    module = charts.load(name)
    with pytest.raises(BadInput, match=module.COLUMNS[-1]):
        module.chart(made[name].drop(columns=module.COLUMNS[-1]))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("judge_rates", ["ci_low", "ci_high", "n_misaligned", "n_base", "n_common", "definition"]),
        ("judge_calibration", ["human_low", "human_high", "share_low", "share_high", "n:", "n_decided"]),
        ("bland_altman", ["from", "to"]),
    ],
)
def test_values_come_with_intervals_and_counts(name, fields, made):
    spec = json.dumps(charts.load(name).chart(made[name]).to_dict())
    for field in fields:
        assert f'"field": "{field.rstrip(":")}"' in spec, field


def test_two_judges_of_words_have_no_points_and_no_panel(judged):
    found = agreement.answers(judged, [WORDS, STRICT], definitions.get("betley"))
    assert frames.points(found, 0, 1).empty
    assert charts.load("judge_scatter").panels(frames.points(found, 0, 1)) == []
    assert charts.load("bland_altman").panels(frames.differences(found, 0, 1)) == []


def test_a_judge_without_an_estimate_is_not_drawn_as_zero(made):
    frame = made["judge_rates"].assign(em_rate=[0.1, None, 0.2])
    ((_, chart),) = charts.load("judge_rates").panels(frame)
    shown = next(iter(chart.to_dict()["datasets"].values()))
    assert [row["judge_id"] for row in shown] == [STRICT, WORDS]
