"""Rows into a private copy of the database: events, quarantine, offsets, and the derived tables.

Everything happens in the caller's one transaction. `scores`, `contents`, `served` and `run_totals` are recomputed only
for what the new rows touch, and are a function of the base tables alone, so that a rebuild from the
events gives the same content as any sequence of publishes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import duckdb
import pyarrow as pa

from em_core.records import RECORDS
from em_core.store.ingest import Batch, Mark, Source

_QUARANTINE = pa.schema(
    [("file", pa.string()), ("byte_offset", pa.int64()), ("reason", pa.string()), ("line_head", pa.string()), ("t", pa.float64())]
)
_MARKS = pa.schema(
    [
        ("file", pa.string()),
        ("byte_offset", pa.int64()),
        ("head_bytes", pa.int64()),
        ("head_sha256", pa.string()),
        ("damaged", pa.bool_()),
    ]
)

# The answers of the touched checkpoints, once each; their judgements pivoted: the latest scored one
# of each metric (arg_max leaves nulls out), its reason only where no value was ever given.
_SCORES = """
INSERT INTO scores BY NAME
WITH answers AS (
    SELECT run_id, step, question_set, question_id, paraphrase, sample, cue, response_id,
           max(t) AS response_t, count(*) AS n_written
    FROM responses {of_touched} GROUP BY ALL
), judged AS (
    SELECT response_id, judge_id,
           arg_max(value, (t, value)) FILTER (metric = 'alignment') AS alignment,
           arg_max(value, (t, value)) FILTER (metric = 'coherence') AS coherence,
           arg_max(unscored_reason, (t, unscored_reason)) FILTER (metric = 'alignment') AS alignment_reason,
           arg_max(unscored_reason, (t, unscored_reason)) FILTER (metric = 'coherence') AS coherence_reason,
           arg_max(verdict, (t, verdict)) FILTER (metric = 'verdict') AS verdict,
           arg_max(unscored_reason, (t, unscored_reason)) FILTER (metric = 'verdict') AS verdict_reason,
           bool_or(metric NOT IN ('alignment', 'coherence', 'verdict')) AS has_others
    FROM judgements {of_answers} GROUP BY response_id, judge_id
), others AS (
    SELECT response_id, judge_id, map_from_entries(list((metric, value) ORDER BY metric)) AS extra
    FROM (
        SELECT response_id, judge_id, metric, arg_max(value, (t, value)) AS value FROM judgements
        WHERE metric NOT IN ('alignment', 'coherence', 'verdict') AND value IS NOT NULL
          AND response_id IN (SELECT response_id FROM judged WHERE has_others)
        GROUP BY ALL
    ) GROUP BY ALL
), numbered AS (
    SELECT *, judge_id IS NOT DISTINCT FROM min(judge_id) OVER (PARTITION BY response_id) AS is_lowest FROM judged
)
SELECT answers.*, coalesce(is_lowest, true) AS is_first, judge_id, alignment, coherence,
       CASE WHEN alignment IS NULL THEN alignment_reason END AS alignment_reason,
       CASE WHEN coherence IS NULL THEN coherence_reason END AS coherence_reason,
       verdict, CASE WHEN verdict IS NULL THEN verdict_reason END AS verdict_reason, extra
FROM answers LEFT JOIN numbered USING (response_id) LEFT JOIN others USING (response_id, judge_id)
ORDER BY run_id, step
"""
_CONTENTS = """
INSERT INTO contents BY NAME
SELECT scores.run_id, step, scores.question_set, coalesce(domain, '') AS question_domain, judge_id, count(*) AS n_answers,
       count(alignment) AS n_alignment, count(coherence) AS n_coherence, count(verdict) AS n_verdict,
       list_sort(coalesce(list_distinct(flatten(list(map_keys(extra)) FILTER (extra IS NOT NULL))), [])) AS extra_metrics
