"""Deleting: one rename under the lease, all or none; it comes back with its rows; nobody else's files are touched."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from em_core.errors import BadInput, Busy, Refused, WorkFailed
from em_core.events import EventWriter
from em_core.home import PROJECT, Home
from em_core.lease import Lease
from em_core.records import Response, RunFacts, RunState, response_id
from em_core.store import queries
from em_core.store.publish import publish
from em_core.supervisor import baselines, trash
from em_core.supervisor.evidence import list_runs, run_names
from em_core.supervisor.launch import launch
from tests.supervisor.conftest import Bench


def _finished(bench: Bench, seed: int = 0, baseline: str = "", **fields: object) -> str:
    """A run that has ended, with two answers."""
    [started] = launch(bench.home, [bench.spec(seed=seed, **fields)], start=False)
    with EventWriter(bench.home.run_dir(started.run_id), "worker-1") as events:
        events.write(RunState("run", "running", attempt=1))
        events.write(RunFacts(1, 1e-9, 40, 2, 4, 1, 2, baseline, "0" * 64, "cpu", "", "host", "{}", 1))
        for q in range(2):
            key = response_id(started.run_id, 4, "set", f"q{q}", 0, 0)
            events.write(Response(key, 4, "set", f"q{q}", 0, 0, "", "text", "stop", 1, 1, 0, "{}", "0" * 64))
        events.write(RunState("run", "finished", attempt=1), sync=True)
    return started.run_id


def _baseline(bench: Bench, name: str) -> Path:
    folder = bench.home.run_dir(name)
    with EventWriter(folder, "from-x-1") as events:
        events.write(RunState("run", "finished", attempt=1))
    return folder


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _rows(home: Home, run_id: str) -> tuple[int, int]:
    row = queries.run(home, run_id)
    return (0, 0) if row is None else (row["n_events"], row["n_responses"])


def test_a_deleted_run_is_gone_from_list_and_database_and_comes_back_whole(bench: Bench) -> None:
    first, second = _finished(bench, 0), _finished(bench, 1)
    publish(bench.home)
    before, files = _rows(bench.home, first), _tree(bench.home.run_dir(first))
    [entry] = trash.delete(bench.home, [first])
    assert (entry.run_id, entry.state, entry.label) == (first, "finished", "run-0")
    assert entry.size_bytes == trash.size_bytes(bench.home.runs / ".trash" / entry.name) > 0
    assert run_names(bench.home) == [second]
    assert (_rows(bench.home, first), _rows(bench.home, second)[1]) == ((0, 0), 2)
    assert [e.name for e in trash.entries(bench.home)] == [entry.name]
    [back] = trash.restore(bench.home, first)
    assert back.run_id == first
    assert trash.entries(bench.home) == []
    assert _tree(bench.home.run_dir(first)) == files | {"lease": b""}
    assert _rows(bench.home, first) == before
    assert {status.state for status in list_runs(bench.home)} == {"finished"}


def test_a_run_at_work_is_refused_and_then_none_goes(bench: Bench) -> None:
    done, busy = _finished(bench, 0), _finished(bench, 1)
    with Lease(bench.home.run_dir(busy) / "lease") as lease:
        assert lease.acquire()
        with pytest.raises(Busy, match="at work; nothing was deleted"):
            trash.delete(bench.home, [done, busy])
    assert sorted(run_names(bench.home)) == sorted([done, busy])
    assert trash.entries(bench.home) == []


def test_a_folder_that_got_busy_meanwhile_brings_the_others_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    done, base = _finished(bench, 0), _baseline(bench, "base-x-1")  # a baseline's state is not asked, only its lease
    with Lease(base / "lease") as lease:
        assert lease.acquire()
        with pytest.raises(Busy, match="base-x-1: at work"):
            trash.delete(bench.home, [done, "base-x-1"])
    assert run_names(bench.home) == [done]
    assert trash.entries(bench.home) == []


def test_a_run_that_others_start_from_is_kept_unless_said(bench: Bench) -> None:
    parent = _finished(bench, 0)
    child = _finished(bench, 1, parent={"run": parent, "step": 4})
    with pytest.raises(Busy, match=f"{parent}: {child} need it"):
        trash.delete(bench.home, [parent])
    assert len(trash.delete(bench.home, [parent, child])) == 2
    trash.restore(bench.home, child)
    trash.restore(bench.home, parent)
    assert len(trash.delete(bench.home, [parent], force=True)) == 1


def test_a_run_that_is_being_evaluated_is_kept_and_one_whose_evaluation_has_ended_goes(bench: Bench) -> None:
    run, job = _finished(bench, 0), bench.home.run_dir("job-1")
    with Lease(bench.home.run_dir(run) / "evaluate.lease") as lease:
        assert lease.acquire()
        with pytest.raises(Busy, match="at work"):
            trash.delete(bench.home, [run])
    with EventWriter(job, "launch") as events:
        events.write(RunState("run", "queued"))
    stored = json.loads((bench.home.run_dir(run) / "spec.json").read_text())
    (job / "spec.json").write_text(json.dumps(stored | {"kind": "evaluate", "target": {"kind": "run", "run_id": run}}))
    with pytest.raises(Busy, match=f"{run}: job-1 need it"):
        trash.delete(bench.home, [run])
    with EventWriter(job, "worker-1") as events:
        events.write(RunState("run", "finished", attempt=1))
    assert len(trash.delete(bench.home, [run])) == 1


def test_a_baseline_is_kept_while_a_run_names_it_then_offered_and_restored_with_the_run(bench: Bench) -> None:
    base = _baseline(bench, "base-x-1")
    run = _finished(bench, 0, baseline="base-x-1")
    assert baselines.unused(bench.home) == []
    with pytest.raises(Busy, match="take their step 0 from"):
        trash.delete(bench.home, ["base-x-1"])
    trash.delete(bench.home, [run])
    assert baselines.unused(bench.home) == ["base-x-1"]
    trash.delete(bench.home, ["base-x-1"])
    assert not base.exists()
    assert [e.run_id for e in trash.restore(bench.home, run)] == [run, "base-x-1"]
    assert base.is_dir()


def test_a_deleted_queued_run_leaves_the_queue_and_is_queued_again_when_restored(bench: Bench) -> None:
    [started] = launch(bench.home, [bench.spec()], start=False)
    trash.delete(bench.home, [started.run_id])
    assert list_runs(bench.home) == []
    trash.restore(bench.home, started.run_id)
    assert [status.state for status in list_runs(bench.home)] == ["queued"]


def test_emptying_frees_the_disk_and_says_how_much(bench: Bench) -> None:
    run, other = _finished(bench, 0), _finished(bench, 1)
    (bench.home.run_dir(run) / "weights").write_bytes(b"x" * 300_000)
    [entry] = trash.delete(bench.home, [run])
    trash.delete(bench.home, [other])
    freed = trash.empty(bench.home, [entry.name])
    assert freed == entry.size_bytes >= 300_000
    assert [e.run_id for e in trash.entries(bench.home)] == [other]
    assert trash.empty(bench.home) > 0
    assert list((bench.home.runs / ".trash").iterdir()) == []
    assert trash.empty(bench.home) == 0


def test_half_emptied_folders_are_never_offered_and_go_next_time(bench: Bench) -> None:
    [entry] = trash.delete(bench.home, [_finished(bench, 0)])
    folder = bench.home.runs / ".trash"
    os.rename(folder / entry.name, folder / f".gone-{entry.name}")  # killed at this point
    assert trash.entries(bench.home) == []
    with pytest.raises(BadInput, match="not in the trash"):
        trash.restore(bench.home, entry.name)
    assert trash.empty(bench.home) > 0
    assert list(folder.iterdir()) == []


def test_a_new_run_of_the_same_name_is_not_overwritten_by_restoring(bench: Bench) -> None:
    run = _finished(bench, 0)
    trash.delete(bench.home, [run])
    bench.home.run_dir(run).mkdir()
    with pytest.raises(Busy, match="there again"):
        trash.restore(bench.home, run)
    assert len(trash.entries(bench.home)) == 1


def test_the_same_name_twice_in_the_trash_gives_two_entries_and_the_last_comes_back_first(bench: Bench) -> None:
    run = _finished(bench, 0)
    trash.delete(bench.home, [run])
    assert _finished(bench, 0) == run
    [second] = trash.delete(bench.home, [run])
    assert len({e.name for e in trash.entries(bench.home)}) == 2
    assert trash.restore(bench.home, run)[0].name == second.name


def test_several_come_back_at_once_each_shared_step_0_once_or_none_of_them(bench: Bench) -> None:
    _baseline(bench, "base-x-1")
    runs = [_finished(bench, seed, baseline="base-x-1") for seed in range(2)]
    trash.delete(bench.home, [*runs, "base-x-1"])
    publish(bench.home)
    with pytest.raises(BadInput, match="'nobody' is not in the trash"):
        trash.restore(bench.home, runs[0], "nobody")
    assert list_runs(bench.home) == []
    assert [e.run_id for e in trash.restore(bench.home, *runs, "base-x-1")] == [runs[0], "base-x-1", runs[1]]
    assert trash.entries(bench.home) == []
    assert [_rows(bench.home, run)[1] for run in runs] == [2, 2]


def test_a_home_without_its_supervisor_folder_is_no_obstacle(bench: Bench, tmp_path: Path) -> None:
    run = _finished(bench, 0)
    shutil.rmtree(bench.home.supervisor)
    trash.delete(bench.home, [run])
    shutil.rmtree(bench.home.supervisor)
    assert [entry.run_id for entry in trash.restore(bench.home, run)] == [run]
    with pytest.raises(BadInput, match="'nothing' is not in the trash"):
        trash.restore(Home(tmp_path / "new"), "nothing")


def test_two_deletions_of_one_name_cannot_both_come_back(bench: Bench) -> None:
    run = _finished(bench, 0)
    trash.delete(bench.home, [run])
    _finished(bench, 0)
    trash.delete(bench.home, [run])
    with pytest.raises(Busy, match="deleted more than once"):
        trash.restore(bench.home, *(e.name for e in trash.entries(bench.home)))
    assert run_names(bench.home) == []
    assert trash.restore(bench.home, run, run)[0].run_id == run, "named twice, it comes back once"


@pytest.mark.parametrize("name", ["../x", ".trash", "", "a/b", "..", "x\n"])
def test_names_cannot_leave_the_folder_of_runs(bench: Bench, name: str) -> None:
    with pytest.raises(BadInput):
        trash.delete(bench.home, [name])
    with pytest.raises(BadInput):
        trash.restore(bench.home, name)
    with pytest.raises(BadInput):
        trash.empty(bench.home, [name])


def test_links_are_never_followed(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "events").mkdir(parents=True)
    (outside / "precious").write_text("precious")
    (bench.home.runs / "linked").symlink_to(outside)
    with pytest.raises(BadInput, match="is a link"):
        trash.delete(bench.home, ["linked"])
    run = _finished(bench, 0)
    (bench.home.run_dir(run) / "inside").symlink_to(outside)
    trash.delete(bench.home, [run])
    trash.empty(bench.home)
    evil = _finished(bench, 1)
    (bench.home.run_dir(evil) / "lease").unlink(missing_ok=True)
    (bench.home.run_dir(evil) / "lease").symlink_to(outside / "precious")
    with pytest.raises(BadInput, match="its lease is a link"):
        trash.delete(bench.home, [evil])
    assert (outside / "precious").read_text() == "precious"


def test_a_trash_that_leads_elsewhere_is_refused(bench: Bench, tmp_path: Path) -> None:
    run = _finished(bench, 0)
    (tmp_path / "elsewhere").mkdir()
    (bench.home.runs / ".trash").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="is a link"):
        trash.delete(bench.home, [run])
    assert trash.entries(bench.home) == []
    assert run_names(bench.home) == [run]


def test_what_lies_in_the_trash_by_other_names_is_left_alone(bench: Bench) -> None:
    folder = bench.home.runs / ".trash"
    for name in ("note.txt", "x.notanumber", "..1", ".hidden.1", f"x.{'9' * 40}"):
        (folder / name).mkdir(parents=True)
    assert trash.entries(bench.home) == []
    assert trash.empty(bench.home) == 0
    assert len(list(folder.iterdir())) == 5


def test_the_demonstration_and_what_is_no_run_cannot_be_deleted(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    shipped = sorted(path.name for path in home.demo.iterdir() if path.is_dir())[0]
    with pytest.raises(Refused, match="demonstration"):
        trash.delete(home, [shipped])
    (home.runs / "mine").mkdir()
    with pytest.raises(BadInput, match="no run"):
        trash.delete(home, ["mine"])
    with pytest.raises(BadInput, match="unknown"):
        trash.delete(home, ["nothing"])


def test_a_read_only_demonstration_deletes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _finished(bench, 0)
    monkeypatch.setenv("EM_READONLY", "1")
    for refused in (
        lambda: trash.delete(bench.home, [run]),
        lambda: trash.restore(bench.home, run),
        lambda: trash.empty(bench.home),
    ):
        with pytest.raises(Refused):
            refused()


def test_what_cannot_be_removed_is_said_with_what_was_freed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    trash.delete(bench.home, [_finished(bench, 0)])

    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(trash.shutil, "rmtree", denied)
    with pytest.raises(WorkFailed, match=r"Permission denied\); 0.0 MiB were freed"):
        trash.empty(bench.home)


def test_a_full_disk_keeps_the_deletion_though_the_database_cannot_follow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _finished(bench, 0)
    publish(bench.home)

    def full(home: Home) -> None:
        raise WorkFailed("disk full", "free some")

    monkeypatch.setattr(trash, "publish", full)
    trash.delete(bench.home, [run])
    assert run_names(bench.home) == []
    monkeypatch.undo()
    publish(bench.home)
    assert _rows(bench.home, run) == (0, 0)


def test_an_entry_with_a_hostile_spec_is_still_listed(bench: Bench) -> None:
    run = _finished(bench, 0)
    (bench.home.run_dir(run) / "spec.json").write_text(json.dumps({"spec": [1], "label": {"a": 1}}))
    [entry] = trash.delete(bench.home, [run])
    assert entry.run_id == run


def test_killed_while_deleting_every_run_is_whole_in_one_place(bench: Bench) -> None:
    runs = [item.run_id for item in launch(bench.home, [bench.spec(seed=seed) for seed in range(40)], start=False)]
    files = {run_id: set(_tree(bench.home.run_dir(run_id))) for run_id in runs}
    code = (
        "import sys; from em_core.home import Home; from em_core.supervisor import trash; "
        "trash.delete(Home.find(sys.argv[1]), sys.argv[2:])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(bench.home.root), *runs], cwd=PROJECT)
    folder = bench.home.runs / ".trash"
    bench.until(lambda: folder.is_dir() and any(folder.iterdir()), "the first run to be moved")
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    moved = {entry.run_id: folder / entry.name for entry in trash.entries(bench.home)}
    assert set(moved) | set(run_names(bench.home)) == set(runs)
    assert not set(moved) & set(run_names(bench.home))
    for run_id in runs:
        place = moved.get(run_id, bench.home.run_dir(run_id))
        assert set(_tree(place)) - {"lease"} == files[run_id], run_id
    assert trash.empty(bench.home) > 0
