"""What the terminal says of runs at work, and why others ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from em_core.cli import main
from tests.app.live_home import LiveHome


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveHome]:
    monkeypatch.setenv("EM_NO_DEMO", "1")
    monkeypatch.setenv("EM_HOME", str(tmp_path))
    with LiveHome(tmp_path) as made:
        yield made


def test_show_says_how_far_each_phase_is(live: LiveHome, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = live.at_work()
    assert main(["show", run_id, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(row["phase"], row["done"], row["total"]) for row in document["now"][1:]] == [
        ("train", 250, 400), ("sample", 40, 80), ("judge", 40, 80),
    ]  # fmt: skip
    assert document["eta_s"] == pytest.approx(max(row["eta_s"] for row in document["now"][1:]), abs=2)
    assert main(["show", run_id]) == 0
    assert "Train: 250 of 400 steps" in capsys.readouterr().out


def test_show_holds_the_plan_of_the_launch_against_what_came_of_it(live: LiveHome, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = live.ended("finished")
    live.publish()
    assert main(["show", run_id, "--json"]) == 0
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)["plan_against_actual"]}
    stored = json.loads((live.home.run_dir(run_id) / "spec.json").read_text())["plan"]
    assert rows["Wall time"]["planned"] == "{:,.0f} to {:,.0f} s".format(*stored["time_s"])
    assert rows["Tokens trained"]["planned"] == f"{stored['tokens_total']:,}"
    assert float(rows["Wall time"]["actual"].split()[0]) > 0


def test_runs_and_show_name_the_cause_of_an_end(live: LiveHome, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = live.ended("failed", "cuda_oom", "no room")
    assert main(["runs", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["run_id"], row["cause"]) == (run_id, "cuda_oom")
    assert main(["runs"]) == 0
    assert "cuda_oom" in capsys.readouterr().out
    assert main(["show", run_id, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["cause"], document["attempt"], document["now"], document["eta_s"]) == ("cuda_oom", 1, [], None)
