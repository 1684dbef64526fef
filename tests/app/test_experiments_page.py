"""The page Experiments: lists them, shows one with its runs and rates, stops, deletes and brings back; nothing where nothing may change."""

from __future__ import annotations

import pytest

from em_core import specs_io
from em_core.home import Home
from em_core.supervisor import trash
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.launch import launch
from tests.app import synthetic
from tests.app.visiting import button, said, visit


@pytest.fixture
def swept(empty: Home) -> Home:
    """A home with one queued sweep of four runs."""
    specs = specs_io.read_spec("organism", ["train.seed=[0,1]", "lora.r=[4,8]", "experiment=mine"])
    launch(empty, specs, start=False)
    return empty


def test_experiments_are_cards_with_counts_and_what_varies(swept, monkeypatch):
    monkeypatch.delenv("EM_NO_DEMO")
    app = visit(swept, monkeypatch, "experiments")
    assert "4 runs, launched" in said(app)
    assert "lora.r: 4, 8; train.seed: 0, 1" in said(app)
    assert "4 queued" in said(app)
    assert "organism-0.3m, organism-1m, organism-3m" in said(app)  # the demonstration


def test_one_experiment_shows_its_runs_and_what_varies(swept, monkeypatch):
    app = visit(swept, monkeypatch, "experiments", experiment="mine")
    rows = app.dataframe[0].value
    assert list(rows["state"]) == ["queued"] * 4
    assert list(rows["lora.r"]) == ["4", "4", "8", "8"]
    assert "time left not known yet" in said(app) or any("time left not known" in str(p.proto) for p in app.get("progress"))


def test_rates_stand_beside_each_run_and_runs_of_a_value_together(full, monkeypatch):
    app = visit(full, monkeypatch, "experiments", experiment="synthetic", questions="organism-general")
    rows = app.dataframe[0].value
    trained = rows[rows["em_rate"].notna() & ~rows["run_id"].str.startswith("base-")]
    assert len(trained) == 6
    assert set(trained["at_step"]) == {180}
    assert (trained["ci_low"] <= trained["em_rate"]).all()
    assert "share of coherent answers" in said(app)
    app = visit(full, monkeypatch, "experiments", experiment="synthetic", questions="organism-general", rows="base_model")
    assert {"organism-0.3m", "organism-1m", "organism-3m"} == set(app.dataframe[0].value["value"])


def test_stopping_all_stops_all(swept, monkeypatch):
    app = visit(swept, monkeypatch, "experiments", experiment="mine")
    app.button(key="all-drop").click().run()
    assert not app.exception
    assert {status.state for status in list_runs(swept)} == {"stopped"}
    assert any("4 runs" in str(success.value) for success in app.success)


def test_deleting_all_asks_with_its_size_first(swept, monkeypatch):
    app = visit(swept, monkeypatch, "experiments", experiment="mine")
    button(app, "Delete all").click().run()
    assert "4 runs" in said(app)
    assert "KiB" in said(app)
    assert app.button(key="delete-sure")
    assert len(list_runs(swept)) == 4  # only asked; what comes of it: tests/browser/test_experiments.py


def test_deleted_runs_are_listed_with_their_size_and_emptying_asks_first(swept, monkeypatch):
    trash.delete(swept, [status.run_id for status in list_runs(swept)])
    app = visit(swept, monkeypatch, "experiments", deleted="true")
    assert "4 deleted runs take" in said(app)
    assert list(app.dataframe[0].value["experiment"]) == ["mine"] * 4
    button(app, "Empty the trash").click().run()
    assert "cannot be brought back" in said(app)
    assert len(trash.entries(swept)) == 4


def test_the_demonstration_can_be_looked_at_and_nothing_else(full, monkeypatch):
    app = visit(full, monkeypatch, "experiments", experiment="demonstration")
    assert "Of the demonstration or imported" in said(app)
    assert not [each for each in app.button if "Delete" in each.label]


def test_an_empty_home_says_what_to_do_next(empty, monkeypatch):
    app = visit(empty, monkeypatch, "experiments")
    assert "No experiments yet" in said(app)
    assert "Launch" in said(app)


def test_an_unknown_experiment_is_said_as_inert_text(swept, monkeypatch):
    app = visit(swept, monkeypatch, "experiments", experiment="<img src=x> [a](http://x)")
    assert any("is here" in str(warning.value) for warning in app.warning)
    assert not any("](http" in str(warning.value) for warning in app.warning)


def test_read_only_pages_show_experiments_and_change_nothing(tmp_path, monkeypatch):
    home = synthetic.make_home(tmp_path, sizes={"organism-1m": 1e-3}, n_questions=2)
    monkeypatch.setenv("EM_READONLY", "1")
    app = visit(home, monkeypatch, "experiments", experiment="synthetic")
    assert len(app.dataframe[0].value) >= 2
    assert not app.button
    assert not app.toggle
