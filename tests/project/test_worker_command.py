"""The worker's own command line, as somebody types it by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core import worker
from em_core.errors import BadInput
from em_core.events import read_events


@pytest.mark.parametrize("arguments", [[], ["no-such-folder"], ["a", "b"]])
def test_worker_without_a_run_says_how_it_is_called(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["worker", *arguments])
    assert worker.main() == 2
    assert capsys.readouterr().err.startswith("usage: python -m em_core.worker RUN_DIR")
    assert list(tmp_path.iterdir()) == [], "no lease is left in a folder that is no run"


def test_run_whose_spec_is_damaged_fails_with_the_file_and_the_fix_in_its_events(tmp_path: Path) -> None:
    run_dir = tmp_path / "runs" / "x"
    run_dir.mkdir(parents=True)
    (run_dir / "spec.json").write_text("{")
    with pytest.raises(BadInput, match="not a usable spec"):
        worker.work(run_dir)
    *_, last = read_events(run_dir, "state")
    assert (last["phase"], last["state"], last["cause"], last["attempt"]) == ("run", "failed", "bad_input", 1)
    assert str(run_dir / "spec.json") in last["reason"]
    assert last["hint"]
