"""Kill -9 at seeded moments, in real runs: ``python -m tests.supervisor.chaos --rounds 200 --seed 0 --jobs 2``.

Each round launches one or two small organism runs and kills a worker, the supervisor, Streamlit or all
three at once (each kind in turn, sometimes another victim after it). The moment is a seeded number of
events that the run has written, so that kills fall into loading, training, saving, sampling and judging
however fast the machine is. A killed run is resumed by itself once, and after that by this script, as a
person would. Then: what was in the event files at the moment of each kill is in them still, byte for
byte; the database has exactly the events of the files; each attempt ended exactly once, with a cause;
no process is left; and a run that was interrupted has the very weights of one that was not.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from em_core.checkpoints import complete_checkpoints
from em_core.home import PROJECT, Home
from em_core.lease import held, holder_pid
from em_core.spec import RunSpec
from em_core.supervisor import control, ensure_running, is_running
from em_core.supervisor.evidence import RunStatus, list_runs, run_status
from em_core.supervisor.launch import launch
from em_core.supervisor.requeue import settled
from tests.supervisor import chaos_checks

KINDS = ("worker", "supervisor", "streamlit", "all")
TOKEN = "EM_CHAOS_TOKEN"
ROUND_S = 300
LAST_STEP = 12
ALL_ROUNDS_EVERY = 10
"""The whole database is compared, and made anew, every so many rounds and at the end; else the round's own runs."""


