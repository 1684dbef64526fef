"""The worker's own command line, as somebody types it by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core import worker


@pytest.mark.parametrize("arguments", [[], ["no-such-folder"], ["a", "b"]])
def test_worker_without_a_run_says_how_it_is_called(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["worker", *arguments])
    assert worker.main() == 2
    assert capsys.readouterr().err.startswith("usage: python -m em_core.worker RUN_DIR")
    assert list(tmp_path.iterdir()) == [], "no lease is left in a folder that is no run"
