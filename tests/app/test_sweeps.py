"""Sweeps: values as they are typed, the runs that come out, and the page that launches them; the form filled from a run."""

from __future__ import annotations

import json
import shlex

import pytest

from em_core import specs_io
from em_core.home import Home
from em_core.spec import RunSpec
from em_core.specs_io import grid
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.launch import launch
from em_core.view import form, sweep
from em_core.view.sweep import Axis
from tests.app.visiting import button, said, visit

FIELDS = {field.path: field for field in form.fields()}
BASE = RunSpec(data=["organism-medical-misaligned"]).model_dump(mode="json")


@pytest.mark.parametrize(
    ("path", "text", "values"),
    [
        ("train.seed", "0, 1;2", (0, 1, 2)),
        ("train.seed", "0-3, 7, 2", (0, 1, 2, 3, 7)),
        ("train.learning_rate", "1e-4, 0.0001, 2e-4", (1e-4, 2e-4)),
        ("train.max_steps", "none, 10", (None, 10)),
        ("lora.target_modules", "q_proj, v_proj; up_proj", (["q_proj", "v_proj"], ["up_proj"])),
        ("checkpoints.at_steps", "10, 20; 5", ([10, 20], [5])),
        ("judges.0.model", "a, b", ("a", "b")),
    ],
)
def test_values_are_read_as_they_are_typed(path, text, values):
    found = sweep.axis(FIELDS[path], text)
    assert (found.values, found.problem) == (values, "")


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("train.seed", "0, x", "'x' is not a whole number"),
        ("train.seed", "1.5", "'1.5' is not a whole number"),
        ("train.seed", "9-2", "no range"),
        ("train.seed", "0-99999", "no range"),
        ("train.seed", "none", "cannot be empty"),
        ("train.seed", " , ", "give one value"),
        ("lora.r", "0", "'0': expected 1 to 1024"),
        ("train.learning_rate", "fast", "'fast' is not a number"),
        ("train.learning_rate", "nan", "finite"),
        ("train.learning_rate", "2", "'2': expected 0 to 1"),
    ],
)
def test_a_wrong_value_is_named(path, text, words):
    found = sweep.axis(FIELDS[path], text)
    assert found.values == ()
    assert words in found.problem


def test_every_field_but_labels_can_vary():
    assert set(sweep.choices()) == (set(FIELDS) | set(form.PICKED)) - {"name", "experiment"}
    assert len(set(sweep.choices().values())) == len(sweep.choices())


def test_every_combination_is_a_run_and_the_rest_is_the_form():
    axes = [Axis("data", ([{"source": "a"}], [{"source": "b"}])), Axis("train.seed", (0, 1)), Axis("lora.r", (4, 8))]
    specs, wrong = sweep.runs(BASE, axes)
    assert wrong == {}
    assert [(s.data[0].source, s.train.seed, s.lora.r) for s in specs] == [
        (d, seed, r) for d in "ab" for seed in (0, 1) for r in (4, 8)
    ]
    assert {s.train.batch_size for s in specs} == {8}


def test_a_parent_varies_with_its_step():
    specs, wrong = sweep.runs(BASE, [Axis("parent.run", ("", "r1")), Axis("parent.step", (4,))])
    assert wrong == {}
    assert [spec.parent and (spec.parent.run, spec.parent.step) for spec in specs] == [None, ("r1", 4)]


def test_a_value_that_fits_no_spec_is_reported_under_its_field():
    specs, wrong = sweep.runs(BASE, [Axis("base_model", ("organism-1m", ""))])
    assert specs == []
    assert "base_model" in wrong


def test_more_runs_than_a_grid_may_have_are_refused_before_they_are_made():
    specs, wrong = sweep.runs(BASE, [Axis("train.seed", tuple(range(100))), Axis("lora.r", tuple(range(1, 12)))])
    assert specs == []
    assert "1,100 combinations" in wrong[""]


def test_the_command_line_launches_the_same_grid():
    axes = [
        Axis("data", ([BASE["data"][0]], [{"source": "x", "rows": 5}])),
        Axis("train.seed", (0, 1)),
        Axis("lora.rslora", (True,)),
    ]
    specs, _ = sweep.runs(BASE, axes)
    command = shlex.split(specs_io.command(specs[0], sweep.overrides(axes)))
    overrides = [command[i + 1] for i, word in enumerate(command) if word == "--set"]
    assert 'data=["organism-medical-misaligned"' not in command
    document, problems = grid.apply(specs_io.documents.read(specs_io.preset(command[4]).path), overrides)
    assert problems == []
    assert [RunSpec.model_validate(each) for each in grid.expand(document)] == specs


