"""What `rates` says beside its table: few questions, and judges that must not be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core.cli import main
from em_core.store.publish import publish
from tests.store.made import BareHome, created, scored, write


def test_few_questions_and_several_judges_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = BareHome(tmp_path)
    for run_id, judge in (("r1", "judge-1"), ("r2", "judge-2")):
        write(home, run_id, created(label=run_id))
        for name in ("q0", "q1", "q2"):
            write(home, run_id, *scored(run_id, 1, [(5.0, 90.0), (95.0, 90.0)], name, judge))
    publish(home)
    options = ["--home", str(tmp_path), "rates", "--runs", "r1,r2"]
    assert main([*options, "--interval", "population"]) == 0
    said = capsys.readouterr().err
    assert "3 questions: wide, t with 2 degrees of freedom" in said
    assert "scored by different judges" in said
    assert main([*options, "--judge", "judge-1"]) == 0
    assert "different judges" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "names", "said"), [("--runs", "r1,r9", "run 'r9' is not here"), ("--judge", "nobody", "judge 'nobody' is not here")]
)
def test_a_run_or_judge_that_is_not_here_is_no_empty_table(
    flag: str, names: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = BareHome(tmp_path)
    write(home, "r1", created(label="r1"), *scored("r1", 1, [(5.0, 90.0)], "q0", "judge-1"))
    publish(home)
    assert main(["--home", str(tmp_path), "rates", flag, names]) == 2
    assert said in capsys.readouterr().err
