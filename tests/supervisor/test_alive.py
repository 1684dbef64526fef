"""Signs of life of a run that waits for others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from em_core import alive


def test_waiting_for_something_with_limits_of_its_own_is_a_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alive, "BEAT_S", 0.05)
    file = tmp_path / alive.FILE
    with alive.beating(tmp_path):
        before = file.stat().st_mtime_ns
        give_up = time.monotonic() + 5
        while file.stat().st_mtime_ns == before and time.monotonic() < give_up:
            time.sleep(0.02)
        assert file.stat().st_mtime_ns > before
    ended = file.stat().st_mtime_ns
    time.sleep(0.2)
    assert file.stat().st_mtime_ns == ended  # nobody goes on for it
