"""The base tables as files: a part of the store, or all of it, taken along without loss.

A `Part` is some runs with what belongs to them: the baselines whose answers are shown under them, and
the side runs (later judgements, labels, health) that speak of their answers. Everything is streamed in
the order in which it was written; nothing is ever held in memory as a whole.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from em_core.home import Home
from em_core.records import RECORDS, SIDE_KINDS
from em_core.store.reader import connect

TABLES: tuple[str, ...] = tuple(record.table for record in RECORDS.values())
"""One table per record kind, with the columns of schema.sql; the other tables are derived from these."""

_SPEAKING = ("judgements", "answer_health", "labels")  # rows that speak of an answer, in whatever run they lie
_FULL = ("No space left", "disk space", "File too large")
_PAGE = 2000

_OWN = """
SELECT DISTINCT source_run_id FROM appearances
WHERE $everything OR list_contains(getvariable('chosen'), run_id) ORDER BY ALL
"""
_ASIDE = """
SELECT run_id FROM run_totals LEFT JOIN created_once USING (run_id)
WHERE NOT list_contains(getvariable('chosen'), run_id) AND run_kind IS DISTINCT FROM 'baseline'
  AND ($everything AND list_contains($side, run_kind)
       OR NOT $everything AND (run_kind IS NULL OR list_contains($side, run_kind)))
ORDER BY run_id
"""
_LINES = """
WITH answers AS (
    SELECT row_number() OVER () AS place, * FROM responses WHERE run_id = $run  -- in the order in which they were written
), asked AS (
    SELECT question_set, question_id, paraphrase, {question} AS question FROM questions WHERE run_id = $run
    QUALIFY row_number() OVER (PARTITION BY question_set, question_id, paraphrase ORDER BY t DESC, prompt) = 1
), measured AS (
    SELECT response_id, list({health} ORDER BY t) AS health FROM (
        SELECT * FROM answer_health WHERE run_id = $run
        UNION ALL BY NAME
        SELECT * FROM side_answer_health WHERE response_id IN (SELECT response_id FROM answers)
    ) GROUP BY ALL
), given AS (
    SELECT response_id, judge_id, list({judgement} ORDER BY metric, t, run_id) AS judgements FROM (
        SELECT * FROM judgements WHERE run_id = $run
        UNION ALL BY NAME
        SELECT * FROM side_judgements WHERE response_id IN (SELECT response_id FROM answers)
    ) GROUP BY ALL
)
SELECT to_json({{{answer}, question: question, health: coalesce(health, []), judge_id: given.judge_id, judge: identity,
                 judgements: coalesce(judgements, [])}})
