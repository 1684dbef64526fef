"""Disk, folders, event files, checkpoints, clock, leftovers: what is found there, and what is removed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from em_core import checkpoints as checkpoint_folders
from em_core import doctor
from em_core.doctor import disk
from em_core.home import Home
from em_core.lease import Lease
from em_core.records import RunState
from tests.doctor.conftest import look, unhappy
from tests.store import made


def publish_checkpoint(home: Home, run_id: str, step: int, folder: str = "checkpoints") -> Path:
    run_dir = home.run_dir(run_id)
    (run_dir / "spec.json").write_text('{"spec_hash": "1", "spec": {}}')

    def write(place: Path) -> None:
        (place / "adapter_model.safetensors").write_bytes(b"weights" * 100)

    return checkpoint_folders.publish(run_dir / folder, step, write, {}).path


def test_locks_renames_and_flushes_are_really_tried_and_leave_nothing(home: Home) -> None:
    found = {f.what: f.status for f in look(home, "disk")}
    assert {"locks", "renames", "flush", "disk", "file system"} <= set(found)
    assert found["locks"] == found["renames"] == "ok"
    assert not list(home.runs.glob(".doctor-*"))


def test_a_file_system_where_locks_do_nothing_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    [finding] = [f for f in disk.trials(tmp_path) if f.what == "locks"]
    assert finding.status == "broken"
    assert "second holder" in finding.found


def test_a_file_system_without_locks_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refused)
    [finding] = [f for f in disk.trials(tmp_path) if f.what == "locks"]
    assert "flock fails (Operation not supported)" in finding.found


def test_a_rename_that_is_no_rename_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.replace", lambda source, target: Path(target).write_bytes(Path(source).read_bytes()))
    [finding] = [f for f in disk.trials(tmp_path) if f.what == "renames"]
    assert finding.status == "broken"


def test_the_kind_of_file_system_is_that_of_the_nearest_mount() -> None:
    mounts = [("/", "ext4"), ("/mnt/data", "nfs4"), ("/mnt/data/fast", "xfs"), ("/mnt/database", "tmpfs")]
    found = {path: disk.file_system(Path(path), mounts) for path in ("/home", "/mnt/data/x", "/mnt/data/fast/y", "/mnt/database")}
    assert list(found.values()) == ["ext4", "nfs4", "xfs", "tmpfs"]


@pytest.mark.parametrize(("kind", "status"), [("nfs4", "note"), ("fuse.sshfs", "note"), ("tmpfs", "note"), ("xfs", "ok")])
def test_network_and_memory_file_systems_are_said(home: Home, monkeypatch: pytest.MonkeyPatch, kind: str, status: str) -> None:
    monkeypatch.setattr(disk, "_mounts", lambda: [("/", kind)])
    [finding] = [f for f in look(home, "disk") if f.what == "file system"]
    assert finding.status == status
    assert kind in finding.found


def test_little_room_and_few_inodes_are_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_ENOUGH", 1 << 60)
    monkeypatch.setattr(disk, "_FEW_INODES", 1 << 60)
    found = {f.what: f for f in unhappy(home, "disk")}
    assert found["disk"].status == "note"
    assert "free" in found["disk"].fix
    assert "more files" in found["inodes"].found


def test_a_home_that_cannot_be_made_is_broken_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    [finding] = look(Home(tmp_path / "file"), "folders")
    assert finding.status == "broken"
    assert "--home" in finding.fix


def test_run_folders_that_cannot_be_written_are_counted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "run-b" not in str(path) and may(path, mode))
    [finding] = [f for f in unhappy(home, "folders") if f.what == "run folders"]
    assert (finding.status, finding.found) == ("broken", "1 folder cannot be written: run-b")


def test_keys_that_others_may_read_are_said(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("hf_secret")
    token.chmod(0o644)
    monkeypatch.setattr("em_core.doctor.keys.token_file", lambda: token)
    [finding] = [f for f in unhappy(home, "folders") if f.what == "file with keys"]
    assert finding.fix == f"`chmod 600 {token}`"
    assert "hf_secret" not in str(finding)
    token.chmod(0o600)
    assert [f for f in unhappy(home, "folders") if f.what == "file with keys"] == []


def test_torn_ends_are_said_but_not_of_a_run_at_work(home: Home) -> None:
    made.append(home, "run-a", b'{"kind": "resp')
    [finding] = unhappy(home, "events")
    assert "1 file with a torn last line: runs/run-a/events/worker-1.jsonl" in finding.found
    with Lease(home.run_dir("run-a") / "lease") as lease:
        lease.acquire()
        assert unhappy(home, "events") == []


def test_zeros_after_a_power_cut_are_told_from_torn_lines(home: Home) -> None:
    made.append(home, "run-a", b"\0" * 300)
    [finding] = unhappy(home, "events")
    assert "zeros at the end" in finding.found


def test_an_event_file_nobody_may_read_is_broken(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def refuse(path: Path, *args: object, **options: object) -> object:
        if path.name == "worker-1.jsonl" and "run-b" in str(path):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    [finding] = unhappy(home, "events")
    assert finding.status == "broken"
    assert "run-b" in finding.found


def test_whole_checkpoints_are_counted_with_their_size(home: Home) -> None:
    publish_checkpoint(home, "run-a", 10)
    publish_checkpoint(home, "run-a", 20)
    [finding] = look(home, "checkpoints")
    assert finding.status == "ok"
    assert finding.found.startswith("2, 1.4 KiB")


def test_half_made_and_cut_checkpoints_are_said(home: Home) -> None:
    cut = publish_checkpoint(home, "run-a", 10) / "adapter_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:10])
    (publish_checkpoint(home, "run-a", 20) / checkpoint_folders.COMPLETE).unlink()
    (home.run_dir("run-b") / "checkpoints" / "step-999").mkdir(parents=True)
    (home.run_dir("run-b") / "spec.json").write_text("{}")
    found = {f.what: f for f in unhappy(home, "checkpoints")}
    assert found["checkpoints"].status == "broken"
    assert "run-a/checkpoints/step-10" in found["checkpoints"].found
    assert "2 folders without" in found["half-made checkpoints"].found


def test_a_changed_byte_is_found_by_its_digest_only_with_deep(home: Home) -> None:
    changed = publish_checkpoint(home, "run-a", 10) / "adapter_model.safetensors"
    changed.write_bytes(b"x" + changed.read_bytes()[1:])
    assert unhappy(home, "checkpoints") == []
    [finding] = unhappy(home, "checkpoints", deep=True)
    assert "step-10" in finding.found


def test_temporary_folders_of_killed_workers_are_removed_but_not_under_a_worker(home: Home) -> None:
    publish_checkpoint(home, "run-a", 10)
    left = home.run_dir("run-a") / "checkpoints" / ".step-20.4711.tmp"
    left.mkdir()
    (left / "half").write_bytes(b"x" * 5000)
    [finding] = unhappy(home, "checkpoints")
    assert finding.what == "temporary folders"
    with Lease(home.run_dir("run-a") / "lease") as lease:
        lease.acquire()
        [kept] = doctor.repair([finding])
        assert unhappy(home, "checkpoints") == []
    assert kept.status == "note"
    assert "run-a is at work" in kept.found
    assert left.exists()
    [done] = doctor.repair([finding])
    assert done.status == "fixed"
    assert not left.exists()
    assert checkpoint_folders.read_complete(home.run_dir("run-a") / "checkpoints" / "step-10")


def test_resume_states_are_sized_and_those_of_finished_runs_named(home: Home) -> None:
    publish_checkpoint(home, "run-a", 10, "resume")
    [kept] = [f for f in look(home, "checkpoints") if f.what == "resume states"]
    assert kept.status == "ok"
    made.write(home, "run-a", RunState("run", "finished"))
    [left] = [f for f in unhappy(home, "checkpoints") if f.what == "resume states"]
    assert "run-a/resume/step-10" in left.found
    assert left.repair is None


def test_events_of_the_future_show_that_the_clock_was_set_back(home: Home) -> None:
    path = home.run_dir("run-a") / "events" / "worker-1.jsonl"
    os.utime(path, (time.time() + 7200,) * 2)
    [finding] = unhappy(home, "clock")
    assert "events of 1 run (run-a) are of the future" in finding.found
    assert "run-a" in finding.found


def test_half_made_imports_and_old_trials_go_and_young_ones_stay(home: Home) -> None:
    old, young = home.runs / ".doctor-old", home.runs / ".doctor-young"
    imported = home.runs / ".importing-x"
    for folder in (old, young, imported):
        folder.mkdir()
    (imported / "lease").write_text("")
    for folder in (old, imported):
        os.utime(folder, (time.time() - 3600,) * 2)
    found = unhappy(home, "leftovers")
    assert [f.what for f in found] == ["half-made imports", "trials of the doctor"]
    assert {f.status for f in doctor.repair(found)} == {"fixed"}
    assert not old.exists()
    assert not imported.exists()
    assert young.exists()


def test_half_made_runs_are_left_alone_while_somebody_launches(home: Home) -> None:
    (home.runs / ".new-run-c").mkdir()
    [finding] = unhappy(home, "leftovers")
    with Lease(home.supervisor / "launch.lock") as lock:
        lock.acquire()
        assert unhappy(home, "leftovers") == []
        [kept] = doctor.repair([finding])
    assert kept.status == "note"
    assert (home.runs / ".new-run-c").exists()


def test_the_trash_is_sized_and_never_emptied(home: Home) -> None:
    deleted = home.runs / ".trash" / f"run-z.{int(time.time() * 1000)}"
    deleted.mkdir(parents=True)
    (deleted / "spec.json").write_text(json.dumps({"spec": {}}))
    [finding] = [f for f in look(home, "leftovers") if f.what == "trash"]
    assert finding.found.startswith("1 deleted run,")
    doctor.repair(doctor.check(home))
    assert deleted.exists()


def test_exports_of_ended_apps_are_said_and_one_that_just_begins_is_not(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("em-export-ended", "em-export-at-work", "em-export-begins"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "em-export-ended" / ".held").touch()
    with Lease(tmp_path / "em-export-at-work" / ".held") as lease:
        lease.acquire()
        [finding] = unhappy(home, "leftovers")
    assert finding.found.startswith("1 export of ended apps")
    assert finding.fix.endswith(f"`rm -r {tmp_path / 'em-export-ended'}`")
