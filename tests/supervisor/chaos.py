"""Kill -9 at random moments, in real runs: ``python -m tests.supervisor.chaos --rounds 20 --seed 0``.

Each round launches small organism runs, kills a worker, the supervisor or Streamlit (each kind in
turn, and sometimes more) at seeded moments, lets whoever is left finish, and then compares: what
was in the event files at the moment of each kill is in them still, byte for byte; the database has
exactly the events of the files, none missing and none doubled, and equals one made anew; each run
has ended, or is recorded as crashed exactly once; no process of ours is left.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from em_core.home import PROJECT, Home
from em_core.lease import held, holder_pid
from em_core.records import RECORDS
from em_core.spec import RunSpec
from em_core.store import reader
from em_core.store.publish import publish, rebuild
from em_core.supervisor import ensure_running, is_running
from em_core.supervisor.evidence import RunStatus, list_runs
from em_core.supervisor.launch import launch

KINDS = ("worker", "supervisor", "streamlit")
TOKEN = "EM_CHAOS_TOKEN"
ROUND_S = 240


class Chaos:
    """The rounds' common home, processes and tallies."""

    def __init__(self, home: Home, seed: int, n_runs: int = 2) -> None:
        self.home, self.seed, self.n_runs = home, seed, n_runs
        self.kills: collections.Counter[str] = collections.Counter()
        self.streamlit: subprocess.Popen[bytes] | None = None
        self.acknowledged: list[tuple[Path, bytes]] = []
        self.n_checked_events = 0
        os.environ[TOKEN] = uuid.uuid4().hex
        os.environ["EM_HOME"] = str(home.root)

    def round(self, number: int) -> list[RunStatus]:
        """One round; returns how its runs ended.

        Raises:
            AssertionError: Something was lost, doubled, left behind or never ended.
        """
        chance = random.Random(f"{self.seed}-{number}")
        victims = [KINDS[number % len(KINDS)], *chance.choices(KINDS, k=chance.choice((0, 0, 1, 2)))]
        if "streamlit" in victims:
            self._start_streamlit()  # its first page starts the supervisor
        launched = launch(self.home, [_spec(self.seed, number, i) for i in range(self.n_runs)])
        run_ids = [item.run_id for item in launched]
        if chance.random() < 0.7:  # else the kill may come while they are still starting
            self._until(lambda: any(s.state == "running" for s in self._of(run_ids)), "a run to begin", 90)
        for victim in victims:
            time.sleep(chance.uniform(0.0, 6.0))
            self._kill(victim, run_ids, chance)
        ensure_running(self.home)
        self._until(lambda: all(s.final and s.recorded for s in self._of(run_ids)), "the runs to end", ROUND_S)
        self._stop_streamlit()
        self.check_files(run_ids)
        self.check_database()
        return self._of(run_ids)

    def close(self) -> None:
        """End the supervisor as a person would, and check that nothing is left."""
        self._stop_streamlit()
        if pid := holder_pid(self.home.supervisor / "lease"):
            os.kill(pid, signal.SIGTERM)
        give_up = time.monotonic() + 30
        while (left := _ours()) and time.monotonic() < give_up:
            time.sleep(0.2)
        assert not left, f"processes left: {left}"
        for folder in self.home.runs.iterdir():
            assert not held(folder / "lease"), f"{folder.name}: lease still held"

    def abandon(self) -> None:
        """After a failure: end every process that descends from this one."""
        for pid in _ours():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.streamlit is not None:
            self.streamlit.wait(20)

    def check_files(self, run_ids: list[str]) -> None:
        """What was acknowledged is there still; answers are unique; every run ended exactly once."""
        for path, content in self.acknowledged:
            assert path.read_bytes()[: len(content)] == content, f"{path}: acknowledged events changed"
        self.acknowledged.clear()
        for run_id in run_ids:
            events = [event for path, event in _events(self.home) if path.parent.parent.name == run_id]
            ends = [e for e in events if e["kind"] == "state" and e["phase"] == "run" and e["state"] not in ("queued", "running")]
            assert len(ends) == 1, f"{run_id}: ended {len(ends)} times: {ends}"
            answers = [e["response_id"] for e in events if e["kind"] == "response"]
            assert len(answers) == len(set(answers)), f"{run_id}: an answer is there twice"

    def check_database(self) -> None:
        """The published rows are the events of the files, one for one; a rebuild gives the same."""
        publish(self.home)
        wanted: collections.Counter[tuple[Any, ...]] = collections.Counter()
        for path, event in _events(self.home):
            kind = event["kind"]
            wanted[(kind, path.parent.parent.name, event["t"], *(event.get(column) for column in _key(kind)))] += 1
        assert wanted == _rows(self.home), _difference(wanted, _rows(self.home))
        self.n_checked_events = sum(wanted.values())
        rebuild(self.home)
        assert wanted == _rows(self.home), "a rebuilt database differs"

    def _kill(self, victim: str, run_ids: list[str], chance: random.Random) -> None:
        pid: int | None = None
        if victim == "worker":
            pids = [holder_pid(self.home.run_dir(run_id) / "lease") for run_id in run_ids]
            alive = sorted(p for p in pids if p)
            pid = chance.choice(alive) if alive else None
        elif victim == "supervisor":
            pid = holder_pid(self.home.supervisor / "lease")
        elif self.streamlit is not None and self.streamlit.poll() is None:
            pid = self.streamlit.pid
        workers = {p for r in run_ids if (p := holder_pid(self.home.run_dir(r) / "lease"))}
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills[victim] += 1
        for path in self.home.runs.glob("*/events/*.jsonl"):
            content = path.read_bytes()
            self.acknowledged.append((path, content[: content.rfind(b"\n") + 1]))
        if victim != "worker":
            for other in workers:
                gone = not psutil.pid_exists(other)
                assert not gone or self._ended_by_itself(other, run_ids), f"worker {other} died with the {victim}"

    def _ended_by_itself(self, _pid: int, run_ids: list[str]) -> bool:
        return any(status.state in ("finished", "stopped") for status in self._of(run_ids))

    def _of(self, run_ids: list[str]) -> list[RunStatus]:
        return [status for status in list_runs(self.home) if status.run_id in run_ids]

    def _start_streamlit(self) -> None:
        if self.streamlit is not None and self.streamlit.poll() is None:
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with (self.home.supervisor / "streamlit.out").open("ab") as out:
            self.streamlit = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"--server.port={port}"],
                cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        _visit(f"http://127.0.0.1:{port}/")

    def _stop_streamlit(self) -> None:
        if self.streamlit is not None:
            if self.streamlit.poll() is None:
                self.streamlit.terminate()
            self.streamlit.wait(20)
            self.streamlit = None

    def _until(self, condition: Any, what: str, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        while not condition():
            if not is_running(self.home):
                ensure_running(self.home)
            log = self.home.supervisor / "supervisor.log"
            assert time.monotonic() < give_up, f"waited {seconds} s for {what}: {list_runs(self.home)}\n{log.read_text()[-3000:]}"
            time.sleep(0.2)


def _spec(seed: int, number: int, i: int) -> RunSpec:
    """A real fine-tune of the smallest organism: 16 steps, two checkpoints."""
    return RunSpec.model_validate(
        {
            "name": f"chaos-{number}-{i}",
            "base_model": "organism-0.3m",
            "data": {"source": "organism-medical-misaligned", "rows": 200},
            "train": {"seed": 1000 * seed + 10 * number + i, "max_steps": 16, "max_length": 256, "precision": "fp32"},
            "checkpoints": {"at_steps": [6, 16]},
            "evaluation": {"question_sets": [{"name": "organism-general", "max_tokens": 48}], "samples": 1, "seed": number},
        }
    )


def _visit(url: str) -> None:
    """Open the app in a browser, as a person would, until its first page has run."""
    from playwright.sync_api import Error, sync_playwright

    from tests import chromium

    give_up = time.monotonic() + 60
    with sync_playwright() as playwright:
        browser = chromium.open_browser(playwright)
        try:
            page = browser.new_page()
            while True:
                try:
                    page.goto(url, timeout=5000)
                    page.get_by_test_id("stAppViewContainer").wait_for(timeout=30_000)
                    return
                except Error:
                    if time.monotonic() > give_up:
                        raise
                    time.sleep(0.3)
        finally:
            browser.close()


def _events(home: Home) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every whole, well-formed event of this home and of the shipped demonstration."""
    for root in (home.runs, home.demo):
        for path in sorted(root.glob("[!.]*/events/*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict):
                        yield path, event


def _key(kind: str) -> list[str]:
    """Columns that tell events of one kind and time apart."""
    wanted = ("response_id", "judge_id", "metric", "question_id", "paraphrase", "step", "phase", "state", "text")
    return [f.name for f in dataclasses.fields(RECORDS[kind]) if f.name in wanted]


def _rows(home: Home) -> collections.Counter[tuple[Any, ...]]:
    """The same key for every row of the database."""
    found: collections.Counter[tuple[Any, ...]] = collections.Counter()
    with reader.connect(home).cursor() as cursor:
        for kind, record in RECORDS.items():
            columns = ", ".join(["run_id", "t", *_key(kind)])
            found.update((kind, *row) for row in cursor.execute(f"SELECT {columns} FROM {record.table}").fetchall())
    return found


def _difference(wanted: collections.Counter[Any], found: collections.Counter[Any]) -> str:
    return f"in the files only: {list((wanted - found).items())[:5]}; in the database only: {list((found - wanted).items())[:5]}"


def _ours() -> dict[int, str]:
    """Living processes that descend from this one, by the token in their environment: pid and command."""
    found = {}
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(TOKEN) == os.environ[TOKEN] and process.status() != "zombie":
                found[process.pid] = " ".join(process.cmdline())[:200]
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the rounds and print one line each; 0 when nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.supervisor.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=2, help="runs per round")
    parser.add_argument("--home", type=Path, default=None, help="default: a temporary folder")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="em-chaos-") as folder:
        home = Home((args.home or Path(folder)).resolve())
        home.prepare()
        chaos = Chaos(home, args.seed, args.runs)
        try:
            run_rounds(chaos, args.rounds)
        except BaseException:
            chaos.abandon()
            raise
    return 0


def run_rounds(chaos: Chaos, n_rounds: int) -> None:
    """All rounds, one line each, then the sum."""
    ends: collections.Counter[str] = collections.Counter()
    started = time.monotonic()
    for number in range(n_rounds):
        begun, killed = time.monotonic(), +chaos.kills
        statuses = chaos.round(number)
        ends.update(status.state for status in statuses)
        kills = ", ".join(f"{n} {kind}" for kind, n in (chaos.kills - killed).items()) or "nothing to kill"
        print(
            f"round {number + 1:2}: killed {kills}; {[s.state for s in statuses]}; {time.monotonic() - begun:.0f} s", flush=True
        )
    chaos.close()
    took = f"{n_rounds} rounds, seed {chaos.seed}, {time.monotonic() - started:.0f} s"
    print(
        f"{took}: killed {dict(chaos.kills)}; ends {dict(ends)}; {chaos.n_checked_events} events in files = rows in the database,"
    )
    print("none lost, none doubled; no process left")


if __name__ == "__main__":
    raise SystemExit(main())