def _vary(app, path, value=None):
    name = "organism"
    app.multiselect(key=f"{name}:vary").set_value([*app.multiselect(key=f"{name}:vary").value, path]).run()
    if value is not None:
        app.text_input(key=f"{name}:sweep:{path}").set_value(value).run()


@pytest.fixture
def not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launching queues and starts no supervisor."""
    monkeypatch.setattr("pages.shared.sweep.launch", lambda home, specs, **how: launch(home, specs, start=False, **how))


def test_a_sweep_is_named_planned_and_launched_as_one(empty, monkeypatch, not_started):
    app = visit(empty, monkeypatch, "launch")
    _vary(app, "train.seed", "0-2")
    _vary(app, "lora.r", "4, 8")
    assert "r-seed-6-runs-" in said(app)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert (metrics["Runs"], metrics["Steps"]) == ("6", str(6 * 180)), metrics
    assert list(app.dataframe[0].value.columns) == ["lora.r", "train.seed"]
    assert len(app.dataframe[0].value) == 6
    assert app.number_input(key="organism:lora.r").disabled
    button(app, "Launch 6 runs").click().run()
    assert not app.error, [e.value for e in app.error]
    statuses = list_runs(empty)
    assert len(statuses) == 6
    (name,) = {status.experiment for status in statuses}
    assert name.startswith("r-seed-6-runs-")


def test_runs_that_exist_are_left_out_or_run_again_by_choice(empty, monkeypatch, not_started):
    (first,) = launch(empty, specs_io.read_spec("organism"), start=False)
    app = visit(empty, monkeypatch, "launch")
    _vary(app, "train.seed", "0, 1")
    assert "1 of these 2 runs exist already" in said(app) or any("1 of these 2" in str(i.value) for i in app.info)
    assert first.run_id in app.dataframe[0].value["Exists already"][0]
    button(app, "Launch 1 run").click().run()
    assert len(list_runs(empty)) == 2
    app = visit(empty, monkeypatch, "launch")
    _vary(app, "train.seed", "0, 1")
    assert button(app, "Launch 0 runs").disabled
    app.segmented_control(key="sweep-existing").set_value("Run them again").run()
    button(app, "Launch 2 runs").click().run()
    assert len(list_runs(empty)) == 4


def test_a_wrong_value_blocks_the_launch_and_stands_under_its_field(empty, monkeypatch):
    app = visit(empty, monkeypatch, "launch")
    _vary(app, "train.seed", "0, x")
    assert any("not a whole number" in str(error.value) for error in app.error)
    assert not [each for each in app.button if each.label.startswith("Launch ")]


def test_a_problem_of_one_kind_of_run_is_found_while_typing(empty, monkeypatch):
    app = visit(empty, monkeypatch, "launch")
    _vary(app, "train.batch_size", "16, 4096")
    assert any("batch" in str(error.value) for error in app.error)


def test_the_form_is_filled_from_any_run_and_says_which(full, monkeypatch):
    app = visit(full, monkeypatch, "launch", **{"from": "organism-3m-financial"})
    assert "Filled from the run **organism-3m-financial**" in said(app)
    assert app.selectbox(key="organism-3m-financial:base_model").value == "organism-3m"
    assert app.multiselect(key="organism-3m-financial:data").value == ["organism-financial-misaligned"]
    demo = sorted(path.name for path in full.demo.iterdir() if path.name.startswith("demo-organism"))[0]
    app = visit(full, monkeypatch, "launch", **{"from": demo})
    assert f"Filled from the run **{demo}**" in said(app)


def test_a_run_that_is_queued_and_not_published_fills_the_form(empty, monkeypatch):
    (started,) = launch(empty, specs_io.read_spec("organism", ["lora.r=7"]), start=False)
    app = visit(empty, monkeypatch, "launch", **{"from": started.run_id})
    assert app.number_input(key=f"{started.run_id}:lora.r").value == 7


@pytest.mark.parametrize("run", ["../../etc", "<b>x</b>"])
def test_an_unknown_run_is_said_and_a_preset_fills_the_form(run, empty, monkeypatch):
    app = visit(empty, monkeypatch, "launch", **{"from": run})
    assert not app.exception
    assert app.number_input(key="organism:lora.r").value == 16
    assert app.warning or app.error


@pytest.mark.parametrize("stored", [json.dumps({"spec": {"data": []}}), "{", "[1]", "{}"])
def test_a_damaged_spec_of_a_run_is_no_traceback(stored, empty: Home, monkeypatch):
    empty.run_dir("old").mkdir(parents=True)
    (empty.run_dir("old") / "spec.json").write_text(stored)
    app = visit(empty, monkeypatch, "launch", **{"from": "old"})
    assert not app.exception
    assert any("no spec" in str(warning.value) for warning in app.warning)
