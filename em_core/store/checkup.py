"""Does the published database say what the event files say? Counted, and with `content` compared row by row.

Both sides are read with the ingest's own reader up to the byte offsets that the database itself holds, so a run at work
is compared too. Rows are compared through an order-free sum of their hashes, per run and table: memory stays bounded
whatever the size, and only where a sum differs are the rows themselves looked at.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from em_core.errors import WorkFailed
from em_core.home import Home
from em_core.records import RECORDS
from em_core.store import database
from em_core.store.ingest import Mark, Source, Work, discover, plan_work, read_batches
from em_core.store.parse import arrow_schema

_MOST_LOOKED_AT = 5
"""Of the differing (run, table) pairs, how many are looked at row by row: each is a run's events once more."""
_KEYS = {
    "responses": "response_id", "judgements": "response_id || ' ' || judge_id || ' ' || metric", "questions": "question_id",
    "answer_health": "response_id", "labels": "response_id", "train_metrics": "'step ' || step", "checkpoints": "'step ' || step",
    "run_states": "phase || ' ' || state", "judges": "judge_id",
}  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """How the database stands to the files, without reading them.

    Args:
        n_runs: Runs in the database.
        n_events: Their events.
        behind: Files with whole lines that are not ingested yet, by key, and how many bytes.
        replaced: Runs whose folder is gone or was made anew; the next publish drops or reads them anew.
        shrunk: Files that lost bytes after they were read.
        miscounted: Runs whose stored totals are not the sum of their rows.
    """

    n_runs: int
    n_events: int
    behind: dict[str, int]
    replaced: tuple[str, ...]
    shrunk: tuple[str, ...]
    miscounted: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """One run and table in which database and events differ.

    Args:
        run_id: The run.
        table: The table.
        n_events: Rows that the event files hold.
        n_rows: Rows that the database holds.
        missing: Rows of the events that the database has not; None = not counted.
        surplus: Rows of the database that no event has; None = not counted.
        example: The first of them, by its key.
    """

    run_id: str
    table: str
    n_events: int
    n_rows: int
    missing: int | None = None
    surplus: int | None = None
    example: str = ""


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Args:
        n_rows: Rows compared.
        differences: Empty when both sides are equal.
        quarantine: Files whose damaged lines are not those in the quarantine: key, lines found, lines stored.
        left_out: Files that shrank, and whose rows cannot be compared.
    """

    n_rows: int
    differences: tuple[Difference, ...]
    quarantine: tuple[tuple[str, int, int], ...]
    left_out: tuple[str, ...]


def standing(home: Home) -> Standing:
    """Compare offsets with files, and totals with rows.

    Raises:
        WorkFailed: The database cannot be read, or is of another schema.
    """
    with _snapshot(home) as db:
        marks = _marks(db)
        work = plan_work(home, discover(home), marks)
        counted: Counter[str] = Counter()
        for record in RECORDS.values():
            counted.update(dict(db.execute(f"SELECT run_id, count(*) FROM {record.table} GROUP BY run_id").fetchall()))
        totals = dict(db.execute("SELECT run_id, n_events FROM run_totals").fetchall())
    wrong = sorted(run for run in counted.keys() | totals.keys() if counted.get(run, 0) != totals.get(run, 0))
    behind = {source.key: n for source, mark in work.read if (n := _whole_lines(source, mark))}
    return Standing(
        len(totals), sum(totals.values()), behind, tuple(sorted(work.dropped_runs)),
        tuple(source.key for source, _ in work.shrunk), tuple(wrong),
    )  # fmt: skip


def compare(home: Home) -> Comparison:
    """Read every event again and compare all columns of all rows with the database.

    Raises:
        WorkFailed: The database cannot be read, or is of another schema.
    """
    with _snapshot(home) as db:
        marks = _marks(db)
        sources = [
            replace(source, size=marks[source.key].byte_offset)
            for source in discover(home)
            if source.key in marks and not marks[source.key].damaged and source.size >= marks[source.key].byte_offset
        ]
        read = {source.key for source in sources}
        left_out = tuple(sorted(set(marks) - read))
        skipped_runs = {key.split("/")[1] for key in left_out}
        stored, written = _stored(db), Counter[tuple[str, str, str]]()
        damages: Counter[str] = Counter()
        n_read = 0
        for batch in read_batches(Work(read=[(source, Mark()) for source in sources])):
            for kind, rows in batch.tables.items():
                for run, n, digest in _digests(db, "rows", kind, rows):
                    written[run, kind, "n"] += n
                    written[run, kind, "digest"] += digest
            damages.update(key for key, _ in batch.damages)
            n_read += batch.n_events
        pairs = {key[:2] for key in (*stored, *written)}
        different = sorted(
            (run, kind) for run, kind in pairs
            if run not in skipped_runs and any(stored[run, kind, f] != written[run, kind, f] for f in ("n", "digest"))
        )  # fmt: skip
        found = []
        for number, (run, kind) in enumerate(different):
            plain = Difference(run, RECORDS[kind].table, written[run, kind, "n"], stored[run, kind, "n"])
            found.append(_look_closer(db, plain, kind, sources) if number < _MOST_LOOKED_AT else plain)
        aside = dict(db.execute("SELECT file, count(*) FROM quarantine GROUP BY file").fetchall())
    wrong = [(key, damages[key], aside.get(key, 0)) for key in sorted(read & (damages.keys() | aside.keys()))]
    return Comparison(n_read, tuple(found), tuple(w for w in wrong if w[1] != w[2]), left_out)


@contextlib.contextmanager
def _snapshot(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """One generation of the file, for all questions of one checkup."""
    path = home.database
    fix = "`python -m em_core rebuild` makes it anew from the runs; nothing is lost"
    connection = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": "1GB", "autoinstall_known_extensions": False})
    try:
        try:
            quoted = str(path).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS store (READ_ONLY)")
            connection.execute("USE store")
            version = connection.execute("SELECT version, schema_sha256 FROM schema_version").fetchall()
        except duckdb.Error as error:
            raise WorkFailed(f"{path}: cannot be read ({str(error).splitlines()[0]})", fix) from error
        if version != [(database.VERSION, database.schema_sha256())]:
            raise WorkFailed(f"{path}: made by another version of the workbench", "`python -m em_core ingest` makes it anew")
        yield connection
    finally:
        connection.close()


def _marks(db: duckdb.DuckDBPyConnection) -> dict[str, Mark]:
    rows = db.execute("SELECT file, byte_offset, head_bytes, head_sha256, damaged FROM ingest_offsets").fetchall()
    return {file: Mark(offset, head_bytes, head, damaged) for file, offset, head_bytes, head, damaged in rows}


def _columns(kind: str) -> str:
    return ", ".join(name for name in arrow_schema(kind).names if name != "run_id")


def _stored(db: duckdb.DuckDBPyConnection) -> Counter[tuple[str, str, str]]:
    """Count and digest of each run and kind in the database."""
    found: Counter[tuple[str, str, str]] = Counter()
    for kind, record in RECORDS.items():
        for run, n, digest in _digests(db, record.table, kind):
            found[run, kind, "n"], found[run, kind, "digest"] = n, digest
    return found


def _digests(db: duckdb.DuckDBPyConnection, table: str, kind: str, rows: pa.Table | None = None) -> list[tuple[str, int, int]]:
    """Run, number of rows, and the sum of their hashes, of a base table or of `rows`."""
    sql = f"SELECT run_id, count(*), sum(hash({_columns(kind)})::HUGEINT) FROM {table} GROUP BY run_id"
    if rows is None:
        return [(str(run), int(n), int(digest)) for run, n, digest in db.execute(sql).fetchall()]
    db.register("rows", rows)
    try:
        return [(str(run), int(n), int(digest)) for run, n, digest in db.execute(sql).fetchall()]
    finally:
        db.unregister("rows")


def _look_closer(db: duckdb.DuckDBPyConnection, plain: Difference, kind: str, sources: list[Source]) -> Difference:
    """Which rows differ: one run's events of one kind are held in memory for it."""
    own = [(source, Mark()) for source in sources if source.run_id == plain.run_id]
    parts = [batch.tables[kind] for batch in read_batches(Work(read=own)) if kind in batch.tables]
    events = pa.concat_tables(parts) if parts else arrow_schema(kind).empty_table()
    columns, key = _columns(kind), _KEYS.get(plain.table, "t::VARCHAR")
    db.register("rows", events)
    try:
        stored = f"SELECT {columns} FROM {plain.table} WHERE run_id = $run"
        written = f"SELECT {columns} FROM rows"
        (missing, first), (surplus, other) = (
            db.execute(f"SELECT count(*), min({key}) FROM ({left} EXCEPT ALL {right})", {"run": plain.run_id}).fetchall()[0]
            for left, right in ((written, stored), (stored, written))
        )
    finally:
        db.unregister("rows")
    return replace(plain, missing=int(missing), surplus=int(surplus), example=str(first or other or ""))


def _whole_lines(source: Source, mark: Mark) -> int:
    """Bytes behind the mark that end with a line; a torn last line is none of them."""
    try:
        with source.path.open("rb") as file:
            file.seek(mark.byte_offset)
            left, last = source.size - mark.byte_offset, 0
            position = 0
            while left > position and (data := file.read(min(1 << 20, left - position))):
                cut = data.rfind(b"\n") + 1
                last = position + cut if cut else last
                position += len(data)
            return last
    except OSError:
        return 0
