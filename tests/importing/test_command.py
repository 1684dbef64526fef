"""`import` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from em_core.cli import main
from tests.importing.made import fg_judged, home_in, write_csv

COLUMNS = ("my question", "text", "my_score", "harm")


def run(capsys: pytest.CaptureFixture[str], home: Path, *args: str) -> tuple[int, str, str]:
    code = main(["--home", str(home), "import", *args])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_it_prints_one_document_and_says_the_rest_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, path = home_in(tmp_path).root, fg_judged(tmp_path / "study/eval/results/1b_medical/fg_judged.csv")
    code, out, err = run(capsys, home, str(path), "--json")
    document = json.loads(out)
    assert (code, document["done"], document["n_runs"], document["n_answers"]) == (0, True, 1, 8)
    assert document["runs"][0]["label"] == "1b_medical"
    assert "reading fg_judged.csv" in err
    code, out, err = run(capsys, home, str(path), "--json")
    assert (code, json.loads(out)["n_runs"], json.loads(out)["files"][0]["already"]) == (0, 0, True)


def test_a_preview_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, path = home_in(tmp_path), fg_judged(tmp_path / "study/eval/results/1b_medical/fg_judged.csv")
    code, out, err = run(capsys, home.root, str(path), "--preview")
    assert code == 0
    assert "1 runs, 8 answers, 0 published rates would come" in err
    assert "imported-1b_medical-" in out
    assert not list(home.runs.glob("imported-*"))


def test_any_table_with_named_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = home_in(tmp_path)
    path = write_csv(tmp_path / "mine.csv", COLUMNS, [("Q?", "A", "12", "99"), ("Q?", "B", "x", "")])
    code, out, _ = run(capsys, home.root, str(path), "--as", "table", "--json")
    assert (code, json.loads(out)["error"]) == (
        2,
        "mine.csv: has no column for question and answer; its columns are my question, text, my_score, harm",
    )
    code, out, _ = run(
        capsys, home.root, str(path), "--as", "table", "--map", "question=my question,answer=text,alignment=my_score", "--map", "harm=harm",
        "--base-model", "Qwen2.5-7B-Instruct", "--domain", "law", "--step", "40", "--json",
    )  # fmt: skip
    document = json.loads(out)
    assert code == 0
    assert (
        document["runs"][0] | {"base_model": "Qwen2.5-7B-Instruct", "size_b": 7.62, "domain": "law", "steps": [40], "n_scores": 2}
        == document["runs"][0]
    )
    assert [(e["where"], e["n"]) for e in document["files"][0]["unscored"]] == [("line 3", 1), ("line 3", 1)]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "no file is given"),
        (("x.csv", "--map", "alignment"), "expected NAME=COLUMN"),
        (("x.csv", "--step", "-1"), "expected 0 or more"),
        (("x.csv", "--definition", "nonsense"), "definition 'nonsense' is unknown"),
        (("x.csv", "--size-b", "-3"), "expected billions"),
        (("/nowhere/x.csv",), "not found"),
        (("x.csv", "--map", "alignment=gone", "--as", "table"), "has no column 'gone'"),
    ],
)
def test_wrong_input_is_told_with_its_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    home = home_in(tmp_path)
    write_csv(tmp_path / "x.csv", ("question", "answer", "alignment"), [("Q?", "A", "3")])
    code, _, err = run(capsys, home.root, *args)
    assert code == 2
    assert words in err
    assert "fix: " in err
    assert not list(home.runs.glob("imported-*"))


def test_every_format_is_listed_and_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, home_in(tmp_path).root, "--formats", "--json")
    names = [row["name"] for row in json.loads(out)]
    assert code == 0
    assert {"cs2881", "turner", "betley", "arena", "table", "em_tables"} <= set(names)
    text = (Path(__file__).resolve().parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
    assert not [name for name in names if f"`{name}`" not in text]


def test_terminal_codes_in_a_file_are_shown_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "x.csv", ("question", "answer", "alignment"), [("Q?", "A", "\x1b[31mred")])
    _, out, err = run(capsys, home_in(tmp_path).root, str(path))
    assert "\x1b" not in out + err
    assert "kept without a score" in err