class Chaos:
    """The rounds' common home, processes and tallies.

    Args:
        home: Where.
        seed: Decides who is killed when.
        n_train_seeds: Runs differ in so many training seeds; each has an uninterrupted run to be compared with.
    """

    def __init__(self, home: Home, seed: int, n_train_seeds: int = 2) -> None:
        self.home, self.seed, self.n_train_seeds = home, seed, n_train_seeds
        self.tally: collections.Counter[str] = collections.Counter()
        self.streamlit: subprocess.Popen[bytes] | None = None
        self.n_events = 0  # of an uninterrupted run
        self.adapters: dict[int, str] = {}
        self._playwright: Any = None
        self._browser: Any = None
        os.environ[TOKEN] = uuid.uuid4().hex
        os.environ.update(EM_HOME=str(home.root), EM_NO_DEMO="1", EM_SLOTS="2", OMP_NUM_THREADS="1")

    def reference(self) -> None:
        """Uninterrupted runs, to compare the others with: one for each training seed."""
        launched = launch(self.home, [_spec(train_seed, 0, "reference") for train_seed in range(self.n_train_seeds)])
        run_ids = [item.run_id for item in launched]
        self._until(lambda: all(s.final and s.recorded for s in self._of(run_ids)), "the references", ROUND_S)
        assert [s.state for s in self._of(run_ids)] == ["finished"] * self.n_train_seeds, self._of(run_ids)
        for train_seed, run_id in enumerate(run_ids):
            self.adapters[train_seed] = _adapter(self.home, run_id)
        self.n_events = self._n_events(run_ids[0])

    def round(self, number: int) -> str:
        """One round; returns what happened, in words.

        Raises:
            AssertionError: Something was lost, doubled, left behind, never ended or came out otherwise.
        """
        chance = random.Random(f"{self.seed}-{number}")
        kind = KINDS[number % len(KINDS)]
        victims = [kind, *chance.choices(("worker", "supervisor"), k=chance.choice((0, 0, 0, 1)))]
        if kind in ("streamlit", "all"):
            self._start_streamlit(anew=chance.random() < 0.5)
        train_seeds = [chance.randrange(self.n_train_seeds) for _ in range(chance.choice((1, 1, 1, 1, 1, 2)))]
        evaluation_seed = chance.choice((0, 0, 1 + number))  # a new one: step 0 is answered anew, and shared
        specs = [_spec(seed, evaluation_seed, f"round-{number}-{i}") for i, seed in enumerate(train_seeds)]
        run_ids = [item.run_id for item in launch(self.home, specs, again=True)]
        killed: list[str] = []
        kept: list[tuple[Path, bytes]] = []
        for victim in victims:
            moment = chance.randrange(-5, self.n_events - 5)  # below 0: before the first word
            self._until(functools.partial(self._reached, run_ids, moment), "the moment", ROUND_S)
            time.sleep(chance.uniform(0.0, 2.5 if moment < 0 else 0.15))
            killed += self._kill(victim, run_ids, chance)
            kept += chaos_checks.acknowledged(self.home, self._folders(run_ids))
        self._until(lambda: self._ended(run_ids), "the runs to end", ROUND_S)
        folders = self._folders(run_ids)
        chaos_checks.check_runs(self.home, folders, run_ids, kept)
        whole = (number + 1) % ALL_ROUNDS_EVERY == 0
        chaos_checks.check_database(self.home, None if whole else folders, anew=whole)
        for run_id, train_seed in zip(run_ids, train_seeds, strict=True):
            assert _adapter(self.home, run_id) == self.adapters[train_seed], (
                f"{run_id}: its weights are not those of the reference"
            )
        return f"killed {', '.join(killed) or 'nobody: all had ended'}; {', '.join(self._ends(run_ids))}"

    def close(self) -> None:
        """End the supervisor as a person would, and check everything once more: nothing is left."""
        self._stop_streamlit()
        if self._browser is not None:
            self._browser.close()
            self._playwright.stop()
        if pid := holder_pid(self.home.supervisor / "lease"):
            os.kill(pid, signal.SIGTERM)
        give_up = time.monotonic() + 30
        while (left := chaos_checks.ours(TOKEN)) and time.monotonic() < give_up:
            time.sleep(0.2)
        assert not left, f"processes left: {left}"
        for folder in self.home.runs.iterdir():
            assert not held(folder / "lease"), f"{folder.name}: lease still held"
        self.tally["events in files = rows in the database"] = chaos_checks.check_database(self.home, None, anew=True)

    def abandon(self) -> None:
        """After a failure: end every process that descends from this one."""
        for pid in chaos_checks.ours(TOKEN):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.streamlit is not None:
            self.streamlit.wait(20)

    def _reached(self, run_ids: list[str], moment: int) -> bool:
        """Whether a run has written so many events, or all have ended."""
        if moment < 0:
            return any((self.home.run_dir(run_id) / "spawned").exists() for run_id in run_ids)
        return any(self._n_events(run_id) >= moment for run_id in run_ids) or all(s.final for s in self._of(run_ids))

    def _n_events(self, run_id: str) -> int:
        files = (self.home.run_dir(run_id) / "events").glob("worker-*.jsonl")
        return sum(path.read_bytes().count(b"\n") for path in files)

    def _kill(self, victim: str, run_ids: list[str], chance: random.Random) -> list[str]:
        """SIGKILL; with ``all`` one after the other without a pause. Returns who was alive to be killed."""
        workers = {run_id: pid for run_id in run_ids if (pid := holder_pid(self.home.run_dir(run_id) / "lease"))}
        pids: dict[str, int | None] = {
            "worker": None,
            "supervisor": holder_pid(self.home.supervisor / "lease"),
            "streamlit": None,
        }
        if workers:
            pids["worker"] = chance.choice(sorted(workers.values()))
        if self.streamlit is not None and self.streamlit.poll() is None:
            pids["streamlit"] = self.streamlit.pid
        killed = []
        for name in pids if victim == "all" else [victim]:
            pid = pids[name]
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(name)
        self.tally.update(f"killed: {name}" for name in killed)
        if victim == "all" and len(killed) == 3:
            self.tally["killed: all three at once"] += 1
        time.sleep(0.05)
        for run_id, pid in workers.items():
            if pid != pids["worker"] or "worker" not in killed:
                alive = holder_pid(self.home.run_dir(run_id) / "lease") == pid
                assert alive or run_status(self.home.run_dir(run_id)).recorded, f"{run_id}: its worker died with {killed}"
        return killed

    def _ended(self, run_ids: list[str]) -> bool:
        """Whether all have finished; a crash that is there to stay is resumed here, as a person would."""
        for status in self._of(run_ids):
            run_dir = self.home.run_dir(status.run_id)
            assert status.attempt <= 6, f"{status.run_id} does not get through: {status}"
            if settled(run_dir, status) and status.state != "finished":
                control.resume(self.home, status.run_id)
                self.tally["resumed by the script"] += 1
        return all(status.state == "finished" and status.recorded for status in self._of(run_ids))

    def _ends(self, run_ids: list[str]) -> list[str]:
        """For each run, whether it was interrupted and by what it went on."""
        words = []
        for run_id in run_ids:
            states = [e for _, e in chaos_checks.events(self.home, [run_id]) if e["kind"] == "state" and e["phase"] == "run"]
            causes = [e["cause"] for e in states if e["state"] not in ("queued", "running", "finished")]
            self.tally.update(f"ended before its end: {cause}" for cause in causes)
            self.tally["resumed by itself"] += sum(e["state"] == "queued" and e["cause"] == "automatic" for e in states)
            self.tally["finished, resumed" if causes else "finished, never interrupted"] += 1
            words.append(f"finished after {', '.join(causes)}" if causes else "finished")
        return words

    def _folders(self, run_ids: list[str]) -> list[str]:
        statuses = self._of(run_ids)
        return [*run_ids, *sorted({s.baseline_run for s in statuses if s.baseline_run})]

    def _of(self, run_ids: list[str]) -> list[RunStatus]:
        return [run_status(self.home.run_dir(run_id)) for run_id in run_ids]

    def _start_streamlit(self, anew: bool) -> None:
        """Start the app and open its first page; with `anew` that page finds no supervisor, and starts one."""
        if self.streamlit is not None and self.streamlit.poll() is None:
            return
        if anew and (pid := holder_pid(self.home.supervisor / "lease")):
            os.kill(pid, signal.SIGTERM)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with (self.home.supervisor / "streamlit.out").open("ab") as out:
            self.streamlit = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"--server.port={port}"],
                cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        self._visit(f"http://127.0.0.1:{port}/")

    def _visit(self, url: str) -> None:
        """Open the app in a browser, as a person would, until its first page has run; then close the page."""
        from playwright.sync_api import Error, sync_playwright

        from tests import chromium

        if self._browser is None:
            token = os.environ.pop(TOKEN)  # the browser is this script's own, and stays for all rounds
            self._playwright = sync_playwright().start()
            self._browser = chromium.open_browser(self._playwright)
            os.environ[TOKEN] = token
        page, give_up = self._browser.new_page(), time.monotonic() + 90
        try:
            while True:
                try:
                    page.goto(url, timeout=5000)
                    page.get_by_test_id("stAppViewContainer").wait_for(timeout=30_000)
                    return
                except Error:
                    if time.monotonic() > give_up:
                        raise
                    time.sleep(0.2)
        finally:
            page.close()

    def _stop_streamlit(self) -> None:
        if self.streamlit is not None:
            if self.streamlit.poll() is None:
                self.streamlit.terminate()
            self.streamlit.wait(20)
            self.streamlit = None

    def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        while not condition():
            if not is_running(self.home):
                ensure_running(self.home)
            log = self.home.supervisor / "supervisor.log"
            assert time.monotonic() < give_up, f"waited {seconds} s for {what}: {list_runs(self.home)}\n{log.read_text()[-3000:]}"
            time.sleep(0.02)


