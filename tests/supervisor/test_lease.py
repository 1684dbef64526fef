"""The lease proves who works, whatever the records say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from em_core.errors import BadInput, Busy
from em_core.home import PROJECT
from em_core.lease import FD_VARIABLE, Lease, held, holder_pid

_HOLD = """
import sys, time
from pathlib import Path
from em_core.lease import Lease
with Lease.for_worker(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def _worker(run_dir: Path, lease: Lease | None = None) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    fds: tuple[int, ...] = ()
    if lease is not None:
        environment[FD_VARIABLE] = str(lease.fileno())
        fds = (lease.fileno(),)
    return subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(run_dir)], cwd=PROJECT, env=environment, pass_fds=fds, stdout=subprocess.PIPE, text=True
    )


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def test_second_taker_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "lease"), Lease(tmp_path / "lease")
    assert not held(tmp_path / "lease")
    assert first.acquire()
    assert held(tmp_path / "lease")
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def test_inherited_lease_has_no_gap_and_ends_with_sigkill(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease")
    assert lease.acquire()
    process = _worker(tmp_path, lease)
    try:
        lease.close_copy()
        seen = []
        give_up = time.monotonic() + 20
        ready = threading.Event()
        threading.Thread(target=lambda: (process.stdout and process.stdout.readline(), ready.set()), daemon=True).start()
        while not ready.is_set() and time.monotonic() < give_up:
            seen.append(held(tmp_path / "lease"))
        assert len(seen) > 100
        assert all(seen), "the lease was free for a moment while the worker was starting"
        assert holder_pid(tmp_path / "lease") == process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not held(tmp_path / "lease")
        assert holder_pid(tmp_path / "lease") is None
    finally:
        _end(process)


def test_worker_started_by_hand_takes_the_lease_itself_and_refuses_a_second(tmp_path: Path) -> None:
    process = _worker(tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Busy, match="another process works on this run"):
            Lease.for_worker(tmp_path)
    finally:
        _end(process)


def test_descriptor_of_another_file_is_not_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "other").open("w") as other:
        monkeypatch.setenv(FD_VARIABLE, str(other.fileno()))
        with Lease.for_worker(tmp_path) as lease:
            assert lease.fileno() != other.fileno()
            assert held(tmp_path / "lease")
    assert FD_VARIABLE not in os.environ


def test_adopted_lease_is_not_passed_on_to_children(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease")
    assert lease.acquire()
    copy = os.dup(lease.fileno())
    os.set_inheritable(copy, True)
    lease.close_copy()
    adopted = Lease(tmp_path / "lease")
    assert adopted.adopt(copy)
    assert not os.get_inheritable(copy)
    adopted.release()


def test_forked_child_does_not_keep_the_lease_of_its_killed_parent(tmp_path: Path) -> None:
    code = _HOLD.replace('print("held"', 'import os\n    if os.fork() == 0: time.sleep(60)\n    print("held"')
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        give_up = time.monotonic() + 10  # the child sleeps for 60 s; on a busy machine it may not even have begun to run
        while held(tmp_path / "lease") and time.monotonic() < give_up:
            time.sleep(0.02)
        assert not held(tmp_path / "lease")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        _end(process)


def test_recycled_pid_in_the_file_is_not_believed(tmp_path: Path) -> None:
    with Lease(tmp_path / "lease") as lease:
        assert lease.acquire()
        assert holder_pid(tmp_path / "lease") is None, "whoever hands the lease on is not its worker"
        lease.sign()
        assert holder_pid(tmp_path / "lease") == os.getpid()
        content = json.loads((tmp_path / "lease").read_text())
    for change in ({"create_time": content["create_time"] - 100}, {"boot_id": "another"}, {"pid": "x"}):
        (tmp_path / "lease").write_text(json.dumps(content | change))
        assert holder_pid(tmp_path / "lease") is None
        assert not held(tmp_path / "lease")


def test_probing_all_the_time_never_makes_a_taker_fail(tmp_path: Path) -> None:
    (tmp_path / "lease").touch()
    done = threading.Event()

    def probe() -> None:
        while not done.is_set():
            held(tmp_path / "lease")

    threads = [threading.Thread(target=probe) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            lease = Lease(tmp_path / "lease")
            assert lease.acquire()
            lease.release()
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_lease_of_a_folder_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be opened"):
        Lease(tmp_path / "gone" / "lease").acquire()
