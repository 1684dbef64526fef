"""A home in a temporary folder, real supervisors and real (fake-work) workers; everything started here is ended here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from em_core.home import PROJECT, Home
from em_core.lease import holder_pid
from em_core.spec import RunSpec
from em_core.supervisor.evidence import RunStatus, list_runs, run_status


class Bench:
    """One home and the processes of a test."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.home.prepare()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.data = root / "rows.jsonl"
        row = {"messages": [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine."}]}
        self.data.write_text("".join(json.dumps(row | {"id": str(i)}) + "\n" for i in range(40)))

    def spec(self, behaviour: str = "quick", seed: int = 0, **fields: Any) -> RunSpec:
        return RunSpec.model_validate(
            {"data": str(self.data), "experiment": behaviour, "name": f"run-{seed}", "train": {"seed": seed}, **fields}
        )

    def supervise(
        self, *, slots: str = "cpu,cpu", idle_s: float = 600, wait: bool = True, auto_resume: bool = False, **patience: float
    ) -> subprocess.Popen[bytes]:
        """Start a supervisor of fake workers; `patience` are fields of `watch.Patience`, in seconds."""
        environment = {**os.environ, "EM_SLOTS": slots, "EM_AUTO_RESUME": str(int(auto_resume))}
        if patience:
            environment["EM_TEST_PATIENCE"] = json.dumps(patience)
        with (self.home.supervisor / "test.out").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.supervisor.run_loop", "--home", str(self.home.root), "--idle-s", str(idle_s)],
                cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        self.processes.append(process)
        if wait:
            self.until(lambda: "started" in self.log(), "the supervisor to start")
        return process

    def log(self) -> str:
        path = self.home.supervisor / "supervisor.log"
        return path.read_text() if path.exists() else ""

    def status(self, run_id: str) -> RunStatus:
        return run_status(self.home.run_dir(run_id), with_pid=True)

    def states(self) -> list[str]:
        return [status.state for status in list_runs(self.home)]

    def until(self, condition: Callable[[], object], what: str, seconds: float = 30) -> None:
        give_up = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < give_up, f"waited {seconds} s for {what}; states {self.states()}; log:\n{self.log()}"
            time.sleep(0.03)

    def pid(self, run_id: str) -> int:
        """The worker's, once it has spoken."""
        self.until(lambda: self.status(run_id).state == "running" and self.status(run_id).pid, f"a worker of {run_id}")
        pid = self.status(run_id).pid
        assert pid is not None
        return pid

    def events(self, run_id: str, kind: str) -> list[dict[str, Any]]:
        files = sorted((self.home.run_dir(run_id) / "events").glob("*.jsonl"))
        lines = [line for file in files for line in file.read_text().splitlines()]
        return [event for event in map(json.loads, lines) if event["kind"] == kind]

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
        for folder in [*self.home.runs.glob("*"), self.home.supervisor]:
            if pid := holder_pid(folder / "lease"):
                with contextlib.suppress(psutil.Error):
                    command = psutil.Process(pid).cmdline()
                    if str(self.home.root) in " ".join(command):
                        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    try:
        yield made
    finally:
        made.end()
