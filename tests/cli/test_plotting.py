"""`plot` draws every chart there is from the database, or says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from em_core import charts, figures
from em_core.cli import main
from em_core.records import JudgeIdentity
from em_core.store.publish import publish
from tests.figures.judged import make_home
from tests.store.made import BareHome, whole_run, write


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> BareHome:
    return make_home(tmp_path_factory.mktemp("judged"))


LACKING = {"verdict_shares": "no answer has a verdict"}
"""The made home has scores of one run."""


@pytest.mark.parametrize("name", charts.names())
def test_every_chart_can_be_drawn(name: str, home: BareHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"{name}.json"
    code = main(["--home", str(home.root), "plot", name, "--out", str(file), "--judge", "judge-1", "--runs", "r1"])
    if name in LACKING:
        assert code == 2
        said = capsys.readouterr().err
        assert LACKING[name] in said
        assert "fix:" in said
        return
    assert code == 0
    assert len(file.read_text()) > 500


@pytest.mark.parametrize("suffix", figures.SUFFIXES)
def test_a_chart_is_written_in_every_form(suffix: str, home: BareHome, tmp_path: Path) -> None:
    file = tmp_path / f"loss{suffix}"
    assert main(["--home", str(home.root), "plot", "loss_curve", "--out", str(file)]) == 0
    assert file.stat().st_size > 20


def test_the_data_behind_have_the_columns_of_the_chart(home: BareHome, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    assert main(["--home", str(home.root), "plot", "em_trajectory", "--out", str(file), "--judge", "judge-1"]) == 0
    read = pd.read_csv(file)
    assert set(charts.load("em_trajectory").COLUMNS) <= set(read.columns)
    assert set(read["judge_id"]) == {"judge-1"}


def test_all_charts_go_into_one_folder_and_what_is_left_out_is_said(
    home: BareHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "figures"
    assert main(["--home", str(home.root), "plot", "all", "--out", str(folder), "--judge", "judge-1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"em_bars.svg", "em_bars.csv", "judge_scatter.svg"} <= {path.name for path in folder.iterdir()}
    assert sorted(told["files"]) == sorted(str(path) for path in folder.iterdir())
    assert "no answer has a verdict" in told["left_out"]["verdict_shares"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--runs", "r9"], "run 'r9' is not here"),
        (["--questions", "nothing"], "question set 'nothing' is not here"),
        (["--experiment", "none"], "experiment 'none' is not here"),
        (["--judge", "nobody"], "judge 'nobody' is not here"),
        (["--judges", "judge-1,nobody"], "judge 'nobody' is not here"),
        (["--definition", "nonsense"], "nonsense"),
    ],
)
def test_what_is_not_here_is_said_and_nothing_is_written(
    flags: list[str], said: str, home: BareHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.svg"
    assert main(["--home", str(home.root), "plot", "loss_curve", "--out", str(file), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize(
    ("name", "at", "said"),
    [
        ("em_bars", "best", "'best' is unknown"),
        ("em_bars", "77", "no run here has scored answers there"),
        ("loss_curve", "peak", "it is for: domain_heatmap, em_bars"),
    ],
)
def test_a_checkpoint_that_cannot_be_drawn_is_said(
    name: str, at: str, said: str, home: BareHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.svg"
    assert main(["--home", str(home.root), "plot", name, "--out", str(file), "--judge", "judge-1", "--at", at]) == 2
    assert said in capsys.readouterr().err
    assert not file.exists()


def test_a_step_is_drawn(home: BareHome, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    assert main(["--home", str(home.root), "plot", "em_bars", "--out", str(file), "--judge", "judge-1", "--at", "1"]) == 0
    assert set(pd.read_csv(file)["step"]) == {1}


@pytest.mark.parametrize(("name", "out"), [("em_bars", "x.pdf"), ("em_bars", "x"), ("all", "x.svg"), ("no_chart", "x.svg")])
def test_a_wrong_file_or_chart_is_said_before_anything_is_read(name: str, out: str, tmp_path: Path) -> None:
    assert main(["--home", str(tmp_path / "none"), "plot", name, "--out", str(tmp_path / out)]) == 2
    assert not (tmp_path / out).exists()


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
