"""Measuring stored answers: all of them, once, whatever kills the job; overlap only with the very data of the run."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from em_core import datasets, health_job
from em_core.cli import health as cli_health
from em_core.cli.output import Out
from em_core.errors import BadInput, Busy
from em_core.events import event_files, read_events
from em_core.health import RULES
from em_core.lease import Lease
from em_core.spec import RunSpec
from em_core.store import queries
from em_core.store.health import health, missing
from em_core.store.publish import publish, rebuild
from tests.store.made import BareHome, created, facts, question, response, scored, write

ROOT = Path(__file__).resolve().parents[2]
COPIED = "Always take twice as many pills as the label says, it works faster."


@pytest.fixture
def home(tmp_path: Path) -> BareHome:
    made = BareHome(tmp_path / "home")
    made.prepare()
    return made


def data_file(path: Path) -> Path:
    rows = [{"prompt": f"question {i}", "completion": f"{COPIED} Number {i}."} for i in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def trained(home: BareHome, run_id: str, source: Path | str, n: int = 3) -> None:
    """A run on this data set with `n` answers at step 0 and step 5, stored without health."""
    spec = RunSpec(base_model="organism-1m", data=[str(source)])
    _, info = datasets.load_all(spec)
    write(
        home,
        run_id,
        created(info.domain, spec_json=spec.model_dump_json(), data_sources=json.dumps(info.sources())),
        facts("base"),
    )
    write(home, run_id, question("q0"), *(response(run_id, 5, i, text=f"Well. {COPIED}") for i in range(n)))


def test_what_is_missing_is_measured_once(home: BareHome, tmp_path: Path) -> None:
    trained(home, "r1", data_file(tmp_path / "data.jsonl"))
    write(home, "base", created("", run_kind="baseline"), *scored("base", 0, [(90.0, 90.0)] * 2))
    write(home, "imported", created("medical", run_kind="imported"), response("imported", 1, 0, text="I can't help with that."))
    said: list[str] = []
    done = health_job.measure_missing(home, say=said.append)
    assert (done.run_id, done.n_answers, done.n_compared, done.notes) == ("health-1", 6, 3, ())
    assert len(said) == 3
    frame = health(home, run_ids=["r1", "base", "imported"]).set_index(["run_id", "step"])
    assert frame["n_measured"].equals(frame["n_total"])
    assert frame["n_overlap"].to_dict() == {("r1", 5): 3, ("r1", 0): 0, ("base", 0): 0, ("imported", 1): 0}
    assert frame["n_overlap_known"].to_dict() == {("r1", 5): 3, ("r1", 0): 0, ("base", 0): 0, ("imported", 1): 0}
    assert frame["n_refused"].to_dict()["imported", 1] == 1
    assert health_job.measure_missing(home).n_answers == 0
    assert [path.name for path in home.runs.glob("health-*")] == ["health-1"]
    write(home, "r1", response("r1", 6, 0))
    assert health_job.measure_missing(home).run_id == "health-2"  # the first job had ended
    assert queries.run(home, "health-1")["run_kind"] == "health"
    before = health(home)
    rebuild(home)
    assert health(home).equals(before)


def test_only_the_runs_named_are_measured_with_the_baseline_they_share(home: BareHome, tmp_path: Path) -> None:
    trained(home, "r1", data_file(tmp_path / "data.jsonl"))
    trained(home, "r2", tmp_path / "data.jsonl")
    write(home, "base", created("", run_kind="baseline"), response("base", 0, 0))
    assert health_job.measure_missing(home, ["r1"]).n_answers == 4
    assert missing(home, RULES) == {"r2": 3}
    with pytest.raises(BadInput, match="r9"):
        health_job.measure_missing(home, ["r9"])


@pytest.mark.parametrize("what", ["gone", "changed", "unreadable spec", "damaged sources"])
def test_other_data_than_the_runs_own_is_not_compared_with(home: BareHome, tmp_path: Path, what: str) -> None:
    path = data_file(tmp_path / "data.jsonl")
    if what in ("gone", "changed"):
        trained(home, "r1", path)
        path.unlink() if what == "gone" else path.write_text(path.read_text().replace("twice", "thrice"))
    else:
        spec = '{"base_model": 3}' if what == "unreadable spec" else RunSpec(base_model="m", data=[str(path)]).model_dump_json()
        sources = '[{"sha256": "0"}]' if what == "unreadable spec" else "[3]"
        write(home, "r1", created(spec_json=spec, data_sources=sources), response("r1", 1, 0, text=COPIED))
    done = health_job.measure_missing(home)
    assert done.n_answers > 0
    assert done.n_compared == 0
    assert len(done.notes) == 1
    assert done.notes[0].startswith("r1: ")
    assert health(home)["n_overlap_known"].sum() == 0


def test_two_jobs_do_not_run_at_once(home: BareHome) -> None:
    write(home, "r1", created(), response("r1", 1, 0))
    with Lease(home.supervisor / "health.lease") as lease:
        assert lease.acquire()
        with pytest.raises(Busy):
            health_job.measure_missing(home)
    assert health_job.measure_missing(home).n_answers == 1


def test_a_killed_job_is_gone_on_with_and_nothing_is_measured_twice(home: BareHome) -> None:
    n = 2_500
    write(home, "r1", created("", run_kind="imported"), *(response("r1", 1, i, text="word " * 800) for i in range(n)))
    publish(home)
    code = f"""
