"""Evaluate only, on the page Run: what it would ask, the command, and the start."""

from __future__ import annotations

import shutil

import pytest
from streamlit.testing.v1 import AppTest

from em_core.evaluate_job.todo import Wanted
from em_core.store.publish import publish
from em_core.supervisor import evaluate
from em_core.supervisor.evidence import list_runs
from tests.app.visiting import button, said, visit
from tests.evaluate_job.conftest import Workbench


def open_form(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page of the run with the form open, as after a click on its button."""
    publish(bench.home)
    app = visit(bench.home, monkeypatch, "run", run_id=bench.run_id)
    assert not app.multiselect  # nothing is looked at before it is opened
    app.session_state[f"evaluate-{bench.run_id}"] = True
    app.run()
    return app


def test_the_form_tells_what_is_missing_and_queues_it(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_form(bench, monkeypatch)
    assert "nothing is missing; 12 are there already" in said(app)
    assert button(app, "Start").disabled
    (samples,) = [each for each in app.number_input if each.label == "Answers per wording"]
    samples.set_value(3).run()
    assert "24 to sample: 8 at step 0, 8 at step 2, 8 at step 4; 12 are there already" in said(app)
    assert "**Memory:** about " in said(app)
    assert "8 answers at once" in said(app)
    assert "**Time:** " in said(app)
    steps = next(each for each in app.multiselect if each.label == "Checkpoints")
    steps.set_value([4]).run()
    assert f"evaluate {bench.run_id}@4 --questions" in said(app)
    button(app, "Start").click().run()
    assert not app.exception
    (job,) = [status for status in list_runs(bench.home) if status.kind == "evaluate"]
    assert job.state == "queued"
    assert job.run_id in said(app)


def test_of_a_run_without_a_checkpoint_the_starting_model_can_be_asked(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(bench.run_dir / "checkpoints")
    app = open_form(bench, monkeypatch)
    assert not app.error
    assert f"evaluate {bench.run_id}@0 --questions" in said(app)


def test_home_does_not_count_an_evaluation_as_a_training_run(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate.queue(bench.home, Wanted(bench.run_id, samples=2), start=False)
    publish(bench.home)
    shown = {metric.label: metric.value for metric in visit(bench.home, monkeypatch).metric}
    assert (shown["Training runs"], shown["Queued"]) == ("1", "1")


def test_a_run_without_its_spec_has_no_form(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_form(bench, monkeypatch)
    (bench.run_dir / "spec.json").rename(bench.run_dir / "spec.gone")
    app.run()
    assert not app.exception
    assert not app.multiselect  # without its spec it is nobody's to evaluate