FROM scores
LEFT JOIN questions_once AS questions USING (run_id, question_set, question_id, paraphrase)
{of_touched} GROUP BY ALL ORDER BY ALL
"""
_OF_TOUCHED = "WHERE (run_id, step) IN (SELECT run_id, step FROM touched)"
_OF_ANSWERS = "WHERE response_id IN (SELECT response_id FROM answers)"

_TOTALS = """
INSERT INTO run_totals BY NAME
SELECT run_id, sum(n)::BIGINT AS n_events, coalesce(sum(n) FILTER (kind = 'response'), 0)::BIGINT AS n_responses,
       coalesce(sum(n) FILTER (kind = 'judgement'), 0)::BIGINT AS n_judgements, max(last_t) AS last_t
FROM ({counted}) GROUP BY run_id
"""

_SERVED = """
INSERT INTO served BY NAME
SELECT run_id, judge_id, served_model, {n}::BIGINT AS n FROM {source} GROUP BY run_id, judge_id, served_model ORDER BY ALL
"""


def derive_everything(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill the empty derived tables from the base tables, as a rebuild would: totals, appearances, scores, contents, served.

    For whoever fills the base tables with something else than events (`benchmarks/big_store.py`).
    """
    counted = " UNION ALL ".join(
        f"SELECT run_id, '{kind}' AS kind, count(*) AS n, max(t) AS last_t FROM {record.table} GROUP BY run_id"
        for kind, record in RECORDS.items()
    )
    connection.execute(_TOTALS.format(counted=counted))
    connection.execute(_SERVED.format(n="count(*)", source="judgements"))
    _derive_appearances(connection)
    _derive_scores(connection)


