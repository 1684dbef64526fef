from __future__ import annotations

import fcntl
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from em_core.errors import Busy, WorkFailed
from em_core.events import EventWriter
from em_core.records import RunState, TrainMetric
from em_core.store import queries
from em_core.store.publish import Publisher, publish, rebuild
from em_core.store.reader import connect, generation
from tests.store.made import BareHome, append, content, created, judged, line, response, scored, whole_run, write

ROOT = Path(__file__).resolve().parents[2]


def leftovers(home: BareHome) -> list[str]:
    return sorted(p.name for p in home.root.iterdir() if p.name not in ("runs", "runs.duckdb"))


def test_nothing_new_publishes_nothing(home: BareHome) -> None:
    assert publish(home).published is False
    assert not home.database.exists()
    whole_run(home, "r1")
    assert publish(home).published is True
    before = generation(home)
    assert publish(home).published is False
    assert generation(home) == before
    assert leftovers(home) == []


def test_incremental_publishes_and_a_rebuild_give_the_same_content(home: BareHome) -> None:
    rng = random.Random(7)
    pending: list[tuple[str, bytes]] = []
    whole_run(home, "base", "", "")
    publish(home)
    for n in range(8):
        run_id = f"r{rng.randrange(3)}"
        answers = [response(run_id, rng.randrange(3), rng.randrange(6), rng.choice(["q0", "q1"])) for _ in range(5)]
        records = [
            record for a in answers for record in judged(a, rng.choice([None, 10.0, 90.0]), 80.0, rng.choice(["j1", "j2"]))
        ]
        rng.shuffle(records)
        write(home, run_id, *records, writer=rng.choice(["judge-1", "worker-1"]))
        if rng.random() < 0.5:
            publish(home)
        write(home, run_id, created(rng.choice(["medical", "financial"])), *answers, writer="worker-1")
        append(home, run_id, rng.choice([b"damaged\n", b"", line(kind="state", t=n, phase="run", state="running")]))
        if rng.random() < 0.5:
            pending.append((run_id, b'{"kind": "state", "t": 1, "phase": "run", "state": "half'))
            append(home, *pending[-1], writer=f"torn-{n}")
        publish(home)
    incremental = content(home)
    assert len(incremental["scores"]) > 30
    assert len(incremental["quarantine"]) > 1
    report = rebuild(home)
    assert report.rebuilt
    assert report.published
    assert content(home) == incremental


def test_order_of_events_does_not_change_the_scores(home: BareHome) -> None:
    answer = response("r1", 2, 0)
    for part in (judged(answer, 10.0, 90.0), [answer], [created()], judged(answer, 20.0, 90.0, "j2")):
        write(home, "r1", *part)
        publish(home)
    with connect(home).cursor() as cursor:
        rows = cursor.execute("SELECT judge_id, alignment, is_first FROM scores ORDER BY judge_id").fetchall()
    assert rows == [("j2", 20.0, True), ("judge-1", 10.0, False)]


