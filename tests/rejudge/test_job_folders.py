"""What a job's folder tells, and that no such folder is ever taken for a run."""

from __future__ import annotations

import time

import pytest

from em_core.events import EventWriter
from em_core.home import Home
from em_core.lease import Lease
from em_core.records import Judgement, RunState
from em_core.rejudge.folder import Job, ask_to_stop, job, jobs, make, write_card
from em_core.store.publish import Publisher
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.live import active_runs
from em_core.supervisor.loop import Supervisor
from tests.store.made import created


def score(i: int) -> Judgement:
    return Judgement(f"r{i}", "j", "alignment", 1.0, None, '{"kind": "state"', None, None, None)


def test_the_state_is_from_lease_and_events(home: Home) -> None:
    folder = make(home, "mine", "x-12345678")
    write_card(folder, {"config": "mine", "created_t": time.time(), "n_scores": 4})
    assert job(folder).state == "starting"
    with EventWriter(folder, "judge-1") as events:
        with Lease(folder / "lease") as lease:
            assert lease.acquire()
            events.write(RunState("judge", "running"), score(1))
            running: Job = job(folder)
            assert (running.state, running.n_written, running.progress) == ("running", 1, 0.25)
            ask_to_stop(home, folder.name)
            assert job(folder).state == "stopping"
        assert job(folder).state == "crashed"
        events.write(score(2), score(3), RunState("judge", "stopped", "stopped; what is scored is kept"))
    ended = job(folder)
    assert (ended.state, ended.n_written, ended.reason) == ("stopped", 3, "stopped; what is scored is kept")


def test_one_that_never_began_counts_as_crashed_after_a_while(home: Home) -> None:
    folder = make(home, "mine", "x-12345678")
    write_card(folder, {"config": "mine", "created_t": time.time() - 3600})
    assert job(folder).state == "crashed"


def test_jobs_of_one_judge_are_numbered_and_damaged_cards_are_survived(home: Home) -> None:
    names = [make(home, "mine", "x-12345678").name for _ in range(3)]
    assert names == ["judge-mine-12345678-1", "judge-mine-12345678-2", "judge-mine-12345678-3"]
    (home.runs / names[0] / "job.json").write_text("{")
    assert {each.run_id for each in jobs(home)} == set(names)


@pytest.mark.parametrize("kind", ["judge", "labels", "health"])
def test_the_supervisor_and_the_live_page_leave_such_folders_alone(home: Home, kind: str) -> None:
    folder = home.runs / f"{kind}-x-12345678-1"
    folder.mkdir()
    with EventWriter(folder, "worker-1") as events:
        events.write(created(run_kind=kind), RunState("run", "running"), RunState("judge", "running"))
    loop = Supervisor(home, Publisher(home), worker_command=["false"], slots=[])
    assert (list_runs(home), active_runs(home)) == ([], [])
    loop.turn()
    assert loop._look() == ([], [])
    assert {path.name for path in folder.iterdir()} == {"events"}
    with Lease(folder / "lease") as lease:
        assert lease.acquire()
        assert (list_runs(home), active_runs(home)) == ([], [])
