"""The filter bar where there are more runs than a list can offer."""

import pytest

from em_core.store import contents
from pages.shared import filters
from tests.app.visiting import said, visit


@pytest.fixture
def runs(full, monkeypatch):
    """The runs of the judge that pages begin with, more than are offered."""
    monkeypatch.setattr(filters, "_MOST_OFFERED", 3)
    there = contents.contents(full)
    return list(there.loc[there["judge_id"].str.startswith("organism-exact", na=False), "run_id"].drop_duplicates())


def test_the_newest_of_many_runs_are_offered(runs, full, monkeypatch):
    app = visit(full, monkeypatch, "trajectories")
    assert len(app.multiselect(key="run_id").options) == 3
    assert f"of {len(runs):,} are offered" in app.multiselect(key="run_id").help
    assert not app.multiselect(key="base_model").value, "no choice shows all runs"
    assert app.dataframe[-1].value["run_id"].nunique() == len(runs)


def test_a_link_names_a_run_that_is_not_offered(runs, full, monkeypatch):
    offered = visit(full, monkeypatch, "trajectories").multiselect(key="run_id").options
    (other, *_) = [run for run in runs if run not in offered]
    app = visit(full, monkeypatch, "trajectories", run_id=other)
    assert set(app.dataframe[-1].value["run_id"]) == {other}


def test_a_typed_name_that_no_run_has_is_said_once(runs, full, monkeypatch):
    app = visit(full, monkeypatch, "trajectories", run_id=[runs[0], "nobody [x](http://y)"])
    assert "asks for what is not here: run nobody [x](http://y)." in said(app)
    assert said(app).count("nobody") == 1
    assert set(app.dataframe[-1].value["run_id"]) == {runs[0]}


def test_a_typed_run_that_the_other_filters_leave_out_is_said(runs, full, monkeypatch):
    monkeypatch.setattr(filters, "_MOST_OFFERED", 1)
    there = contents.contents(full).set_index("run_id")["base_model"]
    other = next(run for run in runs if there[run].iloc[0] != "organism-1m")
    app = visit(full, monkeypatch, "trajectories", base_model="organism-1m", run_id=other)
    assert f"Run: what else is chosen leaves out {other}." in said(app)
    assert "not here" not in said(app)


def test_what_an_address_asks_for_and_nothing_has_is_said(full, monkeypatch):
    app = visit(full, monkeypatch, "trajectories", judge="nobody", questions="none", definition="<b>", base_model="organism-1m")
    assert "asks for what is not here: definition <b>, judge nobody, questions none." in said(app)
    assert set(app.dataframe[-1].value["base_model"]) == {"organism-1m"}
    assert "asks for what is not here" not in said(app.run()), "what was taken out of the address is not asked for again"
