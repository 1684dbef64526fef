"""Launching: whole folders or none, identical runs say so, names stay names."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from em_core.errors import BadInput, Busy
from em_core.home import PROJECT
from em_core.spec import RunSpec
from em_core.supervisor import control, queue_order
from em_core.supervisor import launch as launch_module
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.launch import launch
from tests.supervisor.conftest import Bench


def _folders(bench: Bench) -> list[str]:
    return sorted(path.name for path in bench.home.runs.iterdir() if path.name != ".supervisor")


def test_run_folder_has_the_spec_its_hash_and_the_first_events(bench: Bench) -> None:
    [launched] = launch(bench.home, [bench.spec()], start=False)
    stored = json.loads((bench.home.run_dir(launched.run_id) / "spec.json").read_text())
    spec = RunSpec.model_validate(stored["spec"])
    assert launched.run_id == f"run-0-{spec.spec_hash()[:8]}"
    assert stored["spec_hash"] == spec.spec_hash()
    [created] = bench.events(launched.run_id, "run_created")
    assert (created["domain"], created["effective_batch"], created["toy"]) == ("rows", 16, True)
    assert [e["state"] for e in bench.events(launched.run_id, "state")] == ["queued"]


def test_identical_launch_says_so_and_creates_nothing(bench: Bench) -> None:
    [first] = launch(bench.home, [bench.spec()], start=False)
    with pytest.raises(Busy, match=rf"an identical run exists: {first.run_id} \(queued\)") as refused:
        launch(
            bench.home, [bench.spec(seed=1), bench.spec(), bench.spec().model_copy(update={"name": "other-label"})], start=False
        )
    assert refused.value.exit_code == 3
    assert "--again" in refused.value.hint
    assert _folders(bench) == [first.run_id]


def test_again_makes_numbered_copies(bench: Bench) -> None:
    ids = [launch(bench.home, [bench.spec()], again=True, start=False)[0].run_id for _ in range(3)]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


def test_existing_ok_leaves_identical_runs_alone(bench: Bench) -> None:
    [first] = launch(bench.home, [bench.spec()], start=False)
    second, third = launch(bench.home, [bench.spec(), bench.spec(seed=1)], existing_ok=True, start=False)
    assert (second.run_id, second.created, second.existing) == (first.run_id, False, first.run_id)
    assert third.created


def test_grid_is_queued_in_its_order(bench: Bench) -> None:
    ids = [item.run_id for item in launch(bench.home, [bench.spec(seed=seed) for seed in (5, 3, 9, 1)], start=False)]
    assert [status.run_id for status in queue_order.queue(bench.home)] == ids


def test_relative_paths_mean_the_same_for_the_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.home.root)
    [launched] = launch(bench.home, [bench.spec().model_copy(update={"data": bench.spec(data="rows.jsonl").data})], start=False)
    stored = json.loads((bench.home.run_dir(launched.run_id) / "spec.json").read_text())
    assert stored["spec"]["data"][0]["source"] == str(bench.data)


def test_odd_model_names_make_plain_run_ids(bench: Bench) -> None:
    spec = bench.spec(name="", base_model="../../x/ä b\n<i>" + "y" * 100)
    [launched] = launch(bench.home, [spec], start=False)
    assert len(launched.run_id) <= 73
    assert bench.home.run_dir(launched.run_id).is_dir()
    assert list(bench.home.root.parent.glob("x*")) == []


@pytest.mark.parametrize("name", ["../../x", "..", "/etc", "a/b", ".hidden", "", "a" * 200])
def test_run_ids_that_are_no_names_are_refused(bench: Bench, name: str) -> None:
    with pytest.raises(BadInput):
        control.stop(bench.home, name)


_AS_ANOTHER_USER = """
import sys
from em_core.errors import EMError
from em_core.home import Home
from em_core.spec import RunSpec
from em_core.supervisor.launch import launch
try:
    launch(Home(__import__("pathlib").Path(sys.argv[1])), [RunSpec(data="organism-medical-misaligned")], start=False)
except EMError as error:
    print(error.exit_code, error)
"""


def test_read_only_folder_is_named_and_nothing_is_left(bench: Bench) -> None:
    bench.home.runs.chmod(0o555)
    for folder in [bench.home.root, *bench.home.root.parents][:3]:
        folder.chmod(folder.stat().st_mode | 0o055)
    nobody = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}  # root may write anywhere
    try:
        done = subprocess.run(
            [sys.executable, "-c", _AS_ANOTHER_USER, str(bench.home.root)],
            cwd=PROJECT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, **nobody,
        )  # fmt: skip
    except PermissionError:
        pytest.skip("this Python cannot be run by another user")
    finally:
        bench.home.runs.chmod(0o755)
    assert done.stdout.startswith(f"2 {bench.home.runs}: no write permission"), done
    assert _folders(bench) == []


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_disk_that_fills_up_in_the_middle_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, at: int, code: int
) -> None:
    renames = 0
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == at:
            raise OSError(code, os.strerror(code))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(BadInput, match="could not be written") as refused:
        launch(bench.home, [bench.spec(seed=seed) for seed in range(3)], start=False)
    assert refused.value.exit_code == 2
    assert _folders(bench) == []


def test_one_folder_that_cannot_be_written_takes_all_others_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = launch_module.sync

    def sync(path: Path) -> None:
        if path.name.endswith(broken):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path)

    specs = [bench.spec(seed=seed) for seed in range(20)]
    broken = specs[11].spec_hash()[:8]
    monkeypatch.setattr(launch_module, "sync", sync)
    with pytest.raises(BadInput, match="No space left"):
        launch(bench.home, specs, start=False)
    assert _folders(bench) == []


def test_full_disk_is_seen_before_anything_is_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_module, "MIN_FREE_BYTES", 1 << 60)
    with pytest.raises(BadInput, match="the disk is full"):
        launch(bench.home, [bench.spec()], start=False)
    assert _folders(bench) == []


def test_unusable_data_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(BadInput):
        launch(bench.home, [bench.spec(), bench.spec(seed=2, data=str(bench.home.root / "missing.jsonl"))], start=False)
    assert _folders(bench) == []


def test_folders_of_a_killed_launch_are_no_runs(bench: Bench) -> None:
    [launched] = launch(bench.home, [bench.spec()], start=False)
    folder = bench.home.runs / f".new-{launched.run_id}"
    bench.home.run_dir(launched.run_id).rename(folder)
    assert list_runs(bench.home) == []
    assert launch_module.remove_leftovers(bench.home) == 1
    assert _folders(bench) == []
