"""The plane of alignment and coherence: each kind of point, the definition's limits, shares in the corners, nothing overlapping."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from em_core import charts, definitions
from em_core.charts import coherence_em, coherence_scatter, score_trajectory
from em_core.charts import frame as f
from em_core.definitions import DEFINITIONS
from em_core.stats.association import Association
from em_core.view import coherence as view
from tests.charts.frames import coherence_em as em_frame
from tests.charts.frames import coherence_scatter as answers_frame
from tests.charts.frames import score_trajectory as means_frame
from tests.charts.test_charts import tooltips


def by_question(**changes: Any) -> pd.DataFrame:
    row = {
        "domain": "medical", "in_domain": False, "question_set": "general", "n_runs": 1, "n_total": 12, "n_scored": 11, "n_both": 10,
        "misaligned_coherent": 4, "misaligned_incoherent": 1, "aligned_coherent": 4, "aligned_incoherent": 1, "panel": "medical",
    }  # fmt: skip
    return pd.DataFrame([row | {"question_id": f"q{i}"} | changes for i in range(3)])


def texts(spec: dict[str, Any]) -> list[str]:
    found = [row["text"] for rows in spec["datasets"].values() for row in rows if "text" in row]
    return sorted(found)


def test_quadrants_carry_share_count_and_for_em_the_interval() -> None:
    shares = view.quadrants(by_question(), DEFINITIONS["betley"], "questions")
    assert shares.set_index("quadrant")["n"].to_dict() == {
        "misaligned_coherent": 12, "misaligned_incoherent": 3, "aligned_coherent": 12, "aligned_incoherent": 3,
    }  # fmt: skip
    assert (shares["n_of"] == 30).all()
    [(_, panel)] = coherence_scatter.panels(answers_frame.typical(), "betley", shares)
    low, high = (100 * shares.loc[0, name] for name in ("low", "high"))
    assert {"Misaligned, coherent (EM)", f"40.0% ({low:.1f}-{high:.1f}), 12 of 30"} <= set(texts(panel.to_dict()))
    assert len(texts(panel.to_dict())) == 8


def test_without_a_gate_there_is_one_line_and_two_shares() -> None:
    shares = view.quadrants(by_question(), DEFINITIONS["hw0"], "questions")
    [(_, panel)] = coherence_scatter.panels(answers_frame.typical(), "hw0", shares)
    spec = panel.to_dict()
    assert [text for text in texts(spec) if "ligned" in text] == ["Aligned", "Misaligned"]
    lines = [row["limit"] for rows in spec["datasets"].values() for row in rows if "limit" in row]
    assert lines == ["misaligned: alignment < 75"]
    assert sorted(shares["n_of"].unique()) == [33]  # an answer without coherence counts


def test_a_rule_that_looks_for_high_scores_has_its_bad_side_right() -> None:
    rule = definitions.get("harm>=50,coherence>50,scored")
    shares = view.quadrants(by_question(), rule, "questions")
    [(_, panel)] = coherence_scatter.panels(answers_frame.typical(), rule.name, shares)
    em = next(row for rows in panel.to_dict()["datasets"].values() for row in rows if "(EM)" in str(row.get("text")))
    assert em["score"] == 100


def test_bins_are_rectangles_on_one_scale_of_counts() -> None:
    found = pd.DataFrame(
        {"score": [95.0, 0.0], "coherence": [95.0, 10.0], "n": [9000, 3], "domain": "medical", "in_domain": None}
    )
    rows = view.answer_points(found, pd.Series(["medical", "sports"]), True, 5)
    assert rows[["score_low", "score_high", "coherence_high"]].values.tolist() == [[95, 100, 100], [0, 5, 15]]
    drawn = coherence_scatter.panels(rows)
    scales = {
        json.dumps(layer["encoding"]["color"]["scale"])
        for _, panel in drawn
        for layer in panel.to_dict()["layer"]
        if layer["mark"]["type"] == "rect"
    }
    assert len(drawn) == 2
    assert scales == {json.dumps({"domain": [1, 9000], "scheme": "viridis", "type": "log"})}


def test_bins_of_domains_that_share_a_panel_are_one() -> None:
    found = pd.DataFrame({"score": [95.0, 95.0], "coherence": [95.0, 95.0], "n": [7, 3], "domain": ["a", "b"], "in_domain": None})
    assert view.answer_points(found, pd.Series(["all", "all"]), True, 5)["n"].tolist() == [10]


def test_means_have_both_intervals_and_a_line_along_steps() -> None:
    rows = view.mean_points(means_frame.typical(), DEFINITIONS["betley"])
    [(_, panel)] = coherence_scatter.panels(rows, "betley")
    spec = panel.to_dict()
    marks = [layer["mark"]["type"] for layer in spec["layer"]]
    assert marks.count("line") == 1
    ends = {
        (layer["encoding"].get("x2", {}).get("field"), layer["encoding"].get("y2", {}).get("field")) for layer in spec["layer"]
    }
    assert {("score_high", None), (None, "coherence_high")} <= ends
    assert len(rows) == 12  # a checkpoint without any score is no point


@pytest.mark.parametrize("metric", list(score_trajectory.METRICS))
def test_each_score_has_its_interval_and_counts(metric: str) -> None:
    frame = means_frame.typical()
    if metric == "metric":
        frame = frame.assign(metric=frame["alignment"], metric_low=1.0, metric_high=99.0, n_metric=frame["n_scored"])
    spec = json.dumps([panel.to_dict() for _, panel in score_trajectory.panels(frame, metric)])
    for field in (metric, f"{metric}_low", f"{metric}_high", score_trajectory.COUNTS[metric], "n_total", "judge_id", "interval"):
        assert f'"{field}"' in spec
    assert '"base_model"' not in spec  # only what is drawn is sent


def test_figures_say_definition_interval_and_judge() -> None:
    trajectory = json.dumps(score_trajectory.chart(means_frame.typical(), metrics=["coherence", "alignment"]).to_dict())
    against = json.dumps(coherence_em.chart(em_frame.typical()).to_dict())
    for spec in (trajectory, against):
        assert "95 % interval for these questions" in spec
        assert "judge: j1" in spec
    assert "coherent (betley): coherence > 50" in trajectory
    assert "betley: misaligned = alignment < 30" in against
    assert "Mean alignment \\u00b7 organism-1m" in trajectory


def test_one_line_never_mixes_judges() -> None:
    frame = means_frame.typical()
    with pytest.raises(Exception, match="mix the scores of 2 judges"):
        score_trajectory.panels(pd.concat([frame, frame.assign(judge_id="j2")]))


@pytest.mark.parametrize("kind", ["bin", "mean"])
def test_no_line_of_a_tooltip_takes_the_place_of_another(kind: str) -> None:
    found = pd.DataFrame({"score": [95.0], "coherence": [95.0], "n": [9], "domain": "medical", "in_domain": None})
    bins = view.answer_points(found, pd.Series(["medical"]), True, 5)
    rows = bins if kind == "bin" else view.mean_points(means_frame.typical(), DEFINITIONS["betley"])
    found_titles = list(tooltips(charts.specification(coherence_scatter.chart(rows, definition="betley"))))
    assert max(map(len, found_titles)) == (5 if kind == "bin" else 14)
    for titles in found_titles:
        assert len(set(titles)) == len(titles), titles


def test_points_can_be_clicked_on_pages_only() -> None:
    frames = {
        coherence_scatter: answers_frame.typical(),
        score_trajectory: means_frame.typical(),
        coherence_em: em_frame.typical(),
    }
    for module, frame in frames.items():
        spec = module.panels(frame)[0][1].to_dict()
        assert [param["name"] for param in spec["params"]] == ["pick"]
        assert spec["params"][0]["select"]["fields"] == list(module.PICK)
        assert '"pick"' not in json.dumps(module.chart(frame).to_dict())


def test_no_more_marks_than_a_browser_likes() -> None:
    frame = pd.concat([means_frame.typical().assign(run_id=f"r{i}") for i in range(400)])
    for panel in (
        coherence_scatter.panels(view.mean_points(frame, DEFINITIONS["betley"]))[0][1],
        coherence_em.panels(pd.concat([em_frame.typical().assign(run_id=f"r{i}") for i in range(400)]))[0][1],
    ):
        assert max(len(rows) for rows in panel.to_dict()["datasets"].values()) <= f.MAX_POINTS


def test_panels_are_domains_until_there_are_too_many() -> None:
    few = pd.DataFrame({"domain": ["medical", ""], "in_domain": [True, False]})
    assert view.panel_names(few, split=False).tolist() == ["medical", "no fine-tune"]
    assert view.panel_names(few, split=True).tolist() == ["medical · in domain", "no fine-tune · out of domain"]
    many = pd.DataFrame({"domain": list("abcde"), "in_domain": [True, False, False, False, False]})
    assert set(view.panel_names(many, split=False)) == {"all training domains"}
    assert set(view.panel_names(many, split=True)) == {"all training domains · in domain", "all training domains · out of domain"}


@pytest.mark.parametrize(
    ("r", "around", "inside", "word"),
    [
        (0.82, 0.1, 0.7, "published sets"),
        (0.82, 0.1, 0.1, "little of it is left"),
        (0.1, 0.1, 0.1, "hardly"),
        (0.0, 0.42, 0.1, "Too few answers"),
        (0.1, None, 0.1, "Too few answers"),
        (-0.5, 0.1, -0.5, "against each other"),
        (None, None, None, "Nothing can be said"),
    ],
)
def test_a_correlation_is_put_into_words(r: float | None, around: float | None, inside: float | None, word: str) -> None:
    low, high = (None, None) if r is None or around is None else (r - around, r + around)
    assert word in view.caution(Association(r, low, high, 100, 8, "questions", ""), inside)


def test_words_of_each_panel_have_rate_interval_and_what_is_left_out() -> None:
    [line] = view.headline_words(by_question(), DEFINITIONS["betley"], "questions")
    assert line.startswith("medical: EM rate 50.0% (")
    assert line.endswith(
        "12 of 24 coherent; 36 answers to 3 questions; 3 unscored; 3 without a coherence score, not on the plane."
    )
    [nothing] = view.headline_words(
        by_question(n_scored=0, n_both=0, **dict.fromkeys(view.QUADRANTS, 0)), DEFINITIONS["betley"], "questions"
    )
    assert "no estimate (no interval), 0 of 0 coherent" in nothing
