from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from em_core.store import queries
from em_core.store.publish import publish
from em_core.store.rates import rates
from em_core.store.reader import connect, generation
from tests.store.made import BareHome, scored, whole_run, write

ROOT = Path(__file__).resolve().parents[2]


def test_without_a_database_every_query_gives_an_empty_frame(home: BareHome) -> None:
    assert generation(home) == "none"
    assert queries.run(home, "r1") is None
    for frame in (
        queries.runs(home), queries.checkpoints(home), queries.metrics(home, ["r1"]), queries.quarantine(home),
        queries.judges(home),
        queries.states(home, "r1"), queries.generations(home), queries.questions(home), rates(home), rates(home, by=("domain",)),
        queries.responses_page(home, "r1", 0), queries.judgements(home, ["x"]),
    ):  # fmt: skip
        assert frame.empty
        assert len(frame.columns) > 3
    assert not home.database.exists()


def test_one_connection_per_generation_and_old_cursors_go_on(home: BareHome) -> None:
    whole_run(home, "r1")
    publish(home)
    first = connect(home)
    assert connect(home) is first
    with first.cursor() as old:
        before = old.execute("SELECT count(*) FROM responses").fetchone()
        write(home, "r1", *scored("r1", 5, [(1.0, 1.0)] * 7))
        publish(home)
        second = connect(home)
        assert second is not first
        assert second.generation == generation(home) != first.generation
        del first
        assert old.execute("SELECT count(*) FROM responses").fetchone() == before
    with second.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM responses").fetchone() == ((before or (0,))[0] + 7,)


def test_old_generations_are_closed_when_nobody_uses_them(home: BareHome) -> None:
    def open_files() -> int:
        return sum(str(home.database) in str(p.readlink()) for p in Path("/proc/self/fd").iterdir() if p.is_symlink())

    for n in range(6):
        write(home, "r1", *scored("r1", n, [(1.0, 1.0)]))
        publish(home)
        queries.runs(home)
    assert open_files() == 1


_CHECK = """
SELECT (SELECT count(*) FROM responses) AS n, (SELECT count(*) FROM judgements) AS j,
       (SELECT count(*) FROM scores) AS s, (SELECT sum(n_events) FROM run_totals) AS e
"""
_READER = f"""
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from em_core.store.reader import connect
from tests.store.made import BareHome
home, last, reads, end = BareHome(Path(sys.argv[1])), 0, 0, time.monotonic() + 3
while time.monotonic() < end:
    n, j, s, e = map(int, connect(home).frame('''{_CHECK}''').iloc[0])
    assert n % 10 == 0 and j == 2 * n and s == n and e == 3 * n and n >= last, (n, j, s, e, last)
    last, reads = n, reads + 1
print(reads, last)
"""


def test_readers_in_threads_and_processes_always_see_a_whole_publish(home: BareHome) -> None:
    write(home, "r1", *scored("r1", 0, [(1.0, 1.0)] * 10))
    publish(home)
    others = [
        subprocess.Popen([sys.executable, "-c", _READER, str(home.root), str(ROOT)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    wrong: list[tuple[int, ...]] = []
    reads = [0, 0]
    stop = threading.Event()

    def read(who: int) -> None:
        last = 0
        while not stop.is_set():
            n, j, s, e = map(int, connect(home).frame(_CHECK).iloc[0])
            if n % 10 or j != 2 * n or s != n or e != 3 * n or n < last:
                wrong.append((n, j, s, e, last))
            last = n
            reads[who] += 1

    threads = [threading.Thread(target=read, args=(who,)) for who in range(2)]
    for thread in threads:
        thread.start()
    step = 1
    while any(process.poll() is None for process in others):
        write(home, "r1", *scored("r1", step, [(1.0, 1.0)] * 10))
        publish(home)
        step += 1
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert min(reads) > 3
    for process in others:
        told = process.communicate()[0].split()
        assert process.returncode == 0
        assert int(told[0]) > 3
        assert int(told[1]) > 10
