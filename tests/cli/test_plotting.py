"""`plot` draws every chart there is from the database, or says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core import charts
from em_core.cli import main
from em_core.records import HumanLabel, JudgeIdentity, Judgement, TrainMetric
from em_core.store.publish import publish
from tests.store.made import BareHome, created, response, whole_run, write


@pytest.fixture
def home(tmp_path: Path) -> BareHome:
    """A run, a second judge of its answers, and labels of one person."""
    made = BareHome(tmp_path)
    whole_run(made, "r1")
    write(
        made, "r1", TrainMetric(1, 0.1, 1.5, 1e-4, 0.5, 100.0, None), JudgeIdentity("judge-1", "p", "m", "integer", "0", "{}", "")
    )
    write(made, "judge-2", created(run_kind="judge"), JudgeIdentity("judge-2", "p", "m", "integer", "0", "{}", ""))
    for name in ("q0", "q1"):
        for sample in range(4):
            key = response("r1", 1, sample, name).response_id
            for metric in ("alignment", "coherence"):
                write(made, "judge-2", Judgement(key, "judge-2", metric, 20.0 + 10 * sample, None, "", None, None, None))
            write(made, "labels-anna", HumanLabel(key, "anna", "alignment", 25.0 * sample, None))
    write(made, "labels-anna", created(run_kind="labels"))
    publish(made)
    return made


@pytest.mark.parametrize("name", charts.names())
def test_every_chart_can_be_drawn(name: str, home: BareHome, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.json"
    judge = ["--judge", "judge-1"] if name == "threshold_plane" else []
    assert main(["--home", str(home.root), "plot", name, "--out", str(file), *judge, "--runs", "r1"]) == 0
    assert len(file.read_text()) > 500


def test_a_chart_of_two_judges_says_that_it_needs_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = BareHome(tmp_path)
    whole_run(made, "r1")
    write(made, "r1", JudgeIdentity("judge-1", "p", "m", "integer", "0", "{}", ""))
    publish(made)
    assert main(["--home", str(tmp_path), "plot", "bland_altman", "--out", str(tmp_path / "x.svg"), "--judges", "judge-1"]) == 2
    assert "of two judges" in capsys.readouterr().err
    assert not (tmp_path / "x.svg").exists()


def test_the_plane_is_of_one_judge(home: BareHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(home.root), "plot", "threshold_plane", "--out", str(tmp_path / "x.svg"), "--runs", "r1"]) == 2
    assert "judge-1, judge-2" in capsys.readouterr().err
