from __future__ import annotations

from dataclasses import fields

import duckdb
import pytest

from em_core.records import RECORDS
from em_core.store import database
from em_core.store.parse import arrow_schema, plan
from tests.store.made import BASE_TABLES


@pytest.fixture(scope="module")
def empty() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    database.create_tables(connection)
    return connection


@pytest.mark.parametrize("kind", RECORDS)
def test_columns_are_the_records_fields_with_run_and_time(kind: str, empty: duckdb.DuckDBPyConnection) -> None:
    record = RECORDS[kind]
    rows = empty.execute(
        f"SELECT column_name, data_type FROM (DESCRIBE {record.table}) AS d(column_name, data_type, a, b, c, d)"
    ).fetchall()
    words = {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}
    assert [name for name, _ in rows] == ["run_id", "t", *(f.name for f in fields(record))]
    assert dict(rows) == {f.name: words[str(f.type)] for f in arrow_schema(kind)}
    assert len(plan(kind)) == len(rows) - 1


def test_every_table_and_column_says_what_it_means(empty: duckdb.DuckDBPyConnection) -> None:
    tables = empty.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall()
    assert {name for name, _ in tables} == set(BASE_TABLES)
    assert [name for name, comment in tables if not comment] == []
    assert empty.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
                         " AND table_name IN (SELECT table_name FROM duckdb_tables())").fetchall() == []  # fmt: skip


def test_no_keys_and_no_indexes(empty: duckdb.DuckDBPyConnection) -> None:
    assert empty.execute("SELECT count(*) FROM duckdb_indexes()").fetchone() == (0,)
    assert empty.execute("SELECT count(*) FROM duckdb_constraints()").fetchone() == (0,)