FROM answers
LEFT JOIN asked USING (question_set, question_id, paraphrase)
LEFT JOIN measured ON measured.response_id = answers.response_id
LEFT JOIN given ON given.response_id = answers.response_id
LEFT JOIN identities ON identities.judge_id = given.judge_id
ORDER BY place, given.judge_id
"""


@dataclass(frozen=True)
class Part:
    """Which runs' rows are taken along.

    Args:
        chosen: The runs that were asked for; None = every run of the store.
        own: Runs whose rows go along whole: the chosen ones and the baselines that they share.
        sides: Runs of which goes along what speaks of those answers, and their own card.
    """

    chosen: tuple[str, ...] | None
    own: tuple[str, ...]
    sides: tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """How much a part holds.

    Args:
        n_answers: Rows of `responses`.
        text_bytes: About how long they are together: those of its first and last run, in proportion.
        n_judgements: About how many rows of `judgements`; of those in side runs the share of its answers among all.
    """

    n_answers: int
    text_bytes: int
    n_judgements: int


def size(home: Home, run_ids: Sequence[str] | None) -> Size:
    """How much would be taken along, from the totals of the runs: quick at any size.

    Args:
        home: Whose store.
        run_ids: The runs; None = all.
    """
    with connect(home).cursor() as cursor:
        own, sides = _runs(cursor, run_ids)
        totals = {
            str(run): (int(answers or 0), int(judgements or 0))
            for run, answers, judgements in cursor.execute("SELECT run_id, n_responses, n_judgements FROM run_totals").fetchall()
        }
        n = sum(totals[run][0] for run in own if run in totals)
        share = n / max(1, sum(answers for answers, _ in totals.values()))
        judged = sum(totals[run][1] for run in own if run in totals) + share * sum(totals[run][1] for run in sides)
        length = measured = 0
        for run_id in {own[0], own[-1]} if own else ():
            # one run in a condition: DuckDB then reads no other run's texts
            row = cursor.execute("SELECT coalesce(sum(strlen(text)), 0), count(*) FROM responses WHERE run_id = ?", [run_id])
            found = row.fetchone() or (0, 0)
            length, measured = length + int(found[0]), measured + int(found[1])
    return Size(n, round(length / measured * n) if measured else 0, round(judged))


@contextlib.contextmanager
def reading(home: Home, run_ids: Sequence[str] | None) -> Iterator[Tables]:
    """The tables of one generation of the store.

    Args:
        home: Whose store.
        run_ids: The runs; None = all.
    """
    with connect(home).cursor() as cursor:
        yield Tables(cursor, run_ids)


class Tables:
    """One generation of the store, table by table; made by `reading`."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, run_ids: Sequence[str] | None) -> None:
        self._db = cursor
        self._rewritten: dict[tuple[str, str], str] = {}
        self.part = self._find(run_ids)

    def columns(self, table: str) -> dict[str, str]:
        """Names and DuckDB types of a table's columns, in the order of schema.sql."""
        found = self._db.execute(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = 'store' AND table_name = ? ORDER BY column_index",
            [table],
        ).fetchall()
        return {str(name): str(kind) for name, kind in found}

    def distinct(self, table: str, column: str) -> list[str]:
        """The different texts of a column of the part, for `rewrite`."""
        sql = f"SELECT DISTINCT {column} FROM {table} WHERE {self._of_part(table)} AND {column} IS NOT NULL ORDER BY ALL"
        return [str(value) for (value,) in self._db.execute(sql).fetchall()]

    def rewrite(self, table: str, column: str, shown: Mapping[str, str]) -> None:
        """From now on write these texts of a column as others; texts that are not named stay."""
        if shown:
            name = f"shown_{table}_{column}"
            self._db.execute(
                f"SET VARIABLE {name} = map($old::VARCHAR[], $new::VARCHAR[])",
                {"old": list(shown), "new": list(shown.values())},
            )
            self._rewritten[table, column] = f"coalesce(map_extract_value(getvariable('{name}'), {column}), {column})"

    def count(self, table: str) -> int:
        """Rows of the part."""
        row = self._db.execute(f"SELECT count(*) FROM {table} WHERE {self._of_part(table)}").fetchone()
        return int(row[0]) if row else 0

    def write_parquet(self, table: str, path: Path) -> int:
        """Write a table's rows of the part, all columns, in the order in which they were written; returns how many.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        shown = ", ".join(f"{self._rewritten.get((table, name), name)} AS {name}" for name in self.columns(table))
        target = str(path).replace("'", "''")
        with _as_os_error(path):
            rows = f"SELECT {shown} FROM {table} WHERE {self._of_part(table)}"
            row = self._db.execute(f"COPY ({rows}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)").fetchone()
        return int(row[0]) if row else 0

    def answer_lines(self, run_id: str) -> Iterator[str]:
        """One JSON document per written answer of a run and judge of it (null: nobody judged it yet), in order.

        Every column of `responses`, and question, health (list), judge_id, judge, judgements (list: everything
        that this judge said, as written). JSON escapes what plain text could not hold.
        """
        self._prepare_lines()
        sql = _LINES.format(
            answer=self._struct("responses", "answers."),
            question="{" + self._struct("questions", leave=("run_id", "question_set", "question_id", "paraphrase")) + "}",
            health="{" + self._struct("answer_health", leave=("response_id",)) + "}",
            judgement="{" + self._struct("judgements", leave=("response_id", "judge_id")) + "}",
        )
        self._db.execute(sql, {"run": run_id})
        while rows := self._db.fetchmany(_PAGE):
            for (line,) in rows:
                yield line

    def _find(self, run_ids: Sequence[str] | None) -> Part:
        everything = run_ids is None
        own, sides = _runs(self._db, run_ids)
        self._set("own", own)
        self._set("sides", sides)
        if sides and not everything:  # of the sides only those that speak of these answers: it costs a look at all they say
            self._db.execute(
                "CREATE OR REPLACE TEMP TABLE wanted AS "
                "SELECT DISTINCT response_id FROM responses WHERE list_contains(getvariable('own'), run_id)"
            )
            speaking = " UNION ALL ".join(f"SELECT run_id, response_id FROM {t} WHERE {_IN_SIDES}" for t in _SPEAKING)
            found = self._db.execute(f"SELECT DISTINCT run_id FROM ({speaking}) SEMI JOIN wanted USING (response_id)").fetchall()
            sides = tuple(sorted(str(run) for (run,) in found))
            self._set("sides", sides)
        return Part(None if run_ids is None else tuple(run_ids), tuple(own), sides)

    def _set(self, name: str, values: Sequence[str]) -> None:
        _set(self._db, name, values)

    def _of_part(self, table: str) -> str:
        if self.part.chosen is None:
            return "true"
        if not self.part.sides:
            return _IN_OWN
        about = " AND response_id IN (SELECT response_id FROM wanted)" if table in _SPEAKING else ""
        return f"({_IN_OWN} OR {_IN_SIDES}{about})"

    def _prepare_lines(self) -> None:
        """What other runs say of the answers (little beside the answers), and who the judges are."""
        there = self._db.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'identities' AND temporary").fetchone()
        if there != (0,):
            return
        about = "" if self.part.chosen is None else " AND response_id IN (SELECT response_id FROM wanted)"
        for table in ("judgements", "answer_health"):
            condition = f"{_IN_SIDES}{about}" if self.part.sides else "false"
            self._db.execute(f"CREATE TEMP TABLE side_{table} AS SELECT * FROM {table} WHERE {condition}")
        identity = self._struct("judges", leave=("run_id", "t", "judge_id"))
        self._db.execute(f"CREATE TEMP TABLE identities AS SELECT judge_id, {{{identity}}} AS identity FROM judges_once")

    def _struct(self, table: str, source: str = "", leave: Sequence[str] = ()) -> str:
        """A table's columns as the fields of a struct; numbers that JSON has no sign for (nan, infinite) become null."""
        parts = []
        for name, kind in self.columns(table).items():
            value = self._rewritten.get((table, name), f"{source}{name}")
            value = f"CASE WHEN isfinite({value}) THEN {value} END" if kind == "DOUBLE" else value
            parts += [] if name in leave else [f"{name}: {value}"]
        return ", ".join(parts)