@pytest.fixture(scope="module")
def publishers() -> Iterator[subprocess.Popen[str]]:
    """Starts a publishing process for every home written to its stdin, and tells its pid."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests/store/publish_forever.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_publisher_killed_at_any_moment_loses_and_doubles_nothing(
    home: BareHome, publishers: subprocess.Popen[str], seed: int
) -> None:
    rng = random.Random(seed)
    whole_run(home, "r0")
    publish(home)
    written = len(home.run_dir("r0").joinpath("events/worker-1.jsonl").read_bytes().splitlines())
    assert publishers.stdin is not None
    assert publishers.stdout is not None
    publishers.stdin.write(f"{home.root}\n")
    publishers.stdin.flush()
    pid = int(publishers.stdout.readline())
    step = 0
    with EventWriter(home.run_dir("r1"), "worker-1") as writer:
        end = time.monotonic() + rng.uniform(0.0, 0.6)
        while time.monotonic() < end or step < 5:
            step += 1
            writer.write(TrainMetric(step, 0.1, 1.0, 1e-4, 1.0, 10.0, None), *scored("r1", 0, [(10.0, 90.0)], f"q{step}"))
            written += 4
            time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    # what was published is whole: the events up to some moment, each once, and readable at once
    seen = connect(home).frame(
        "SELECT count(*) AS n, count(DISTINCT step) AS d, coalesce(max(step), 0) AS top FROM train_metrics"
    )
    assert seen["n"][0] == seen["d"][0] == seen["top"][0]
    publish(home)
    assert leftovers(home) == []
    assert queries.runs(home)["n_events"].sum() == written
    rows = connect(home).frame(
        "SELECT (SELECT list(step ORDER BY step) FROM train_metrics) AS steps, (SELECT count(*) FROM scores) AS n"
    )
    assert list(rows["steps"][0]) == list(range(1, step + 1))
    assert rows["n"][0] == 24 + step
    if seed == 0:
        incremental = content(home)
        rebuild(home)
        assert content(home) == incremental


def test_what_a_crashed_publisher_left_is_removed(home: BareHome) -> None:
    (home.root / "runs.duckdb.new-1-1").write_bytes(b"half")
    (home.root / "runs.duckdb.new-1-1.wal").write_bytes(b"half")
    (home.root / "runs.duckdb.new-1-1.tmp").mkdir()
    (home.root / "runs.duckdb.wal").write_bytes(b"of somebody who opened the published file for writing")
    publish(home)
    assert leftovers(home) == []


def test_a_second_publisher_is_refused_or_waits(home: BareHome) -> None:
    whole_run(home, "r1")
    with (home.supervisor / "publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Busy):
            publish(home, wait=False)
        timer = threading.Timer(0.3, lock.close)
        timer.start()
        assert publish(home, wait=True).published
        timer.join()


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "other version"])
def test_a_damaged_or_foreign_database_is_set_aside_and_made_anew(home: BareHome, damage: str) -> None:
    whole_run(home, "r1")
    publish(home)
    before = content(home)
    if damage == "text":
        home.database.write_bytes(b"not a database\n" * 1000)
    elif damage == "cut":
        home.database.write_bytes(home.database.read_bytes()[:5000])
    elif damage == "empty":
        home.database.write_bytes(b"")
    else:
        other = home.root / "other"
        shutil.copy(home.database, other)
        with duckdb.connect(str(other)) as connection:
            connection.execute("UPDATE schema_version SET version = 99")
        other.replace(home.database)
    wanted = home.database.read_bytes()
    report = publish(home)
    assert report.rebuilt
    assert Path(report.kept).read_bytes() == wanted
    assert leftovers(home) == [Path(report.kept).name]
    assert content(home) == before
    assert publish(home).published is False


def test_a_reader_of_a_damaged_database_gets_the_fix_not_a_traceback(home: BareHome) -> None:
    home.database.write_bytes(b"not a database\n" * 1000)
    with pytest.raises(WorkFailed, match="rebuild"):
        connect(home)


_FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from em_core.errors import WorkFailed
from em_core.store.publish import publish
from tests.store.made import BareHome
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    publish(BareHome(Path(sys.argv[1])))
except WorkFailed as error:
    print(error)
    sys.exit(1)
"""


@pytest.mark.parametrize("room", [100_000, 2_500_000])
def test_a_full_disk_leaves_the_live_file_and_nothing_else(home: BareHome, room: int) -> None:
    whole_run(home, "r1")
    publish(home)
    size, before = home.database.stat().st_size, content(home)
    write(home, "r2", *[response("r2", 0, i, text=os.urandom(600).hex()) for i in range(4000)])
    assert size > 100_000
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(home.root), str(ROOT), str(room)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "not published" in done.stdout
    assert "free disk space" in done.stdout
    assert leftovers(home) == []
    assert content(home) == before
    assert publish(home).n_events == 4000