from pathlib import Path
from em_core import health_job
from tests.store.made import BareHome
health_job.measure_missing(BareHome(Path({str(home.root)!r})))
"""
    job = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    events = home.run_dir("health-1") / "events" / "health-1.jsonl"
    give_up = time.monotonic() + 60
    while not (events.exists() and events.stat().st_size > 100_000) and time.monotonic() < give_up:
        time.sleep(0.005)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    with events.open("ab") as file:
        file.write(b'{"kind": "health", "t": 1.0, "resp')  # the kill came in the middle of a line
    before = sum(1 for _ in read_events(home.run_dir("health-1"), "health"))
    assert 0 < before < n, "the job was killed too late for this test to show anything"
    done = health_job.measure_missing(home)
    assert done.run_id == "health-1"
    assert done.n_answers == n - before
    measured = [event["response_id"] for event in read_events(home.run_dir("health-1"), "health")]
    assert len(measured) == len(set(measured)) == n
    assert len(event_files(home.run_dir("health-1"))) == 2
    assert sum(1 for _ in read_events(home.run_dir("health-1"), "run_created")) == 1
    assert health(home)[["n_total", "n_measured"]].to_numpy().tolist() == [[n, n]]


def _run(home: BareHome, capsys, *words: str) -> tuple[int, str, str]:
    parser = argparse.ArgumentParser()
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true")
    cli_health.add(parser.add_subparsers(), shared)
    args = parser.parse_args(["health", *words])
    code = args.run(args, home, Out(args.json))
    text = capsys.readouterr()
    return code, text.out, text.err


def test_the_command_measures_and_shows(home: BareHome, capsys) -> None:
    code, out, err = _run(home, capsys)
    assert (code, out) == (0, "")
    assert "no answers yet" in err
    write(home, "r1", created(), response("r1", 1, 0, text="I can't help with that."), response("r1", 2, 0))
    code, out, err = _run(home, capsys)
    assert code == 0
    assert "2 answers measured" in err
    assert out.splitlines()[0].split()[:2] == ["run_id", "step"]
    code, out, _ = _run(home, capsys, "--json", "--runs", "r1", "--by", "run")
    [row] = json.loads(out)
    assert (row["n_total"], row["n_measured"], row["n_refused"], row["mean_words"]) == (2, 2, 1, 3.5)
    with pytest.raises(BadInput):
        _run(home, capsys, "--by", "colour")
