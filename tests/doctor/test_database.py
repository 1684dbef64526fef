"""Database against events: what is missing, what is too much, what is damaged, and what only looks so."""

from __future__ import annotations

import gc

import duckdb
import pytest

from em_core import doctor
from em_core.home import Home
from em_core.records import TrainMetric
from em_core.store import checkup, reader
from em_core.store.publish import publish
from tests.doctor.conftest import look, unhappy
from tests.store import made


def change(home: Home, sql: str) -> None:
    """Do to the published file what nobody should."""
    reader.forget(home)
    gc.collect()  # the last reader of this process lets go of the file
    with duckdb.connect(str(home.database)) as db:
        db.execute(sql)


def test_a_whole_home_equals_its_events_in_every_column(home: Home) -> None:
    assert unhappy(home, "database", "consistency", deep=True) == []
    [equal] = look(home, "consistency", deep=True)
    found = checkup.compare(home)
    assert found.differences == ()
    assert f"{found.n_rows:,} rows" in equal.found


def test_without_deep_no_event_is_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "compare", lambda *_: pytest.fail("it was read"))
    [finding] = look(home, "consistency")
    assert "--deep" in finding.found


@pytest.mark.parametrize(
    ("sql", "table", "missing", "surplus"),
    [
        ("DELETE FROM responses WHERE run_id = 'run-a' AND step = 1", "responses", 8, 0),
        ("INSERT INTO judgements SELECT * FROM judgements WHERE run_id = 'run-a' LIMIT 3", "judgements", 0, 3),
        ("UPDATE responses SET text = 'another' WHERE run_id = 'run-a' AND step = 2 AND sample = 0", "responses", 2, 2),
        ("UPDATE judgements SET value = value + 1e-9 WHERE run_id = 'run-a' AND value = 80", "judgements", 6, 6),
    ],
)
def test_rows_that_differ_are_found_named_and_counted(home: Home, sql: str, table: str, missing: int, surplus: int) -> None:
    change(home, sql)
    [difference] = checkup.compare(home).differences
    assert (difference.run_id, difference.table) == ("run-a", table)
    assert (difference.missing, difference.surplus) == (missing, surplus)
    assert difference.example
    [finding] = unhappy(home, "consistency", deep=True)
    assert finding.status == "broken"
    assert "rebuild" in finding.fix


def test_a_changed_number_of_rows_is_seen_without_reading_events(home: Home) -> None:
    change(home, "DELETE FROM responses WHERE run_id = 'run-b' AND step = 1")
    [finding] = unhappy(home, "database")
    assert (finding.status, finding.what) == ("broken", "totals")
    assert "run-b" in finding.found


def test_events_that_are_not_in_yet_are_no_difference_but_said(home: Home) -> None:
    made.write(home, "run-a", TrainMetric(1, 0.1, 2.0, 1e-4, 1.0, 100.0, None))
    assert checkup.compare(home).differences == ()
    [finding] = unhappy(home, "database")
    assert finding.what == "up to date"
    assert "1 of" not in finding.fix
    assert "ingest" in finding.fix
    publish(home)
    assert unhappy(home, "database", "consistency", deep=True) == []


def test_a_torn_end_counts_as_nothing(home: Home) -> None:
    made.append(home, "run-a", b'{"kind": "metr')
    assert unhappy(home, "database", "consistency", deep=True) == []


def test_damaged_lines_are_counted_on_both_sides(home: Home) -> None:
    made.append(home, "run-a", b"not JSON\n")
    publish(home)
    assert checkup.compare(home).quarantine == ()
    [finding] = unhappy(home, "database")
    assert finding.what == "quarantine"
    assert "1 damaged line in runs/run-a/events/worker-1.jsonl" in finding.found
    change(home, "DELETE FROM quarantine")
    assert checkup.compare(home).quarantine == (("runs/run-a/events/worker-1.jsonl", 1, 0),)


def test_a_file_that_was_cut_is_left_out_and_said(home: Home) -> None:
    path = home.run_dir("run-a") / "events" / "worker-1.jsonl"
    path.write_bytes(path.read_bytes()[:2000])
    found = checkup.compare(home)
    assert found.left_out == ("runs/run-a/events/worker-1.jsonl",)
    assert found.differences == ()
    assert [f.what for f in unhappy(home, "consistency", deep=True)] == ["not compared"]


def test_a_database_of_another_schema_is_said_with_what_makes_it_anew(home: Home) -> None:
    change(home, "UPDATE schema_version SET schema_sha256 = 'x'")
    [finding] = look(home, "database")
    assert finding.status == "broken"
    assert "another version" in finding.found
    publish(home)
    assert [f.what for f in unhappy(home, "database")] == ["set aside"]


def test_what_a_killed_publisher_left_is_removed_and_a_foreign_log_only_shown(home: Home) -> None:
    half_made = home.database.with_name("runs.duckdb.new-1-1")
    half_made.write_bytes(b"x" * 5000)
    log = home.database.with_name("runs.duckdb.wal")
    log.write_bytes(b"x")
    [wal, left] = unhappy(home, "database")
    assert (wal.what, left.what) == ("write-ahead log", "half-made databases")
    [_, done] = doctor.repair([wal, left])
    assert done.status == "fixed"
    assert not half_made.exists()
    assert log.exists()


def test_a_home_without_database_says_how_it_is_made(tmp_path: object, home: Home) -> None:
    home.database.unlink()
    [finding] = look(home, "database")
    assert finding.status == "note"
    assert "ingest" in finding.fix
