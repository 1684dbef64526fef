"""Why a worker died: what the marks, the kernel, the log and the exit code say."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from em_core.causes import KNOWN
from em_core.events import EventWriter
from em_core.home import PROJECT
from em_core.lease import boot_id
from em_core.records import RunState
from em_core.supervisor import failures, kernel, marks
from em_core.supervisor.evidence import run_status
from em_core.supervisor.launch import launch
from tests.supervisor.conftest import Bench


@pytest.fixture
def run_dir(bench: Bench) -> Path:
    """A run whose worker began its first attempt and is gone."""
    [launched] = launch(bench.home, [bench.spec()], start=False)
    folder = bench.home.run_dir(launched.run_id)
    (folder / "worker.log").write_text("No space left on device (of an earlier attempt)\n")
    marks.write_spawn(folder, 1, "cpu:0")
    with EventWriter(folder, "worker-1") as events:
        events.write(RunState("run", "running", attempt=1))
    return folder


def _classify(run_dir: Path, returncode: int | None = None, pid: int | None = None) -> failures.Failure:
    return failures.classify(run_dir, run_status(run_dir), returncode, pid)


def _log(run_dir: Path, text: str) -> None:
    with (run_dir / "worker.log").open("a") as file:
        file.write(text + "\n")


def _change_mark(run_dir: Path, **fields: object) -> None:
    mark = marks.last_spawn(run_dir) | fields
    (run_dir / "spawned").write_text(json.dumps(mark) + "\n")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "cuda_oom"),
        ("RuntimeError: CUDA error: out of memory", "cuda_oom"),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", "driver"),
        ("RuntimeError: CUDA error: device-side assert triggered", "bug"),
        ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "bug"),
        ("torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3356", "driver"),
        ("OSError: [Errno 28] No space left on device", "disk_full"),
        ("Traceback:\nMemoryError", "host_oom"),
        ("ValueError: something else", "bug"),
    ],
)
def test_log_of_this_attempt_tells_the_cause(run_dir: Path, text: str, cause: str) -> None:
    _log(run_dir, text)
    found = _classify(run_dir, 1)
    assert found.cause == cause
    assert "exit code 1" in found.reason
    assert text.split("\n")[-1][:40] in found.reason
    assert run_dir.name in found.hint


@pytest.mark.parametrize(
    ("number", "cause"),
    [(signal.SIGKILL, "killed"), (signal.SIGTERM, "killed"), (signal.SIGSEGV, "segfault"), (signal.SIGABRT, "segfault")],
)
def test_signal_tells_the_cause(run_dir: Path, number: signal.Signals, cause: str) -> None:
    found = _classify(run_dir, -number)
    assert (found.cause, number.name in found.reason) == (cause, True)


def test_worker_of_an_earlier_supervisor_that_vanished_was_killed(run_dir: Path) -> None:
    found = _classify(run_dir)
    assert found.cause == "killed"
    assert "without a last word" in found.reason
    assert f"resume {run_dir.name}" in found.hint


def test_another_boot_is_a_reboot_even_though_nothing_else_is_known(run_dir: Path) -> None:
    _change_mark(run_dir, boot_id="11111111-2222-3333-4444-555555555555")
    assert _classify(run_dir).cause == "reboot"
    assert KNOWN["reboot"].passing


def test_worker_started_by_hand_after_a_reboot_is_not_judged_by_an_older_mark(run_dir: Path) -> None:
    _change_mark(run_dir, boot_id="11111111-2222-3333-4444-555555555555")
    with EventWriter(run_dir, "worker-2") as events:
        events.write(RunState("run", "running", attempt=2))
    assert _classify(run_dir).cause == "killed"


def test_kill_while_an_oom_counter_rose_is_out_of_memory(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = "/sys/fs/cgroup/memory.events"
    _change_mark(run_dir, oom_kills={"host": 3, group: 0})
    monkeypatch.setattr(kernel, "messages_since", lambda _t: [])
    monkeypatch.setattr(kernel, "oom_kills", lambda: {"host": 3, group: 0})
    assert _classify(run_dir, -9).cause == "killed"
    monkeypatch.setattr(kernel, "oom_kills", lambda: {"host": 4, group: 0})
    found = _classify(run_dir, -9)
    assert found.cause == "host_oom"
    assert "likely" in found.reason, "somebody was killed, perhaps another process"
    monkeypatch.setattr(kernel, "oom_kills", lambda: {"host": 4, group: 1})
    assert "of its memory group" in _classify(run_dir, -9).reason
    assert _classify(run_dir, 1).cause == "bug", "an exit is no kill"


def test_kernel_log_that_names_the_worker_is_believed(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["Memory cgroup out of memory: Killed process 4711 (python) total-vm:1kB"]
    monkeypatch.setattr(kernel, "messages_since", lambda _t: lines)
    assert _classify(run_dir, -9, pid=4711).reason.startswith("the worker was killed by SIGKILL: the kernel killed it")
    assert _classify(run_dir, -9, pid=471).cause == "killed"
    lines[:] = ["NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, name=python, GPU has fallen off the bus."]
    found = _classify(run_dir, -6, pid=4711)
    assert found.cause == "driver"
    assert "Xid (PCI:0000:3b:00): 79" in found.reason


def test_launcher_that_lost_one_of_its_processes_says_by_which_signal(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _log(run_dir, "E1121 api.py:1002] failed (exitcode: -9) local_rank: 0 (pid: 4711) of binary: python\nTraceback:")
    monkeypatch.setattr(kernel, "messages_since", lambda _t: [])
    found = _classify(run_dir, 1)
    assert (found.cause, found.reason.startswith("the worker was killed by SIGKILL")) == ("killed", True)
    monkeypatch.setattr(kernel, "messages_since", lambda _t: ["Out of memory: Killed process 4711 (python) total-vm:1kB"])
    assert _classify(run_dir, 1).cause == "host_oom"


def test_note_of_the_supervisor_comes_first(run_dir: Path) -> None:
    marks.write_ending(run_dir, 1, "hang", "no sign of life for 30 minutes: it was ended")
    _log(run_dir, "CUDA out of memory")
    found = _classify(run_dir, -9)
    assert found.cause == "hang"
    assert found.reason.startswith("no sign of life for 30 minutes: it was ended; log:")
    marks.write_ending(run_dir, 7, "hang", "of another attempt")
    assert _classify(run_dir, -9).cause == "cuda_oom"


def test_worker_that_was_started_twice_and_said_nothing_never_began(bench: Bench) -> None:
    bench.supervise(auto_resume=True)
    [launched] = launch(bench.home, [bench.spec("die-early")], start=False)
    bench.until(lambda: bench.status(launched.run_id).recorded, "the second start to be the last")
    status = bench.status(launched.run_id)
    assert status.cause == "never_began"
    assert "2 times, with exit code 7 and wrote nothing" in status.reason


def test_what_really_kills_a_worker_is_named_in_its_events(bench: Bench) -> None:
    (bench.home.root / "said").write_text("RuntimeError: CUDA error: unspecified launch failure")
    bench.supervise()
    crash, driver = [
        item.run_id
        for item in launch(bench.home, [bench.spec("segfault"), bench.spec("say-and-die", 1, name="said")], start=False)
    ]
    bench.until(lambda: bench.status(crash).recorded and bench.status(driver).recorded, "both ends")
    assert (bench.status(crash).cause, bench.status(driver).cause) == ("segfault", "driver")
    assert "CUDA error:" in bench.status(driver).reason


def test_what_a_killed_worker_left_behind_is_ended_before_its_end_is_recorded(bench: Bench) -> None:
    bench.supervise(slots="cpu")
    stranger_of_another_run = launch(bench.home, [bench.spec("leave"), bench.spec("quick", 1)], start=False)[0].run_id
    run_dir = bench.home.run_dir(stranger_of_another_run)
    bench.until(lambda: (run_dir / "left").exists() and (run_dir / "left").read_text(), "the child")
    child = int((run_dir / "left").read_text())
    bench.until(lambda: bench.status(run_dir.name).recorded, "the crash")
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    assert "cannot be ended" not in bench.log()
    for signal_name in ("SIGTERM", "SIGKILL"):
        assert f"left processes [{child}] behind, sent {signal_name}" in bench.log()
    bench.until(lambda: "finished" in bench.states(), "the next run: the slot is free again")


def test_counters_of_this_machine_can_be_read() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip() != ""
    assert kernel.oom_kills()["host"] >= 0
    if os.access("/dev/kmsg", os.R_OK):
        assert len(kernel.messages_since(0.0)) >= len(kernel.messages_since(1e9)) == 0


def test_docs_say_of_every_cause_whether_it_is_resumed_by_itself() -> None:
    lines = (PROJECT / "docs" / "failures.md").read_text().splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    for cause, known in KNOWN.items():
        if cause != "automatic":
            assert ("resumed once" in rows[cause]) == known.passing, cause


def test_every_cause_has_words_and_a_command() -> None:
    for cause in KNOWN:
        if cause != "automatic":
            assert "`python -m em_core" in failures.hint(cause, "some-run"), cause  # type: ignore[arg-type]
    assert "--smaller-batch" in failures.hint("cuda_oom", "some-run")
    assert "logs some-run" in failures.hint("", "some-run")
