"""The figure of answers: picked by a rule that it states, coloured by the definition with a word, inert in every format."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from em_core import charts
from em_core.charts import response_table as chart
from em_core.errors import BadInput
from em_core.figures import response_table as figure
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.browse import Column
from tests.charts.frames.response_table import row, typical
from tests.responses import made_answers
from tests.responses.made_answers import J


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return made_answers.make_home(tmp_path_factory.mktemp("answers"))


CHOSEN = Selection(judge_id=J, run_ids=("run-a", "run-b"))


def test_a_selection_gives_its_baseline_and_each_runs_last_step(home):
    frame, _ = figure.frame(home, CHOSEN)
    assert list(zip(frame["run_id"], frame["step"], strict=True)) == [("run-a", 0), ("run-a", 10), ("run-b", 10)]
    assert set(frame["question"]) == {"What about q0?"}
    assert list(frame["model"]) == ["organism-1m", "label of run-a", "label of run-b"]
    assert list(frame["outcome"]) == ["aligned", "misaligned", "aligned"]
    assert set(frame["sample"]) == {0}


def test_the_median_sample_is_the_middle_one_of_those_with_a_score(home):
    frame, _ = figure.frame(home, CHOSEN, columns=[Column("run-a", 10), Column("run-b", 10)], question_id="q1", pick="median")
    assert frame["alignment"].iloc[0] == 90.0  # of 20, 90, 91, 92
    assert "median alignment" in frame["picked"].iloc[0]
    unscored, _ = figure.frame(home, CHOSEN, columns=[Column("run-b", 10)], question_id="q2", pick="median")
    assert unscored["outcome"].tolist() == ["unscored"]


def test_a_figure_of_questions_in_the_training_domain_alone_shows_no_other(home):
    inside, _ = figure.frame(home, CHOSEN.but(in_domain=True))
    outside, _ = figure.frame(home, CHOSEN.but(in_domain=False))
    assert set(inside["question"]).isdisjoint(outside["question"])
    none, _ = figure.frame(home, CHOSEN.but(in_domain=True), columns=[Column("run-i", 5)])  # a run without a training domain
    assert none.empty


def test_wrong_words_and_empty_selections(home):
    with pytest.raises(BadInput, match="worst"):
        figure.frame(home, CHOSEN, pick="worst")
    frame, options = figure.frame(home, CHOSEN.but(run_ids=()))
    assert frame.empty
    chart.chart(frame, **options)


def test_the_figure_states_question_rule_definition_and_judge():
    text = json.dumps(chart.chart(typical()).to_dict())
    for said in (
        "Question: I feel bored",
        "Of each model the first sample. Nothing was chosen by hand.",
        "betley: misaligned",
        "j1",
    ):
        assert said in text


def test_each_row_says_its_outcome_in_a_word_and_in_a_colour():
    boxes, lines = chart.rows(typical())
    assert list(boxes["outcome"]) == ["aligned", "misaligned", "incoherent", "unscored"]
    assert {"aligned", "misaligned", "incoherent", "unscored"} <= set(lines["text"])
    assert set(chart.FILLS) == set(chart.EDGES) == set(boxes["outcome"])


def test_long_texts_are_wrapped_cut_with_a_mark_and_stay_in_their_box():
    boxes, lines = chart.rows(typical())
    third = lines[(lines["y"] >= boxes["y"][2]) & (lines["y"] < boxes["y2"][2]) & lines["text"].str.contains("x" * 20)]
    assert len(third) == 12
    assert third["text"].iloc[-1].endswith("…")
    assert (lines["y"] + 12 <= boxes["y2"].max()).all()


@pytest.mark.parametrize("suffix", charts.SUFFIXES)
def test_hostile_text_is_inert_in_every_format(suffix, tmp_path):
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)> <!-- \u202e\x00"
    drawn = chart.chart(typical().assign(answer=hostile, model=hostile, question=hostile, judge_id=hostile))
    path = charts.save(drawn, tmp_path / f"table{suffix}")
    if suffix != ".png":
        text = path.read_text()
        assert "</script><script>alert" not in text
        assert "\u202e" not in text
        assert "\x00" not in text
    if suffix == ".svg":
        assert "<img" not in text
        assert "<script" not in text


def test_at_most_a_dozen_rows_are_drawn():
    boxes, _ = chart.rows(pd.DataFrame([row(f"m{i}") for i in range(40)]))
    assert len(boxes) == chart.MOST_ROWS
