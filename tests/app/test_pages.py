"""Every page as a script: with runs, without any, with a damaged database; what it says and what it never says."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from em_core.events import EventWriter
from em_core.home import Home
from em_core.records import RunState
from em_core.specs_io import read_spec
from em_core.supervisor.launch import launch
from tests.app.visiting import button, said, visit

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["", "launch", "experiments", "live", "doctor", "trajectories"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_runs_shows_no_error(page, full, monkeypatch):
    app = visit(full, monkeypatch, page)
    assert not app.exception
    assert not app.error
    assert len(app.title) == 1


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_home_says_what_to_do_next(page, empty, monkeypatch):
    app = visit(empty, monkeypatch, page)
    assert not app.exception
    assert not app.error
    if page not in ("launch", "doctor"):
        assert "demo" in said(app).lower()


@pytest.mark.parametrize("page", ["", "live", "trajectories"])
def test_an_unusable_home_is_said_with_its_fix_and_without_traceback(page, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    app = visit(Home(tmp_path / "file"), monkeypatch, page)
    assert not app.exception
    assert any("Fix:" in str(error.value) for error in app.error)


def test_home_shows_the_key_numbers_with_interval_and_n(full, monkeypatch):
    app = visit(full, monkeypatch)
    assert re.search(r"n = \d+", said(app))
    assert re.search(r"\d+ of \d+ coherent", said(app))
    assert "toys" in said(app)


def test_two_judges_are_never_in_one_chart(full, monkeypatch):
    app = visit(full, monkeypatch, "trajectories")
    (first,) = set(app.dataframe[-1].value["judge_id"])
    assert first.startswith("organism-exact")  # the demonstration's: it scored most
    app.selectbox(key="judge").select("judge1").run()
    assert set(app.dataframe[-1].value["judge_id"]) == {"judge1"}


@pytest.mark.parametrize(
    ("query", "column", "values"),
    [
        ({"definition": "turner"}, "definition", {"turner"}),
        ({"interval": "population"}, "interval", {"population"}),
        ({"questions": "in-domain"}, "in_domain", {True}),
        ({"domain": "medical"}, "domain", {"medical"}),
        ({"run_id": "organism-1m-medical"}, "run_id", {"organism-1m-medical"}),
        ({"definition": "nonsense"}, "definition", {"betley"}),
    ],
)
def test_the_link_is_the_view(query, column, values, full, monkeypatch):
    app = visit(full, monkeypatch, "trajectories", **query)
    assert not app.exception
    assert set(app.dataframe[-1].value[column]) == values


def test_trajectories_name_the_definitions_rule_and_start_at_the_baseline(full, monkeypatch):
    app = visit(full, monkeypatch, "trajectories")
    assert "share of coherent answers" in said(app)
    assert 0 in set(app.dataframe[-1].value["step"])


def test_launch_shows_plan_command_and_yaml(full, monkeypatch):
    app = visit(full, monkeypatch, "launch")
    code = "\n".join(element.value for element in app.code)
    assert "em_core launch organism" in code
    assert "organism-medical-misaligned" in code
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Steps"] == "180"
    assert not button(app, "Launch this run").disabled


def test_a_problem_of_the_data_is_shown_and_blocks_the_launch(full, monkeypatch):
    app = visit(full, monkeypatch, "launch")
    app.number_input(key="organism:train.batch_size").set_value(4096).run()
    assert any("batch" in str(error.value) for error in app.error)
    assert button(app, "Launch this run").disabled


def test_another_preset_fills_the_form_anew(full, monkeypatch):
    app = visit(full, monkeypatch, "launch", preset="hw0")
    assert not app.exception
    assert app.number_input(key="hw0:lora.r").value == 16
    assert app.number_input(key="hw0:train.learning_rate").value == 2e-4


def test_an_identical_run_is_said_and_launching_queues_exactly_one(empty, monkeypatch):
    monkeypatch.setattr(
        "pages.shared.plan_panel.launch", lambda home, specs, again: launch(home, specs, again=again, start=False)
    )
    app = visit(empty, monkeypatch, "launch")
    button(app, "Launch this run").click().run()
    assert not app.error
    assert len(list(empty.runs.glob("*/spec.json"))) == 1
    app.run()
    assert any("identical run exists" in str(info.value) for info in app.info)
    assert button(app, "Launch this run").disabled


def test_live_shows_the_queue_and_a_stop_needs_a_second_click(empty, monkeypatch):
    (started,) = launch(empty, read_spec("organism"), start=False)
    app = visit(empty, monkeypatch, "live")
    assert "Queue: 1 run" in said(app)
    app.selectbox(key="queue-run").select(started.run_id).run()
    app.button(key=f"keep-{started.run_id}").click().run()
    assert not app.exception
    assert "stopped" in said(visit(empty, monkeypatch, "live"))


def test_a_crashed_run_is_listed_with_reason_and_hint_as_inert_text(empty, monkeypatch):
    (started,) = launch(empty, read_spec("organism"), start=False)
    reason = "[link](http://example.org) <img src=x onerror=alert(1)>"
    with EventWriter(empty.run_dir(started.run_id), "worker-1") as events:
        events.write(RunState("run", "failed", reason, "free **memory**", 1))
    app = visit(empty, monkeypatch, "live")
    assert reason in [element.value for element in app.code]
    assert not any("](http://example.org)" in str(m.value) for m in (*app.markdown, *app.caption))
    assert any("memory" in str(caption.value) and "**memory**" not in str(caption.value) for caption in app.caption)


def test_pages_are_short_and_lie_one_level_down():
    assert [path.name for path in (ROOT / "pages").glob("*.py")] == ["main.py"]
    for path in [ROOT / "app.py", *(p for p in (ROOT / "pages").rglob("*.py") if p.parent.name != "shared")]:
        assert len(path.read_text().splitlines()) < 80, path


def test_the_server_is_for_this_machine_only():
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config["server"]["address"] == "127.0.0.1"
    assert set(config["server"]["allowedHosts"]) == {"127.0.0.1", "localhost"}
    assert config["server"]["enableCORS"] is True
    assert config["server"]["enableXsrfProtection"] is True
    assert config["browser"]["gatherUsageStats"] is False
    assert config["client"]["showErrorDetails"] == "none"
    assert json.dumps(config["theme"]["light"]) != json.dumps(config["theme"]["dark"])
