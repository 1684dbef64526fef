"""What a run's folder says about its state."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from em_core.events import EventWriter
from em_core.lease import Lease
from em_core.records import RunFacts, RunState, TrainMetric
from em_core.supervisor.evidence import list_runs, run_status
from em_core.supervisor.launch import launch
from em_core.supervisor.logs import log_tail
from tests.supervisor.conftest import Bench
from tests.supervisor.fake_worker import answer


@pytest.fixture
def run_dir(bench: Bench) -> Path:
    [launched] = launch(bench.home, [bench.spec()], start=False)
    return bench.home.run_dir(launched.run_id)


def _metric(step: int) -> TrainMetric:
    return TrainMetric(step, 0.1, 1.5, 1e-4, 0.5, 100.0, None)


def _facts(total: int) -> RunFacts:
    return RunFacts(10, 0.001, 40, 10, total, 2, 20, "", "sha", "cpu", "", "host", "{}", 1)


def test_state_follows_lease_and_events(run_dir: Path) -> None:
    assert run_status(run_dir).state == "queued"
    with Lease(run_dir / "lease") as lease, EventWriter(run_dir, "worker-1") as events:
        lease.acquire()
        lease.sign()
        assert run_status(run_dir).state == "starting"
        events.write(
            RunState("run", "running", attempt=1), RunState("train", "running", attempt=1), _facts(30), _metric(1), _metric(2)
        )
        status = run_status(run_dir, with_pid=True)
        assert (status.state, status.step, status.total_steps, status.attempt) == ("running", 2, 30, 1)
        assert status.pid is not None
        (run_dir / "control").mkdir()
        (run_dir / "control" / "stop").touch()
        assert run_status(run_dir).state == "stopping"
        events.write(
            RunState("train", "finished", attempt=1), RunState("judge", "failed", "endpoint down", "check it", attempt=1)
        )
        events.write(RunState("run", "finished", attempt=1))
    status = run_status(run_dir)
    assert (status.state, status.recorded) == ("finished", True)
    assert status.phases == {"train": "finished", "judge": "failed"}


def test_run_that_has_ended_is_not_at_work_while_a_supervisor_looks_after_it(run_dir: Path) -> None:
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "finished", attempt=1))
    with Lease(run_dir / "lease") as lease:
        assert lease.acquire()
        assert run_status(run_dir).state == "finished"
        lease.sign()  # as a worker does: it has said its last word and is about to end
        assert run_status(run_dir).state == "running"


def test_worker_that_begins_while_it_is_looked_at_has_not_failed(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1))
    probes = iter([False, True])  # it took its lease right after the first look
    monkeypatch.setattr("em_core.lease.run_held", lambda _run_dir: next(probes))
    status = run_status(run_dir)
    assert (status.state, status.cause, status.reason) == ("running", "", "")


def test_worker_that_vanished_is_crashed_with_its_log_as_reason(run_dir: Path) -> None:
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1), RunState("train", "running", attempt=1))
    (run_dir / "worker.log").write_text("loading\n\x1b[31mout of memory\x1b[0m\n")
    status = run_status(run_dir)
    assert (status.state, status.recorded, status.phases) == ("crashed", False, {"train": "crashed"})
    assert "loading | out of memory" in status.reason
    assert "\x1b" not in status.reason


def test_two_starts_without_a_word_are_a_crash_and_one_is_not(run_dir: Path) -> None:
    mark = json.dumps({"t": 1.0, "attempt": 1, "slot": "cpu:0"}) + "\n"
    (run_dir / "spawned").write_text(mark)
    assert run_status(run_dir).state == "queued"
    (run_dir / "spawned").write_text(mark + '{"torn')
    assert run_status(run_dir).state == "queued"
    (run_dir / "spawned").write_text(mark + mark)
    assert run_status(run_dir).state == "crashed"
    assert "started 2 times and wrote nothing" in run_status(run_dir).reason


def test_later_attempt_wins_even_when_the_clock_went_back(run_dir: Path) -> None:
    with EventWriter(run_dir, "worker-1") as events:
        events.write(
            RunState("run", "running", attempt=1),
            RunState("train", "failed", attempt=1),
            RunState("run", "failed", "x", attempt=1),
        )
    line = {"kind": "state", "t": 5.0, "phase": "run", "state": "running", "reason": "", "hint": "", "attempt": 2}
    (run_dir / "events" / "worker-2.jsonl").write_text(json.dumps(line) + "\n")
    with Lease(run_dir / "lease") as lease:
        lease.acquire()
        status = run_status(run_dir)
    assert (status.state, status.attempt, status.phases) == ("running", 2, {})


@pytest.mark.parametrize("n_between", [0, 3, 3000])
def test_big_file_read_from_its_end_says_the_same_as_read_as_it_grew(run_dir: Path, n_between: int) -> None:
    path = run_dir / "events" / "worker-1.jsonl"
    with EventWriter(run_dir, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1), _facts(30), RunState("train", "running", attempt=1), _metric(1))
        run_status(run_dir)
        events.write(RunState("evaluate", "failed", "disk", attempt=1))
        events.write(*(answer(i, 1) for i in range(n_between)))
        run_status(run_dir)
        events.write(_metric(7), *(answer(i, 1) for i in range(n_between)))
    with path.open("ab") as file:
        file.write(b'{"kind": "metric", "t": 1, "step": 9')
    grown = run_status(run_dir)
    copy = path.read_bytes()
    path.unlink()
    path.write_bytes(copy)  # another inode: read anew, from its end
    assert run_status(run_dir) == run_status(run_dir)
    anew = run_status(run_dir)
    for status in (grown, anew):
        assert (status.step, status.total_steps, status.phases) == (7, 30, {"train": "crashed", "evaluate": "failed"})
    with EventWriter(run_dir, "worker-1") as events:
        events.write(_metric(8), *(answer(i, 1) for i in range(n_between)))
        events.write(*(RunState(phase, "finished", attempt=1) for phase in ("train", "evaluate", "judge", "run")))
    for _ in range(2):
        status = run_status(run_dir)
        assert (status.step, status.total_steps, status.state) == (8, 30, "finished")
        shutil.copy(path, path.with_suffix(".copy"))
        path.with_suffix(".copy").replace(path)


def test_damaged_marks_and_states_count_for_nothing(run_dir: Path) -> None:
    (run_dir / "spawned").write_text('{"t": 1}\n[]\n{"attempt": "2"}\n{"attempt": null}\nnull\n')
    (run_dir / "events" / "worker-1.jsonl").write_text(
        '{"kind": "state", "phase": "run"}\n{"kind": "state", "phase": "run", "state": null}\n{"kind": "state", "t": []}\n'
    )
    status = run_status(run_dir)
    assert (status.state, status.spawns) == ("queued", 0)


def test_folder_with_a_broken_spec_is_listed_and_spoils_nothing(bench: Bench, run_dir: Path) -> None:
    (bench.home.runs / "broken").mkdir()
    (bench.home.runs / "broken" / "spec.json").write_text("{")
    (bench.home.runs / "no-spec").mkdir()
    (bench.home.runs / "file").touch()
    assert [s.run_id for s in list_runs(bench.home)] == ["broken", run_dir.name]


def test_log_tail_is_inert_text(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\r\n 10%\r 20%\r\x1b]0;title\x07b\x1b[2J\x00\xff\n\xe2\x80\xae<script>\n")
    assert log_tail(tmp_path / "log") == "a\nb\ufffd\n<script>"
    assert log_tail(tmp_path / "missing") == ""


def test_thousand_runs_are_listed_in_less_than_300_ms(bench: Bench) -> None:
    spec = json.dumps({"spec": bench.spec().model_dump(mode="json"), "created_t": 1.0, "spec_hash": "x"})
    with EventWriter(bench.home.runs / "first", "worker-1") as events:
        events.write(
            RunState("run", "running", attempt=1), *(answer(i, 1) for i in range(100)), RunState("run", "finished", attempt=1)
        )
    lines = (bench.home.runs / "first" / "events" / "worker-1.jsonl").read_bytes()
    for i in range(1000):
        folder = bench.home.runs / f"r{i}"
        (folder / "events").mkdir(parents=True)
        (folder / "events" / "worker-1.jsonl").write_bytes(lines)
        (folder / "spec.json").write_text(spec)
        (folder / "lease").touch()
    list_runs(bench.home)
    best = min(_timed(bench) for _ in range(5))
    assert best < 0.3, f"{best * 1000:.0f} ms"


def _timed(bench: Bench) -> float:
    started = time.process_time()  # the machine may be busy with others
    assert len(list_runs(bench.home)) == 1000
    return time.process_time() - started