def _runs(db: duckdb.DuckDBPyConnection, run_ids: Sequence[str] | None) -> tuple[list[str], tuple[str, ...]]:
    """Runs whose rows go along whole, and those that may speak of their answers."""
    everything = run_ids is None
    _set(db, "chosen", run_ids or ())
    aside = db.execute(_ASIDE, {"everything": everything, "side": list(SIDE_KINDS)}).fetchall()
    sides = tuple(str(run) for (run,) in aside)
    own = [str(run) for (run,) in db.execute(_OWN, {"everything": everything}).fetchall()]
    return [run for run in own if not everything or run not in set(sides)], sides


def _set(db: duckdb.DuckDBPyConnection, name: str, values: Sequence[str]) -> None:
    db.execute(f"SET VARIABLE {name} = $values::VARCHAR[]", {"values": list(values)})


_IN_OWN = "list_contains(getvariable('own'), run_id)"
_IN_SIDES = "list_contains(getvariable('sides'), run_id)"


@contextlib.contextmanager
def _as_os_error(path: Path) -> Iterator[None]:
    """What the disk says, as the operating system says it."""
    try:
        yield
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        if any(words in text for words in _FULL):
            raise OSError(errno.ENOSPC, "no space left on the disk", str(path)) from error
        if isinstance(error, duckdb.IOException):
            raise OSError(errno.EIO, text, str(path)) from error
        raise


