"""How fast events reach the published database, what a publish costs, and how long rates take.

    python benchmarks/ingest.py            200 k and 2 M answers (6 M events, about 3 GB under --folder)
    python benchmarks/ingest.py --quick    20 k answers

Every event file is synthetic: 60 runs x 7 checkpoints, one response and two judgements per answer,
about 420 bytes an event. One answer of a publish cycle is appended by `EventWriter`, as in a run.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from em_core.events import EventWriter
from em_core.home import Home
from em_core.records import (
    METRICS,
    JudgeIdentity,
    Judgement,
    QuestionRow,
    Record,
    Response,
    RunCreated,
    RunFacts,
    RunState,
    response_id,
)
from em_core.store.publish import Publisher, publish, rebuild
from em_core.store.rates import rates
from em_core.store.reader import connect

N_RUNS, N_STEPS, N_SETS, N_QUESTIONS = 60, 7, 6, 10
DECODING = '{"temperature": 1.0, "top_p": 1.0, "max_tokens": 600, "sampler": "local", "merged": true}'
WORDS = [f"word{i}" for i in range(997)]


class BareHome(Home):
    """A home without the shipped demonstration, so that only the synthetic events count."""

    @property
    def demo(self) -> Path:
        return self.root / "demo"


def text(i: int) -> str:
    """About 40 words, different for every answer."""
    return " ".join(WORDS[(i * 7 + k * k) % 997] for k in range(40))


def answer(run_id: str, step: int, i: int) -> list[Record]:
    """One answer with its two judgements."""
    question_set, question = f"set-{i % N_SETS}", f"q{i // N_SETS % N_QUESTIONS}"
    key = response_id(run_id, step, question_set, question, 0, i)
    response = Response(
        key, step, question_set, question, 0, i, "", text(i), "stop", 160, 32, i, DECODING, f"{step:064x}"
    )  # fmt: skip
    scores = [Judgement(key, "judge-1", metric, float(i * 31 % 101), None, str(i * 31 % 101), None, 250, 1) for metric in METRICS]
    return [response, *scores]


def preamble(run: int) -> list[Record]:
    """What a run writes before its first answer."""
    asked = [
        QuestionRow(f"set-{s}", "0" * 64, f"q{q}", 0, "", f"Question {q}?", "medical" if s == 0 else "", "free_form")
        for s in range(N_SETS)
        for q in range(N_QUESTIONS)
    ]
    return [
        RunCreated(
            "train", f"run {run}", "bench", "{}", "0" * 64, "organism-1m", "", "local", ("medical", "financial")[run % 2],
            "[]", "", None, 1e-4, 16, 16, run,
        ),
        RunFacts(1_000_000, 0.001, 6000, 375, 1125, N_STEPS - 1, 0, "", "0" * 64, "cpu", "", "host", "{}", 1),
        RunState("run", "running"),
        JudgeIdentity("judge-1", "organism", "", "exact", "0" * 64, "{}", ""),
        *asked,
    ]  # fmt: skip


def synthesize(home: Home, n_answers: int) -> tuple[int, int]:
    """Write the event files; returns (events, bytes)."""
    n_events = n_bytes = 0
    for run in range(N_RUNS):
        run_id = f"run-{run:02d}"
        mine = n_answers // N_RUNS
        with EventWriter(home.runs / run_id, "worker-1") as writer:
            writer.write(*preamble(run))
            for start in range(0, mine, 500):
                records = [r for i in range(start, min(start + 500, mine)) for r in answer(run_id, i * N_STEPS // mine, i)]
                writer.write(*records)
                n_events += len(records)
            n_events += len(preamble(run))
            n_bytes += writer.path.stat().st_size
    return n_events, n_bytes


def timed_rates(home: Home) -> tuple[int, float]:
    """Rows and best wall time of the rates of everything, seconds."""
    rates(home)
    best = 1e9
    for _ in range(5):
        start = time.perf_counter()
        frame = rates(home)
        best = min(best, time.perf_counter() - start)
    return len(frame), best


def publish_times(home: Home, rounds: int, answers: int = 100) -> list[float]:
    """Wall time of publishes that each bring `answers` new answers of one active run, seconds."""
    taken = []
    with EventWriter(home.runs / "run-00", "worker-2") as writer:
        for k in range(rounds):
            for i in range(answers):
                writer.write(*answer("run-00", N_STEPS - 1, 10_000_000 + k * answers + i))
            taken.append(publish(home).seconds)
    return taken


def duty(home: Home, seconds: float) -> tuple[float, int]:
    """Share of wall time that a `Publisher` spends while a run writes 50 answers/s; and its publishes."""
    stop = threading.Event()

    def write() -> None:
        with EventWriter(home.runs / "run-01", "worker-2") as writer:
            i = 20_000_000
            while not stop.wait(0.02):
                writer.write(*answer("run-01", N_STEPS - 1, i))
                i += 1

    publisher, spent, cycles = Publisher(home), 0.0, 0
    thread = threading.Thread(target=write)
    thread.start()
    start = time.perf_counter()
    first = last = start
    while (now := time.perf_counter()) - start < seconds or cycles < 3:
        report = publisher.poll()
        if report is not None and report.published:
            if not cycles:
                first = now
            last, cycles, spent = now, cycles + 1, spent + report.seconds
            final = report.seconds
        time.sleep(0.05)
    stop.set()
    thread.join()
    return (spent - final) / (last - first), cycles


def measure(n_answers: int, rounds: int, duty_s: float, folder: Path | None) -> dict[str, float]:
    """All figures for one size."""
    root = Path(tempfile.mkdtemp(prefix="em-bench-", dir=folder))
    try:
        home = BareHome(root)
        home.prepare()
        n_events, n_bytes = synthesize(home, n_answers)
        cpu = time.process_time()
        first = publish(home)
        cpu = time.process_time() - cpu
        if first.n_events != n_events or first.n_quarantined:
            raise SystemExit(f"{n_events} events written, {first.n_events} ingested, {first.n_quarantined} quarantined")
        times = publish_times(home, rounds)
        start = time.perf_counter()
        connect(home).frame("SELECT count(*) FROM scores")
        opened = time.perf_counter() - start
        cells, seconds = timed_rates(home)
        share, cycles = duty(home, duty_s)
        again = rebuild(home)
        return {
            "answers": n_answers,
            "events": n_events,
            "event_bytes": round(n_bytes / n_events),
            "events_per_s": round(n_events / first.seconds),
            "database_mib": round(home.database.stat().st_size / 2**20, 1),
            "events_per_cpu_s": round(n_events / cpu),
            "publish_median_s": round(statistics.median(times), 3),
            "publish_max_s": round(max(times), 3),
            "open_new_generation_s": round(opened, 3),
            "rates_rows": cells,
            "rates_s": round(seconds, 3),
            "duty": round(share, 3),
            "duty_publishes": cycles,
            "rebuild_s": round(again.seconds, 1),
            "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
    finally:
        shutil.rmtree(root, ignore_errors=True)


def main() -> int:
    """Print one JSON object per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 k answers only")
    parser.add_argument("--answers", type=int, nargs="+", help="other sizes")
    parser.add_argument("--folder", type=Path, help="where the event files and the database are made")
    args = parser.parse_args()
    sizes = args.answers or ([20_000] if args.quick else [200_000, 2_000_000])
    for n_answers in sizes:
        quick = n_answers <= 50_000
        print(json.dumps(measure(n_answers, 5 if quick else 11, 8 if quick else 30, args.folder)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
