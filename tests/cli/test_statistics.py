"""`trajectory`, `seeds` and `power` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from em_core.cli import main
from tests.store.made import BareHome, whole_run


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(args)
    out, err = capsys.readouterr()
    return code, out, err


def test_trajectory_says_when_and_how_sure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole_run(BareHome(tmp_path), "r1")
    assert run(capsys, "--home", str(tmp_path), "ingest")[0] == 0
    code, out, _ = run(capsys, "--home", str(tmp_path), "trajectory", "r1", "--json")
    document = json.loads(out)
    assert code == 0
    assert {line["in_domain"] for line in document["changes"]} == {True, False}
    assert {test["step"] for test in document["checkpoints"]} == {1, 2}
    code, out, err = run(capsys, "--home", str(tmp_path), "trajectory", "r1")
    assert code == 0
    assert "p_change" in out
    assert "p_adjusted" in out
    assert "misaligned = alignment < 30" in err


def test_an_unknown_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "--home", str(tmp_path), "trajectory", "nobody")
    assert code == 2
    assert "'nobody' is unknown" in err


def test_seeds_without_seeds_says_how_to_get_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole_run(BareHome(tmp_path), "r1")
    run(capsys, "--home", str(tmp_path), "ingest")
    code, _, err = run(capsys, "--home", str(tmp_path), "seeds")
    assert code == 0
    assert "train.seed=[0,1,2]" in err


def test_power_counts_questions_as_well_as_answers(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "power", "30", "60", "--questions", "24", "--samples", "5", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["answers_if_independent"] == 42
    assert document["answers_needed"] == 24 * document["samples_needed"]
    assert 0 < document["power"] < 1
    assert run(capsys, "power", "30", "30")[0] == 2
    assert run(capsys, "power", "30", "130")[0] == 2
