"""``show`` says what the page Run says, also of runs without a folder; ``show A --with B`` only what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from em_core.cli import main
from em_core.home import Home
from tests.app import synthetic

RUN, OTHER = "organism-1m-medical", "organism-1m-financial"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return synthetic.make_home(tmp_path_factory.mktemp("show"), sizes={"organism-1m": 1e-3}, n_questions=2)


def shown(home: Home, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["--home", str(home.root), "show", *words, "--json"]) == 0
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


def test_show_has_checks_plan_phases_judges_and_command(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    document = shown(home, capsys, RUN)
    assert document["state"] == "finished"
    assert {"checks", "plan_against_actual", "phases", "judges", "attempts", "imports", "quarantined"} <= set(document)
    assert str(document["command"]).startswith("python -m em_core launch")
    assert [row["on_disk"] for row in document["checkpoints"]] == ["not here"] * 6  # type: ignore[attr-defined]
    assert document["lineage"]["baseline_run_id"] == "base-organism-1m"  # type: ignore[index]


def test_a_run_that_is_only_in_the_database_is_shown_as_recorded(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (demo,) = [path.name for path in home.demo.iterdir() if "1m-organism-medical" in path.name]
    document = shown(home, capsys, demo)
    assert document["state"] == "finished"
    assert document["spec"]["base_model"] == "organism-1m"  # type: ignore[index]


def test_only_what_differs_is_shown_of_two_runs(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    document = shown(home, capsys, RUN, "--with", OTHER)
    assert [row["field"] for row in document["fields"]] == ["data.0.source"]  # type: ignore[attr-defined]
    assert str(document["sentence"]).startswith("They differ only in data.0.source (")
    assert main(["--home", str(home.root), "show", RUN, "--with", OTHER]) == 0
    out = capsys.readouterr().out
    assert "organism-financial-misaligned" in out
    assert "train.seed" not in out


def test_a_person_reads_the_same(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(home.root), "show", RUN]) == 0
    out = capsys.readouterr().out
    for part in ("can it be trusted?", "plan against actual", "phases", "to do it again"):
        assert part in out


@pytest.mark.parametrize("words", [["nobody"], [RUN, "--with", "nobody"], ["../../etc"], [RUN, "--with", "../../etc"]])
def test_an_unknown_run_is_refused(words: list[str], home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(home.root), "show", *words]) == 2
    assert "runs` lists the ids" in capsys.readouterr().err


def test_a_run_without_folder_and_database_names_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path), "show", "nobody"]) == 2
    assert "unknown" in capsys.readouterr().err
