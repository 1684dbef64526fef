"""A checkpoint folder counts only when it is complete."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from em_core.checkpoints import COMPLETE, WEIGHTS, complete_checkpoints, parent_adapter, publish, read_complete
from em_core.errors import BadInput, WorkFailed


def write(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"weights" * 100)
    (folder / "adapter_config.json").write_text("{}")


def saved(run: Path, step: int = 4) -> Path:
    return publish(run / "checkpoints", step, write, {"epoch": 1.0}).path


def test_a_published_checkpoint_is_complete(tmp_path: Path) -> None:
    path = saved(tmp_path)
    found = read_complete(path, verify_sha256=True)
    assert found is not None
    assert (found.step, found.size_bytes, found.facts["epoch"]) == (4, 702, 1.0)
    assert len(found.sha256) == 64
    assert [p.name for p in path.parent.iterdir()] == ["step-4"]


@pytest.mark.parametrize("damage", ["no marker", "torn marker", "shorter file", "missing file", "path outside"])
def test_a_damaged_checkpoint_does_not_count(tmp_path: Path, damage: str) -> None:
    path = saved(tmp_path)
    if damage == "no marker":
        (path / COMPLETE).unlink()
    elif damage == "torn marker":
        (path / COMPLETE).write_text('{"step": 4, "fi')
    elif damage == "shorter file":
        (path / WEIGHTS).write_bytes(b"weights")
    elif damage == "missing file":
        (path / "adapter_config.json").unlink()
    else:
        body = json.loads((path / COMPLETE).read_text())
        body["files"][0]["name"] = "../../secret"
        (path / COMPLETE).write_text(json.dumps(body))
    assert read_complete(path) is None
    assert complete_checkpoints(tmp_path) == []


def test_changed_bytes_of_the_same_size_are_found_when_asked(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (path / WEIGHTS).write_bytes(b"WEIGHTS" * 100)
    assert read_complete(path) is not None
    assert read_complete(path, verify_sha256=True) is None


def test_checkpoints_are_listed_by_step(tmp_path: Path) -> None:
    for step in (100, 20, 3):
        saved(tmp_path, step)
    (tmp_path / "checkpoints" / "step-50").mkdir()
    assert [c.step for c in complete_checkpoints(tmp_path)] == [3, 20, 100]


def test_saving_again_replaces_the_earlier_one(tmp_path: Path) -> None:
    saved(tmp_path)
    path = publish(tmp_path / "checkpoints", 4, lambda folder: (folder / WEIGHTS).write_bytes(b"new"), {}).path
    assert (path / WEIGHTS).read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["step-4"]


def test_a_failed_write_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        write(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(WorkFailed, match=r"step-4: not saved .No space left on device"):
        publish(tmp_path / "checkpoints", 4, full, {})
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_killed_writer_leaves_no_checkpoint_that_counts(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from em_core.checkpoints import WEIGHTS, publish
def slow(folder):
    (folder / WEIGHTS).write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
publish(Path({str(tmp_path / "checkpoints")!r}), 4, slow, {{}})
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert complete_checkpoints(tmp_path) == []
    saved(tmp_path)  # the next attempt clears the debris
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-4"]


def test_a_parent_must_be_complete(tmp_path: Path) -> None:
    path = saved(tmp_path / "run-a")
    assert parent_adapter(tmp_path / "run-a", 4) == path
    with pytest.raises(BadInput, match="run-a@5: no complete checkpoint") as caught:
        parent_adapter(tmp_path / "run-a", 5)
    assert "4" in caught.value.hint


def test_saving_a_small_adapter_is_quick(tmp_path: Path) -> None:
    began = time.process_time()
    saved(tmp_path)
    assert time.process_time() - began < 0.5
