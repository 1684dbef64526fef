"""``compare``: the paired difference as a person and as a program sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from em_core.cli import main
from em_core.home import Home
from em_core.stats import paired_by_name
from em_core.store.publish import publish
from tests.cli.conftest import Command
from tests.store.made import created, facts, judged, question, response, scored, write

BAD, GOOD, UNSCORED = (10.0, 90.0), (90.0, 90.0), (None, None)
RATES = {"q0": (0, 4), "q1": (1, 3), "q2": (0, 2), "q3": (2, 4)}
"""Misaligned answers of 4 at step 0 and at step 10."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its baseline, two question sets, one question that is unscored at the end; and a run of another judge."""
    root = tmp_path_factory.mktemp("compare") / "home"
    made = Home(root)
    made.prepare()
    write(made, "base-1", created("", run_kind="baseline"))
    write(made, "r1", created(), facts("base-1"), question("q0", "medical"), *(question(f"q{i}") for i in range(1, 4)))
    for name, (before, after) in RATES.items():
        write(made, "base-1", *scored("base-1", 0, [BAD] * before + [GOOD] * (4 - before), name))
        write(made, "r1", *scored("r1", 10, [BAD] * after + [GOOD] * (4 - after), name))
    write(made, "base-1", *scored("base-1", 0, [GOOD] * 2, "gone"))
    write(made, "r1", *scored("r1", 10, [UNSCORED] * 2, "gone"))
    for run_id, step, bad in (("base-1", 0, 0), ("r1", 10, 3)):
        for sample in range(3):
            answer = response(run_id, step, sample, "e0", question_set="elsewhere")
            write(made, run_id, answer, *judged(answer, 10.0 if sample < bad else 90.0, 90.0))
    write(made, "r2", created(), *scored("r2", 10, [BAD], judge_id="judge-2"))
    publish(made)
    return root


def _document(home: Path, capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    code = main(["--home", str(home), "compare", *args, "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


def test_the_document_has_difference_interval_p_counts_rule_and_judge(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _document(home, capsys, "r1@0", "r1")
    assert document["a"] == {"run_id": "r1", "step": 0}
    assert document["b"] == {"run_id": "r1", "step": 10}
    assert (document["definition"], document["judge_id"], document["interval"]) == ("betley", "judge-1", "population")
    assert "alignment < 30" in document["rule"]
    rows = {row["question_set"]: row for row in document["rows"]}
    assert list(rows) == ["elsewhere", "general", "all"]
    expected = paired_by_name({k: (a, 4) for k, (a, _) in RATES.items()}, {k: (b, 4) for k, (_, b) in RATES.items()})
    row = rows["general"]
    assert (row["difference"], row["ci_low"], row["ci_high"]) == pytest.approx((expected.difference, expected.low, expected.high))
    assert (row["p"], row["p_flip"], row["n_questions"]) == (pytest.approx(expected.p), expected.p_flip, 4)
    assert (row["n_misaligned_a"], row["base_a"], row["n_misaligned_b"], row["base_b"]) == (3, 16, 13, 16)
    assert (row["only_a"], row["only_b"]) == (["gone"], [])
    assert (rows["elsewhere"]["difference"], rows["elsewhere"]["n_questions"]) == (1.0, 1)
    assert "1 question" in rows["elsewhere"]["note"]
    assert rows["elsewhere"]["interval"] == "questions"
    assert (rows["all"]["n_questions"], rows["all"]["pooled"], rows["all"]["only_a"]) == (5, True, ["general/gone"])
    assert rows["all"]["difference"] == pytest.approx((4 * expected.difference + 1) / 5)  # type: ignore[operator]


def test_one_question_set_needs_no_pooled_row(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _document(home, capsys, "r1@0", "r1", "--questions", "general", "--interval", "questions", "--definition", "hw0")
    assert [row["question_set"] for row in document["rows"]] == ["general"]
    assert (document["definition"], document["rows"][0]["interval"]) == ("hw0", "questions")


def test_a_rule_of_ones_own_is_understood(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _document(home, capsys, "r1@0", "r1", "--definition", "alignment<5,none,scored")
    assert [row["difference"] for row in document["rows"]] == [0.0, 0.0, 0.0]
    assert all(row["ci_low"] < 0 < row["ci_high"] for row in document["rows"])


def test_a_person_reads_a_table_and_what_was_left_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(home), "compare", "r1@0", "r1"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0].split()[:2] == ["question_set", "n_questions"]
    assert len(captured.out.splitlines()) == 4
    assert "r1@10" in captured.err
    assert "judge: judge-1" in captured.err
    assert "general: left out: gone (scored in a only)" in captured.err
    assert "4 questions: wide" in captured.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["r1", "r2"], "never compared"),
        (["r1", "nothing"], "'nothing' is unknown"),
        (["r1@11", "r1"], "answered steps: 0, 10"),
        (["r1", "r1"], "compared with itself"),
        (["r1@0", "r1", "--judge", "nobody"], "'nobody' scored none"),
        (["r1@0", "r1", "--definition", "betly"], "betly"),
        (["r1@0", "r1", "--questions", "moon"], "moon"),
        (["../../etc", "r1"], "unknown"),
    ],
)
def test_bad_input_is_one_clear_error(home: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: str) -> None:
    assert main(["--home", str(home), "compare", *args, "--json"]) == 2
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["exit_code"] == 2
    assert document["hint"]
    assert words in captured.err


def test_as_a_process_stdout_is_one_document(home: Path) -> None:
    result = Command(home)("compare", "r1@0", "r1", "--json")
    assert result.code == 0, result.err
    assert len(result.json["rows"]) == 3