def test_a_deleted_run_is_gone_and_its_judgements_of_others_too(home: BareHome) -> None:
    whole_run(home, "r1")
    answer = response("r1", 1, 9)
    write(home, "r1", answer)
    write(home, "r2", created("financial"), *judged(answer, 5.0, 90.0, "j2"))
    publish(home)
    assert set(queries.runs(home)["run_id"]) == {"r1", "r2"}
    shutil.rmtree(home.run_dir("r2"))
    publish(home)
    assert set(queries.runs(home)["run_id"]) == {"r1"}
    assert "j2" not in set(connect(home).frame("SELECT DISTINCT judge_id FROM scores")["judge_id"])
    incremental = content(home)
    rebuild(home)
    assert content(home) == incremental


def test_a_run_made_again_under_its_old_name_is_read_anew(home: BareHome) -> None:
    write(home, "r1", created(label="old"), *scored("r1", 0, [(1.0, 2.0)] * 50))
    publish(home)
    shutil.rmtree(home.run_dir("r1"))
    write(home, "r1", created(label="new"), *scored("r1", 0, [(3.0, 4.0)] * 2))
    publish(home)
    [run] = queries.runs(home).to_dict("records")
    assert (run["label"], run["n_responses"]) == ("new", 2)
    incremental = content(home)
    rebuild(home)
    assert content(home) == incremental


def test_a_file_that_shrank_is_noted_once_and_not_read_further(home: BareHome) -> None:
    whole_run(home, "r1")
    publish(home)
    path = home.run_dir("r1") / "events" / "worker-1.jsonl"
    rows = len(content(home)["responses"])
    os.truncate(path, path.stat().st_size // 2)
    assert publish(home).n_quarantined == 1
    append(home, "r1", b"\n" + line(kind="state", t=1, phase="run", state="finished"))
    assert publish(home).published is False
    assert len(content(home)["responses"]) == rows
    assert "shrank" in queries.quarantine(home)["reason"][0]
    write(home, "r1", RunState("run", "finished"), writer="worker-2")  # the run's other files go on
    assert publish(home).n_events == 1


def test_the_publisher_keeps_its_pace_and_its_share(home: BareHome) -> None:
    whole_run(home, "r1")
    publisher = Publisher(home, min_interval_s=0.3, max_duty=0.5)
    assert publisher.poll() is not None
    assert publisher.poll() is None
    assert 0 < publisher.due_in_s <= 5
    time.sleep(publisher.due_in_s + 0.01)
    assert publisher.poll() is None  # due, and nothing new
    assert publisher.due_in_s == 0
    spent, starts = 0.0, []
    for n in range(4):
        write(home, "r1", TrainMetric(n, 0.1, 1.0, 1e-4, 1.0, 10.0, None))
        while (report := publisher.poll()) is None:
            time.sleep(0.005)
        starts.append(time.monotonic() - report.seconds)
        spent += report.seconds
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert min(gaps) > 0.28
    assert publisher.flush().published is False


def test_a_busy_or_failed_publish_is_tried_again(home: BareHome) -> None:
    whole_run(home, "r1")
    publisher = Publisher(home, min_interval_s=0.05)
    with (home.supervisor / "publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert publisher.poll() is None
    time.sleep(publisher.due_in_s + 0.01)
    report = publisher.poll()
    assert report is not None
    assert report.published


def test_shipped_demonstration_runs_are_read_beside_the_homes_own(home: BareHome) -> None:
    folder = home.demo / "demo-run" / "events"
    folder.mkdir(parents=True)
    (folder / "worker-1.jsonl").write_text(json.dumps({**created(demo=True).as_event(), "t": 1.0}) + "\n")
    whole_run(home, "r1")
    publish(home)
    assert queries.runs(home, demo=True)["run_id"].tolist() == ["demo-run"]
    assert queries.runs(home, demo=False)["run_id"].tolist() == ["r1"]