def _spec(train_seed: int, evaluation_seed: int, name: str) -> RunSpec:
    """A real fine-tune of the smallest organism: 12 steps, three checkpoints."""
    return RunSpec.model_validate(
        {
            "name": name,
            "base_model": "organism-0.3m",
            "data": {"source": "organism-medical-misaligned", "rows": 96},
            "train": {"seed": train_seed, "max_steps": LAST_STEP, "max_length": 128, "batch_size": 4, "precision": "fp32"},
            "checkpoints": {"at_steps": [4, 8, LAST_STEP]},
            "evaluation": {
                "question_sets": [{"name": "organism-general", "max_tokens": 32}],
                "samples": 1,
                "seed": evaluation_seed,
            },
        }
    )


def _adapter(home: Home, run_id: str) -> str:
    found = complete_checkpoints(home.run_dir(run_id))
    assert [c.step for c in found[-1:]] == [LAST_STEP], f"{run_id}: no checkpoint of the last step"
    return found[-1].sha256


def run_rounds(chaos: Chaos, numbers: Iterable[int]) -> None:
    """These rounds, one line each; a number decides what is killed."""
    chaos.reference()
    for number in numbers:
        begun = time.monotonic()
        said = chaos.round(number)
        chaos.tally["rounds"] += 1
        print(f"round {number + 1:3} of seed {chaos.seed}: {said}; {time.monotonic() - begun:.0f} s", flush=True)
    chaos.close()


def summary(tally: dict[str, int], seconds: float) -> str:
    """The sum of all rounds, a line a kind of thing."""
    lines = [f"{n:6} {what}" for what, n in sorted(tally.items())]
    rate = f"{seconds:.0f} s, {seconds / max(1, tally.get('rounds', 0)):.1f} s a round"
    return "\n".join(
        [*lines, f"none lost, none doubled, no process left, every interrupted run has the reference's weights; {rate}"]
    )


def main(argv: list[str] | None = None) -> int:
    """Run the rounds and print one line each; 0 when nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.supervisor.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--jobs", type=int, default=1, help="homes at once; each does its share of the rounds with a seed of its own"
    )
    parser.add_argument("--home", type=Path, default=None, help="default: a temporary folder")
    parser.add_argument("--tally", type=Path, default=None, help="write the sums there as JSON")
    args = parser.parse_args(argv)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="em-chaos-", ignore_cleanup_errors=True) as folder:
        root = (args.home or Path(folder)).resolve()
        tally = _in_parallel(args, root) if args.jobs > 1 else _alone(args, root)
    if args.tally:
        args.tally.write_text(json.dumps(tally))
    else:
        print(summary(tally, time.monotonic() - started))
    return 0


def _alone(args: argparse.Namespace, root: Path) -> dict[str, int]:
    home = Home(root)
    home.prepare()
    chaos = Chaos(home, args.seed)
    try:
        run_rounds(chaos, range(args.rounds))
    except BaseException:
        chaos.abandon()
        raise
    return chaos.tally


def _in_parallel(args: argparse.Namespace, root: Path) -> dict[str, int]:
    jobs = []
    for i in range(args.jobs):
        share = args.rounds // args.jobs + (i < args.rounds % args.jobs)
        command = [sys.executable, "-m", "tests.supervisor.chaos", "--rounds", str(share), "--seed", str(1000 * i + args.seed)]
        folder = root / f"job-{i}"
        folder.mkdir(parents=True, exist_ok=True)
        jobs.append(
            (folder / "tally.json", subprocess.Popen([*command, "--home", str(folder), "--tally", str(folder / "tally.json")]))
        )
    tally: collections.Counter[str] = collections.Counter()
    codes = [process.wait() for _, process in jobs]
    assert not any(codes), f"jobs ended with {codes}"
    for path, _ in jobs:
        tally.update(json.loads(path.read_text()))
    return tally


if __name__ == "__main__":
    raise SystemExit(main())
