"""What a read-only demonstration shows of the database: all results, nothing of the machines and people behind them.

The tables of a store are looked at through a second, empty one: the small tables that can hold paths, host names,
addresses or names of people are copied with these taken out, every other table is a view of the file's own. Queries do
not notice. Nothing is written to the file (it may lie on a medium that cannot be written).
"""

from __future__ import annotations

from functools import cache

import duckdb

from em_core.private_paths import shortened_sql
from em_core.store import database


def _without_paths(column: str) -> str:
    return f"{shortened_sql(column)} AS {column}"


_PERSON = "'person ' || dense_rank() OVER (ORDER BY labeller)"
MASKED: dict[str, tuple[str, ...]] = {
    "run_created": tuple(map(_without_paths, ("label", "experiment", "spec_json", "base_model", "revision", "data_sources"))),
    "run_facts": ("NULL AS host", "'{}' AS versions_json"),
    "run_states": tuple(map(_without_paths, ("reason", "hint"))),
    "checkpoints": (_without_paths("path"),),
    "judges": ("'' AS endpoint_host", *map(_without_paths, ("model", "decoding"))),
    "labels": ("'labels' AS run_id", f"{_PERSON} AS labeller", "'' AS note"),
    "run_totals": (),
    "served": (f"CASE WHEN served_model IS NOT NULL THEN {shortened_sql('served_model')} END AS served_model",),
    "imports": tuple(map(_without_paths, ("file", "skipped", "note"))),
    "published_rates": tuple(map(_without_paths, ("source", "note"))),
    "appearances": tuple(map(_without_paths, ("label", "experiment", "base_model"))),
}
"""The copied tables, each with what its columns are replaced by."""
EMPTY = ("quarantine", "ingest_offsets")
"""Tables of bookkeeping, of which nothing is shown."""
_NOT_PEOPLE = "WHERE run_id NOT IN (SELECT run_id FROM file.run_created WHERE run_kind = 'labels')"  # their ids hold names
# of a table too large to copy: a server's own words about a failure, and the model's file that a local server names
_LATE = {
    "judgements": f"""* REPLACE (CASE WHEN unscored_reason = 'api_error' THEN '' ELSE raw_reply END AS raw_reply,
        CASE WHEN served_model IS NOT NULL THEN {shortened_sql("served_model")} END AS served_model)"""
}


def attach(connection: duckdb.DuckDBPyConnection, quoted: str) -> None:
    """Attach the file as ``file``, and as ``store`` what may be shown of it.

    Args:
        connection: In memory, nothing attached yet.
        quoted: The file's path, single quotes doubled.
    """
    connection.execute(f"ATTACH '{quoted}' AS file (READ_ONLY)")
    connection.execute("ATTACH ':memory:' AS store")
    connection.execute("USE store")
    connection.execute("SELECT version FROM file.schema_version").fetchone()
    found = connection.execute(
        "SELECT table_name, false FROM duckdb_tables() WHERE database_name = 'file'"
        " UNION ALL SELECT view_name, true FROM duckdb_views() WHERE database_name = 'file' AND NOT internal"
    ).fetchall()
    views = {name for name, is_view in found if is_view}
    touched = {*MASKED, *EMPTY}
    for name, is_view in found:
        if name in MASKED:
            columns = f"* REPLACE ({', '.join(MASKED[name])})" if MASKED[name] else "*"
            which = "" if name == "labels" else _NOT_PEOPLE
            connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM file.{name} {which} ORDER BY rowid")
        elif name in EMPTY:
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM file.{name} LIMIT 0")
        elif not is_view:
            connection.execute(f"CREATE VIEW {name} AS SELECT {_LATE.get(name, '*')} FROM file.{name}")
    for name, sql in _views():  # in their order: a view may look at an earlier one
        if name not in views:
            continue
        if touched.intersection(_words(sql)):
            connection.execute(sql)
            touched.add(name)
        else:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM file.{name}")


@cache
def _views() -> list[tuple[str, str]]:
    start = "CREATE VIEW "
    statements = [part.query.strip() for part in duckdb.extract_statements(database.schema_sql())]
    statements = [text[text.index(start) :] for text in statements if start in text]
    return [(text[len(start) :].split(maxsplit=1)[0], text) for text in statements]


def _words(sql: str) -> set[str]:
    return set("".join(c if c.isalnum() or c == "_" else " " for c in sql).split())