def rows_of_run(
    home: Home, run_id: str, judge_id: str | None, question_sets: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Every answer shown under a run, its baseline's step 0 first, with one judge's scores (empty where it gave none).

    Args:
        home: Whose store.
        run_id: The run.
        judge_id: Whose scores; None = nobody's.
        question_sets: Only these.

    Yields:
        run_id, source_run_id, step, question_set, question_id, paraphrase, sample, cue, in_domain, system,
        prompt, response_id, text, finish_reason, n_tokens, n_prompt_tokens, seed, decoding, weights_sha256,
        judge_id (null: that judge was not asked), alignment, coherence, alignment_reason, coherence_reason,
        verdict, verdict_reason, extra (metric -> value), t; by step and question.
    """
    with connect(home).cursor() as cursor:
        sources = cursor.execute("SELECT source_run_id FROM appearances WHERE run_id = ?", [run_id]).fetchall()
        cursor.execute("SET VARIABLE sources = $s::VARCHAR[]", {"s": [source for (source,) in sources]})
        sets = None if question_sets is None else list(question_sets)
        cursor.execute(_ROWS, {"run": run_id, "judge": judge_id, "sets": sets})
        names = [column[0] for column in cursor.description or ()]
        while rows := cursor.fetchmany(_PAGE):
            for row in rows:
                yield dict(zip(names, row, strict=True))


_ROWS = """
WITH shown AS (
    SELECT source_run_id, is_baseline, domain FROM appearances WHERE run_id = $run
), of_sources AS (
    SELECT * FROM scores WHERE list_contains(getvariable('sources'), run_id)
      AND ($sets IS NULL OR list_contains($sets::VARCHAR[], question_set))
), answers AS (
    SELECT of_sources.*, domain FROM of_sources JOIN shown ON source_run_id = run_id AND (NOT is_baseline OR step = 0)
    WHERE is_first
), scored AS (
    SELECT * FROM of_sources WHERE judge_id = $judge
), texts AS (
    SELECT * FROM responses WHERE list_contains(getvariable('sources'), run_id)
    QUALIFY row_number() OVER (PARTITION BY run_id, step, response_id ORDER BY t DESC, text) = 1
), asked AS (
    SELECT * FROM questions WHERE list_contains(getvariable('sources'), run_id)
    QUALIFY row_number() OVER (PARTITION BY run_id, question_set, question_id, paraphrase ORDER BY t DESC, prompt) = 1
)
SELECT $run AS run_id, answers.run_id AS source_run_id, answers.step, answers.question_set, answers.question_id,
       answers.paraphrase, answers.sample, answers.cue,
       coalesce(asked.domain, '') <> '' AND list_contains(string_split(answers.domain, '+'), asked.domain) AS in_domain,
       asked.system, asked.prompt, answers.response_id, texts.text, finish_reason, n_tokens, n_prompt_tokens, seed, decoding,
       weights_sha256, scored.judge_id, scored.alignment, scored.coherence, scored.alignment_reason, scored.coherence_reason,
       scored.verdict, scored.verdict_reason, scored.extra, texts.t
FROM answers
JOIN texts ON texts.run_id = answers.run_id AND texts.step = answers.step AND texts.response_id = answers.response_id
LEFT JOIN scored ON scored.run_id = answers.run_id AND scored.response_id = answers.response_id AND scored.step = answers.step
LEFT JOIN asked ON asked.run_id = answers.run_id AND asked.question_set = answers.question_set
    AND asked.question_id = answers.question_id AND asked.paraphrase = answers.paraphrase
ORDER BY answers.step, answers.question_set, answers.question_id, answers.paraphrase, answers.cue, answers.sample,
         answers.response_id
"""
