"""Parquet and JSON lines hold what the database holds, for a part of the runs too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from em_core.export import export
from em_core.export.private import COLUMNS, Private
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.reader import connect
from em_core.store.tables import TABLES, reading
from tests.export.hostile import HOSTILE, LONG, PERSON

RAW = ("parquet", "jsonl")
CHANGED = {*((table, column) for table, columns in COLUMNS.items() for column in columns), ("labels", "labeller")}


def _read(folder: Path, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT {columns} FROM read_parquet('{folder}/parquet/{table}.parquet')").fetchall()


def _stored(home: Home, table: str, columns: str = "*", where: str = "true") -> list[tuple[Any, ...]]:
    with connect(home).cursor() as cursor:
        return cursor.execute(f"SELECT {columns} FROM {table} WHERE {where}").fetchall()


@pytest.fixture(scope="module")
def whole(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "export"
    export(home, Selection(), out, RAW)
    return out


@pytest.fixture(scope="module")
def one(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one") / "export"
    export(home, Selection(run_ids=("tuned-1",)), out, RAW)
    return out


@pytest.mark.parametrize("table", TABLES)
def test_every_table_comes_back_row_for_row_with_its_types(home: Home, whole: Path, table: str) -> None:
    with reading(home, None) as store:
        columns = store.columns(table)
    kept = [name for name in columns if (table, name) not in CHANGED and name != "run_id"]
    assert _read(whole, table, ", ".join(kept)) == _stored(home, table, ", ".join(kept))
    described = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{whole}/parquet/{table}.parquet')").fetchall()
    assert {row[0]: row[1] for row in described} == columns
    assert json.loads((whole / "parquet" / "manifest.json").read_text())["tables"][table]["columns"] == columns


def test_hostile_texts_come_back_letter_for_letter(whole: Path) -> None:
    texts = {text for (text,) in _read(whole, "responses", "text")}
    assert {*HOSTILE, LONG, "? lone"} <= texts


def test_a_part_holds_its_runs_their_baseline_and_what_others_say_of_their_answers(home: Home, one: Path) -> None:
    stand_in = Private(home).run_id(f"labels-{PERSON}")
    runs = {run for (run,) in _read(one, "run_created", "run_id")}
    assert runs == {"tuned-1", "base-1", "judge-later", stand_in}
    assert {run for (run,) in _read(one, "responses", "run_id")} == {"tuned-1", "base-1"}
    later = _read(one, "judgements", "run_id, judge_id, value, raw_reply, token_probs")
    assert [row for row in later if row[0] == "judge-later"] == [("judge-later", "judge-2", 12.5, "=reply", '{"12": 0.5}')]
    assert _read(one, "labels", "run_id, labeller, value, note") == [(stand_in, Private(home).person(PERSON), 10.0, "=note")]
    of_run = "run_id IN ('tuned-1', 'base-1')"
    assert len(_read(one, "answer_health")) == len(_stored(home, "answer_health", where=of_run))
    manifest = json.loads((one / "parquet" / "manifest.json").read_text())
    assert set(manifest["runs"]) == {"tuned-1", "base-1"}
    assert set(manifest["side_runs"]) == {"judge-later", stand_in}


def test_json_lines_hold_every_answer_with_everything_that_each_judge_said(home: Home, one: Path) -> None:
    with (one / "responses.jsonl").open(encoding="utf-8", newline="\n") as file:
        lines = [json.loads(line) for line in file]
    stored = _stored(home, "responses", "response_id, text, seed, weights_sha256, t", "run_id IN ('tuned-1', 'base-1')")
    found = {line["response_id"]: line for line in lines}
    assert {key: (key, line["text"], line["seed"], line["weights_sha256"], line["t"]) for key, line in found.items()} == {
        row[0]: row for row in stored
    }
    given = [(line["response_id"], line["judge_id"], each["metric"], each["value"], each["unscored_reason"], each["raw_reply"], each["t"])
             for line in lines for each in line["judgements"]]  # fmt: skip
    columns = "response_id, judge_id, metric, value, unscored_reason, raw_reply, t"
    wanted = "response_id IN (SELECT response_id FROM responses WHERE run_id IN ('tuned-1', 'base-1'))"
    assert sorted(given, key=repr) == sorted(_stored(home, "judgements", columns, wanted), key=repr)
    judged_twice = [line for line in lines if line["judge_id"] == "judge-2"]
    assert [line["judgements"][0]["value"] for line in judged_twice] == [12.5]
    unjudged = [line for line in lines if line["judge_id"] is None]
    assert [(line["text"], line["judgements"]) for line in unjudged] == [("? lone", [])]
    assert all(line["health"] for line in lines if line["sample"] < 90)


def test_lines_end_at_line_feeds_only(one: Path) -> None:
    data = (one / "responses.jsonl").read_bytes()
    assert b"\x00" not in data
    assert b"\r" not in data
    assert all(json.loads(line) for line in data.splitlines())
