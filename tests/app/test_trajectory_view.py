"""The rows of a trajectory: other axes, and seeds beside their mean."""

from __future__ import annotations

import pandas as pd
import pytest

from em_core.charts import em_trajectory
from em_core.view import trajectory


def rate(run_id: str, step: int, em_rate: float, **more: object) -> dict[str, object]:
    return {
        "run_id": run_id, "label": run_id, "base_model": "organism-1m", "size_b": 0.001, "domain": "medical", "step": step,
        "question_set": "general", "in_domain": False, "definition": "betley", "judge_id": "j1", "n_total": 20, "n_scored": 20,
        "n_coherent": 20, "n_misaligned": int(20 * em_rate), "em_rate": em_rate, "ci_low": 0.0, "ci_high": 1.0,
        "interval": "questions", **more,
    }  # fmt: skip


@pytest.fixture
def rates() -> pd.DataFrame:
    steps = [(0, 0.0), (10, 0.2), (20, 0.4)]
    runs = [("a", 0.0), ("b", 0.2), ("alone", 0.1)]
    return pd.DataFrame([rate(run, step, level + (more if step else 0)) for run, more in runs for step, level in steps])


@pytest.fixture
def means() -> pd.DataFrame:
    rows = [
        {"run_ids": ["a", "b"], "question_set": "general", "in_domain": False, "judge_id": "j1", "step": step,
         "em_rate": value, "ci_low": value - 0.1, "ci_high": value + 0.1}
        for step, value in ((10, 0.3), (20, 0.5))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_seeds_become_faint_and_their_mean_stands_beside_them_with_added_counts(rates: pd.DataFrame, means: pd.DataFrame) -> None:
    rows = trajectory.with_seed_means(rates, [["a", "b"]], means)
    assert rows.groupby("run_id")["role"].first().to_dict() == {
        "a": "seed", "b": "seed", "alone": "run", "mean of 2: a": "mean",
    }  # fmt: skip
    mean = rows[rows["role"] == "mean"].sort_values("step")
    assert mean["step"].tolist() == [0, 10, 20]  # the starting model is one model, whatever the seed
    assert mean["em_rate"].tolist() == [0.0, 0.3, 0.5]
    assert mean["n_total"].tolist() == [40, 40, 40]
    drawn = em_trajectory.chart(rows).to_dict()
    assert "datum.role == 'seed'" in str(drawn)


def test_without_groups_every_run_is_a_line_of_its_own(rates: pd.DataFrame) -> None:
    rows = trajectory.with_seed_means(rates, [], pd.DataFrame(columns=["run_ids"]))
    assert set(rows["role"]) == {"run"}
    assert len(rows) == len(rates)


def test_a_mean_of_scores_needs_all_seeds_and_claims_no_interval(rates: pd.DataFrame) -> None:
    scores = rates.assign(alignment=rates["em_rate"] * 100, alignment_low=0.0, alignment_high=100.0)
    scores = scores[~((scores["run_id"] == "b") & (scores["step"] == 20))]
    mean = trajectory.averaged(scores, [["a", "b"]], "alignment")
    mean = mean[mean["role"] == "mean"]
    assert mean["step"].tolist() == [0, 10]
    assert mean["alignment"].tolist() == pytest.approx([0.0, 30.0])
    assert mean["alignment_low"].isna().all()


def test_other_axes_come_from_the_checkpoints_and_the_starting_model_is_at_zero(rates: pd.DataFrame) -> None:
    checkpoints = pd.DataFrame({"run_id": ["a", "a"], "step": [10, 20], "epoch": [0.5, 1.0], "samples_seen": [160, 320]})
    rows = trajectory.with_axes(rates, checkpoints)
    assert rows.loc[rows["run_id"] == "a", "epoch"].tolist() == [0.0, 0.5, 1.0]
    assert rows.loc[rows["run_id"] == "alone", "samples_seen"].isna().tolist() == [False, True, True]
    assert len(em_trajectory.panels(rows, x="samples_seen")) == 1


def test_marks_are_the_lines_that_most_likely_changed() -> None:
    changes = pd.DataFrame(
        {"run_id": ["a", "b", "c"], "question_set": "general", "step": pd.array([10, 20, None], dtype="Int64"),
         "earliest": [5, 5, None], "latest": [20, 40, None], "p_change": [0.99, 0.6, None]}
    )  # fmt: skip
    assert trajectory.marks(changes)["run_id"].tolist() == ["a"]


def test_training_steps_count_samples_in_proportion_to_the_checkpoints() -> None:
    steps = pd.DataFrame({"run_id": ["a"] * 2, "step": [5, 10], "loss": [2.0, 1.0]})
    cards = pd.DataFrame({"run_id": ["a"], "label": ["A"], "domain": ["medical"]})
    checkpoints = pd.DataFrame({"run_id": ["a", "a"], "step": [0, 10], "samples_seen": [0, 160]})
    assert trajectory.training(steps, cards, checkpoints)["samples_seen"].tolist() == [80.0, 160.0]