def _derive_appearances(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DELETE FROM appearances")
    connection.execute("INSERT INTO appearances BY NAME SELECT * FROM appearances_now ORDER BY run_id, is_baseline")


def _derive_scores(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_SCORES.format(of_touched="", of_answers=""))
    connection.execute(_CONTENTS.format(of_touched=""))


class Appender:
    """Collects one transaction's worth of changes to a database.

    Args:
        connection: Read-write, on a private copy, inside a transaction.
        everything: The database was empty: derive all scores at once.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, everything: bool) -> None:
        self._db = connection
        self._everything = everything
        self._marks: dict[str, Mark] = {}
        self.n_quarantined = 0
        for name, columns in (
            ("arrived", "run_id VARCHAR, kind VARCHAR, n BIGINT, last_t DOUBLE"),
            ("touched", "run_id VARCHAR, step BIGINT"),
            ("rejudged", "response_id VARCHAR"),
            ("answered", "run_id VARCHAR, judge_id VARCHAR, served_model VARCHAR, n BIGINT"),
            ("asked", "run_id VARCHAR"),
        ):
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({columns})")

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._db.register("incoming", rows)
        try:
            self._db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        finally:
            self._db.unregister("incoming")

    def drop_runs(self, runs: Iterable[str]) -> None:
        """Remove every row that came from these runs' files."""
        for run_id in sorted(runs):
            self._db.execute("INSERT INTO rejudged SELECT response_id FROM judgements WHERE run_id = ?", [run_id])
            for table in (*(record.table for record in RECORDS.values()), "scores", "contents", "served", "run_totals"):
                self._db.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])
            for table in ("ingest_offsets", "quarantine"):
                self._db.execute(f"DELETE FROM {table} WHERE split_part(file, '/', 2) = ?", [run_id])

    def quarantine(self, rows: list[tuple[str, int, str, str]]) -> None:
        """Put (file, byte offset, reason, line head) into the quarantine table."""
        if rows:
            now = time.time()
            columns = [list(column) for column in zip(*rows, strict=True)]
            self._insert(
                "quarantine", pa.Table.from_arrays([*map(pa.array, columns), pa.repeat(now, len(rows))], schema=_QUARANTINE)
            )
            self.n_quarantined += len(rows)

    def shrunk(self, source: Source, mark: Mark) -> None:
        """Note once that a file lost bytes; it is not read any further."""
        reason = f"the file shrank from {mark.byte_offset:,} bytes read to {source.size:,}; not read any further"
        self.quarantine([(source.key, source.size, reason, "")])
        self._marks[source.key] = Mark(mark.byte_offset, mark.head_bytes, mark.head_sha256, damaged=True)

    def add(self, batch: Batch) -> None:
        """Append one batch."""
        for kind, rows in batch.tables.items():
            self._db.register("incoming", rows)
            try:
                self._db.execute(f"INSERT INTO {RECORDS[kind].table} BY NAME SELECT * FROM incoming")
                self._db.execute("INSERT INTO arrived SELECT run_id, ?, count(*), max(t) FROM incoming GROUP BY run_id", [kind])
                if kind == "response" and not self._everything:
                    self._db.execute("INSERT INTO touched SELECT DISTINCT run_id, step FROM incoming")
                if kind == "question" and not self._everything:
                    self._db.execute("INSERT INTO asked SELECT DISTINCT run_id FROM incoming")
                if kind == "judgement":
                    self._db.execute(
                        "INSERT INTO answered SELECT run_id, judge_id, served_model, count(*) FROM incoming GROUP BY ALL"
                    )
                if kind == "judgement" and not self._everything:
                    self._db.execute("INSERT INTO rejudged SELECT DISTINCT response_id FROM incoming")
            finally:
                self._db.unregister("incoming")
        self.quarantine([(file, d.byte_offset, d.reason, d.line_head) for file, d in batch.damages])
        self._marks.update(batch.marks)

    def finish(self) -> None:
        """Write the offsets and bring the derived tables up to date."""
        if self._marks:
            rows = [(file, m.byte_offset, m.head_bytes, m.head_sha256, m.damaged) for file, m in self._marks.items()]
            marks = pa.Table.from_arrays([pa.array(column) for column in zip(*rows, strict=True)], schema=_MARKS)
            self._db.register("incoming", marks)
            self._db.execute("DELETE FROM ingest_offsets WHERE file IN (SELECT file FROM incoming)")
            self._db.execute("INSERT INTO ingest_offsets BY NAME SELECT * FROM incoming")
            self._db.unregister("incoming")
        self._update_totals()
        self._update_served()
        self._update_scores()

    def _update_totals(self) -> None:
        self._db.execute("""
            CREATE OR REPLACE TEMP TABLE summed AS
            SELECT run_id, sum(n_events)::BIGINT AS n_events, sum(n_responses)::BIGINT AS n_responses,
                   sum(n_judgements)::BIGINT AS n_judgements, max(last_t) AS last_t
            FROM (
                SELECT run_id, n AS n_events, n * (kind = 'response')::BIGINT AS n_responses,
                       n * (kind = 'judgement')::BIGINT AS n_judgements, last_t
                FROM arrived
                UNION ALL
                SELECT run_id, n_events, n_responses, n_judgements, last_t FROM run_totals
                WHERE run_id IN (SELECT run_id FROM arrived)
            ) GROUP BY run_id""")
        self._db.execute("DELETE FROM run_totals WHERE run_id IN (SELECT run_id FROM summed)")
        self._db.execute("INSERT INTO run_totals BY NAME SELECT * FROM summed")
        _derive_appearances(self._db)

    def _update_served(self) -> None:
        if not self._any("answered"):
            return
        self._db.execute("INSERT INTO answered SELECT * FROM served WHERE run_id IN (SELECT run_id FROM answered)")
        self._db.execute("DELETE FROM served WHERE run_id IN (SELECT run_id FROM answered)")
        self._db.execute(_SERVED.format(n="sum(n)", source="answered"))

    def _update_scores(self) -> None:
        if self._everything:
            _derive_scores(self._db)
            return
        if not self._any("touched") and not self._any("rejudged") and not self._any("asked"):
            return
        self._db.execute("""
            CREATE OR REPLACE TEMP TABLE touched AS
            SELECT DISTINCT run_id, step FROM touched
            UNION
            SELECT DISTINCT run_id, step FROM responses WHERE response_id IN (SELECT response_id FROM rejudged)
            UNION
            SELECT DISTINCT run_id, step FROM contents WHERE run_id IN (SELECT run_id FROM asked)""")
        for table in ("scores", "contents"):
            self._db.execute(f"DELETE FROM {table} WHERE (run_id, step) IN (SELECT run_id, step FROM touched)")
        self._db.execute(_SCORES.format(of_touched=_OF_TOUCHED, of_answers=_OF_ANSWERS))
        self._db.execute(_CONTENTS.format(of_touched=_OF_TOUCHED))

    def _any(self, table: str) -> bool:
        return self._db.execute(f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)").fetchone() != (0,)
