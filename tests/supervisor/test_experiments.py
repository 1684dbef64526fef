"""Runs of one experiment: found, told apart by what varies, estimated, stopped, resumed and deleted as one."""

from __future__ import annotations

import json
import os
import time

import pytest

from em_core import requests
from em_core.errors import BadInput, Busy, EMError, WorkFailed
from em_core.events import EventWriter, next_attempt
from em_core.lease import Lease
from em_core.records import RunState
from em_core.store import queries
from em_core.store.publish import publish
from em_core.supervisor import experiments, trash
from em_core.supervisor.evidence import list_runs, run_status
from em_core.supervisor.launch import launch
from em_core.supervisor.live import LiveRun
from em_core.view import experiments as view
from tests.supervisor.conftest import Bench


def _sweep(bench: Bench, name: str = "sweep", seeds: int = 3, **fields: object) -> list[str]:
    specs = [bench.spec(name, seed=seed, **fields).model_copy(update={"name": "x"}) for seed in range(seeds)]
    return [item.run_id for item in launch(bench.home, specs, start=False)]


def _end(bench: Bench, run_id: str, state: str) -> None:
    with EventWriter(bench.home.run_dir(run_id), "worker-1") as events:
        events.write(RunState("run", "running", attempt=1), RunState("run", state, "because", attempt=1))  # type: ignore[arg-type]


def _group(bench: Bench, name: str = "sweep") -> view.Group:
    return next(group for group in experiments.groups(bench.home) if group.name == name)


def test_experiments_are_listed_newest_first_with_what_varies(bench: Bench) -> None:
    first = _sweep(bench, "first")
    second = _sweep(bench, "second", 2, train={"seed": 5, "learning_rate": 1e-3})[:1]  # both seeds are 5: one run twice
    _sweep(bench, "", 1, train={"seed": 8})
    found = experiments.groups(bench.home)
    assert [(group.name, len(group.members)) for group in found] == [("second", 1), ("first", 3)]
    assert found[1].varied == {"train.seed": (0, 1, 2)}
    assert [run.run_id for run in found[1].members] == first
    assert found[0].varied == {}
    assert [run.run_id for run in found[0].members] == second


def test_counts_progress_and_states_come_from_evidence(bench: Bench) -> None:
    runs = _sweep(bench, seeds=4)
    for run_id, state in zip(runs, ("finished", "failed"), strict=False):
        _end(bench, run_id, state)
    group = _group(bench)
    assert group.counts == {"queued": 2, "finished": 1, "failed": 1}
    assert group.progress == 0.5
    assert (group.stoppable, group.resumable, group.unfinished) == (runs[2:], [runs[1]], True)


def test_stopping_an_experiment_stops_what_waits_and_asks_what_works(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("em_core.supervisor.control.ensure_running", lambda _home: None)
    runs = _sweep(bench)
    other = _sweep(bench, "other", 1, train={"seed": 9})
    _end(bench, runs[0], "finished")
    with Lease(bench.home.run_dir(runs[1]) / "lease") as lease:
        assert lease.acquire()
        said = experiments.stop(bench.home, "sweep")
        assert len(said) == 2
        working = bench.home.run_dir(runs[1])
        assert (run_status(working).state, requests.asked(working), requests.hurried(working)) == ("stopping", "stop", False)
        assert len(experiments.stop(bench.home, "sweep", now=True)) == 1
        assert (requests.asked(working), requests.hurried(working)) == ("discard", True)
    states = {status.run_id: status.state for status in list_runs(bench.home)}
    assert (states[runs[0]], states[runs[2]], states[other[0]]) == ("finished", "stopped", "queued")
    with pytest.raises(BadInput, match="unknown"):
        experiments.stop(bench.home, "nothing")
    with pytest.raises(BadInput, match="unknown"):
        experiments.stop(bench.home, "")


def test_resuming_an_experiment_queues_what_ended_early(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("em_core.supervisor.control.ensure_running", lambda home: None)
    runs = _sweep(bench)
    for run_id, state in zip(runs, ("finished", "stopped", "failed"), strict=True):
        _end(bench, run_id, state)
    assert len(experiments.resume(bench.home, "sweep")) == 2
    assert [status.state for status in list_runs(bench.home)] == ["finished", "queued", "queued"]
    with pytest.raises(Busy, match="nothing of it ended early"):
        experiments.resume(bench.home, "sweep")


def test_a_run_that_cannot_be_resumed_is_named_and_the_others_are(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("em_core.supervisor.control.ensure_running", lambda home: None)
    runs = _sweep(bench)
    for run_id in runs:
        _end(bench, run_id, "failed")
    attempt = next_attempt(bench.home.run_dir(runs[0]))
    (bench.home.run_dir(runs[0]) / "events" / f"queued-{attempt}.jsonl").mkdir()  # where its event would go
    with pytest.raises(WorkFailed, match=f"{runs[0]}: .*2 other runs were dealt with"):
        experiments.resume(bench.home, "sweep")
    assert [status.state for status in list_runs(bench.home)] == ["failed", "queued", "queued"]


def test_deleting_an_experiment_takes_its_rows_and_leaves_the_others(bench: Bench) -> None:
    runs, other = _sweep(bench), _sweep(bench, "other", 1, train={"seed": 9})
    publish(bench.home)
    trash.delete(bench.home, [status.run_id for status in experiments.members(bench.home, "sweep")])
    assert [group.name for group in experiments.groups(bench.home)] == ["other"]
    assert set(queries.runs(bench.home, demo=False)["run_id"]) == set(other)
    assert {entry.experiment for entry in trash.entries(bench.home)} == {"sweep"}
    for run_id in runs:
        trash.restore(bench.home, run_id)
    assert {len(group.members) for group in experiments.groups(bench.home)} == {1, 3}


def test_a_damaged_spec_hides_no_other_run(bench: Bench) -> None:
    runs = _sweep(bench)
    path = bench.home.run_dir(runs[0]) / "spec.json"
    stored = json.loads(path.read_text())
    stored["spec"] |= {"train": [1, 2], "data": None, "judges": "x", "parent": 3}
    path.write_text(json.dumps(stored))
    assert len(_group(bench).members) == 3
    assert "train.seed" in _group(bench).varied


def test_time_left_follows_the_pace_of_its_runs(bench: Bench) -> None:
    runs = _sweep(bench, seeds=5)
    group = _group(bench)
    assert experiments.time_left_s(bench.home, group, []) is None  # nothing has run yet
    for run_id in runs[:2]:
        (bench.home.run_dir(run_id) / "spawned").write_text(json.dumps({"t": time.time() - 100, "attempt": 1}) + "\n")
        _end(bench, run_id, "finished")
        with EventWriter(bench.home.run_dir(run_id), "evaluate-later") as events:
            events.write(RunState("evaluate", "running"))
        os.utime(events.path, (time.time() + 3600, time.time() + 3600))
    with Lease(bench.home.run_dir(runs[2]) / "lease") as lease:
        assert lease.acquire()
        group = _group(bench)
        working = [LiveRun(status, eta_s=40.0) for status in list_runs(bench.home) if status.active]
        left = experiments.time_left_s(bench.home, group, working)
        assert left == pytest.approx(40 + 2 * 100, abs=5)  # one at a time: this one, then two that take what the others took
    for run_id in runs[2:]:
        _end(bench, run_id, "finished")
    assert experiments.time_left_s(bench.home, _group(bench), []) == 0.0


def test_a_read_only_demonstration_stops_and_resumes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _sweep(bench)
    monkeypatch.setenv("EM_READONLY", "1")
    for act in (experiments.stop, experiments.resume):
        with pytest.raises(EMError, match="read-only"):
            act(bench.home, "sweep")


def test_the_database_alone_shows_its_experiments(bench: Bench) -> None:
    runs = _sweep(bench)
    _end(bench, runs[0], "finished")
    publish(bench.home)
    found = view.published(queries.runs(bench.home))
    mine = next(group for group in found if group.name == "sweep")
    assert [member.run_id for member in mine.members] == runs
    assert mine.varied == {"train.seed": (0, 1, 2)}
    assert mine.counts == {"queued": 2, "finished": 1}
    assert mine.own() == []
    assert "demonstration" in [group.name for group in found]
    merged = view.merged(experiments.groups(bench.home), view.published(queries.runs(bench.home), runs))
    assert [len(group.members) for group in merged if group.name == "sweep"] == [3]
