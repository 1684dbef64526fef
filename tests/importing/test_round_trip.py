"""Our own exports come back equal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from em_core import importing, spreadsheet
from em_core.errors import BadInput
from em_core.events import EventWriter
from em_core.home import Home
from em_core.records import (
    RECORDS,
    AnswerHealth,
    Checkpoint,
    Generation,
    HumanLabel,
    JudgeIdentity,
    Judgement,
    PublishedRate,
    Record,
    RunState,
    TrainMetric,
)  # fmt: skip
from em_core.selection import Selection
from em_core.store.publish import publish
from em_core.store.rates import rates
from tests.importing.made import fg_judged, frame, home_in
from tests.store import made

TABLES = [record.table for record in RECORDS.values()]
NASTY = ["=cmd()", "'=quoted", "a\r\nb", "NUL\0", "<img src=x>", "‮x", "", "\ud83d", "+1", "@x", "\t=1"]


def full_home(folder: Path, name: str = "source", state: str = "finished") -> Home:
    """A run with a baseline, a later judging job, labels and published rates: something in every table."""
    home = home_in(folder, name)
    judge = JudgeIdentity("judge-1", "organism", "", "exact", "0", "{}", "")
    run: list[Record] = [
        made.created(label="Läufer"),
        made.facts("base-x"),
        RunState("run", state),
        judge,
        made.question(),
        made.question("q1", "medical"),
    ]  # type: ignore[arg-type]
    answers = [made.response("run-a", step, sample, text=text) for step in (10, 20) for sample, text in enumerate(NASTY)]
    for place, answer in enumerate(answers):
        run += [answer, *made.judged(answer, 100 / 3 + place if place % 4 else None, 80.5)]
    run += [
        Checkpoint(10, 0.5, "checkpoints/step-10", "ab", 1234, 160),
        TrainMetric(1, 0.1, None, 2e-4, 1.5, None, 0.1),
        Generation(10, "local", 22, 300, 1.5, 22, True, None),
    ]
    run += [AnswerHealth(answers[0].response_id, "1", 6, 1, 0.0, 0.0, False, None, None, True)]
    write(home, "run-a", run)
    write(
        home,
        "base-x",
        [made.created("", run_kind="baseline"), made.facts(), made.question(), *made.scored("base-x", 0, [(90, 90), (10, 90)])],
    )
    later = JudgeIdentity("judge-2", "openai", "gpt-x", "logprobs", "1", '{"t": 0}', "api.example.org")
    probs = Judgement(
        answers[0].response_id, "judge-2", "alignment", 12.5, None, "12", '{"12": 0.5, "13": 0.5}', 10, 1, True, None, "gpt-x-1"
    )
    write(home, "judge-x-1", [made.created("", run_kind="judge"), later, probs])
    write(
        home,
        "labels-anna",
        [made.created("", run_kind="labels"), HumanLabel(answers[0].response_id, "anna", "alignment", 7.0, None, "=note")],
    )
    write(
        home,
        "told",
        [
            made.created("", run_kind="imported"),
            PublishedRate("s", "m", "f", "hw0", "j", "b", None, "", None, "q", em_rate=1 / 3),
        ],
    )
    publish(home)
    return home


def write(home: Home, run_id: str, records: list[Record]) -> None:
    with EventWriter(home.run_dir(run_id), "worker-1") as events:
        events.write(*records)


def tables_of(home: Home) -> dict[str, pd.DataFrame]:
    return {table: frame(home, f"SELECT * FROM {table} ORDER BY ALL") for table in TABLES if table != "imports"}


def to_parquet(home: Home, folder: Path) -> Path:
    """The contract of an export: one Parquet file per base table, and a manifest that names them."""
    folder.mkdir(parents=True)
    with duckdb.connect(":memory:") as db:
        db.execute(f"ATTACH '{home.database}' AS s (READ_ONLY)")
        rows = {}
        for table in TABLES:
            db.execute(f"COPY (SELECT * FROM s.{table}) TO '{folder / table}.parquet' (FORMAT parquet)")
            rows[table] = {"file": f"{table}.parquet", "rows": db.execute(f"SELECT count(*) FROM s.{table}").fetchone()[0]}
    (folder / "manifest.json").write_text(json.dumps({"kind": "em-workbench tables", "tables": rows}))
    return folder


def test_every_table_comes_back_equal_from_parquet(tmp_path: Path) -> None:
    source, home = full_home(tmp_path), home_in(tmp_path)
    report = importing.bring(home, [to_parquet(source, tmp_path / "out/parquet")])
    before, after = tables_of(source), tables_of(home)
    for table, content in before.items():
        pd.testing.assert_frame_equal(after[table], content, obj=table, check_exact=True)
        assert len(content), f"{table} is empty: nothing is shown of it"
    assert report.n_new == 5
    pd.testing.assert_frame_equal(rates(home, "betley"), rates(source, "betley"))
    shown = "SELECT * EXCLUDE (t) FROM scored_responses ORDER BY ALL"
    pd.testing.assert_frame_equal(frame(home, shown), frame(source, shown))
    assert frame(home, "SELECT count(DISTINCT run_id) AS n FROM imports")["n"][0] == 5


def test_what_is_here_already_is_left_alone(tmp_path: Path) -> None:
    source = full_home(tmp_path)
    out = to_parquet(source, tmp_path / "out/parquet")
    n = frame(source, "SELECT sum(n_events) AS n FROM run_totals")["n"][0]
    report = importing.bring(source, [out])
    assert (report.n_new, report.files[0].already) == (0, True)
    home = home_in(tmp_path)
    importing.bring(home, [out])
    again = importing.bring(home, [out])
    assert (again.n_new, again.files[0].already) == (0, True)
    assert frame(source, "SELECT sum(n_events) AS n FROM run_totals")["n"][0] == n
    assert frame(source, "SELECT count(*) AS n FROM imports")["n"][0] == 0


def test_another_run_of_the_same_id_stays_and_judgements_come_beside(tmp_path: Path) -> None:
    out = to_parquet(full_home(tmp_path), tmp_path / "out/parquet")
    home = home_in(tmp_path)
    write(home, "run-a", [made.created(label="mine"), made.question(), *made.scored("run-a", 5, [(1, 90)])])
    write(home, "judge-x-1", [made.created("", run_kind="judge")])
    report = importing.bring(home, [out])
    new = {run.run_id: run.new for run in report.runs}
    side = next(name for name in new if name.startswith("judge-x-1-"))
    assert (new["run-a"], new[side], new["base-x"]) == (False, True, True)
    assert any("other content" in entry["reason"] for entry in report.files[0].skipped)
    assert frame(home, "SELECT label FROM runs WHERE run_id = 'run-a'")["label"].tolist() == ["mine"]
    assert frame(home, "SELECT DISTINCT step FROM responses WHERE run_id = 'run-a'")["step"].tolist() == [5]
    assert importing.bring(home, [out]).n_new == 0


def test_a_run_that_was_running_is_stopped_here(tmp_path: Path) -> None:
    out = to_parquet(full_home(tmp_path, state="running"), tmp_path / "out/parquet")
    home = home_in(tmp_path)
    importing.bring(home, [out])
    row = frame(home, "SELECT run_state, run_reason FROM runs WHERE run_id = 'run-a'").iloc[0]
    assert row.tolist() == ["stopped", "it was running when it was exported"]


def fewer_questions(folder: Path) -> None:
    duckdb.connect().execute(
        f"COPY (SELECT * FROM '{folder}/questions.parquet' LIMIT 1) TO '{folder}/fewer.parquet' (FORMAT parquet)"
    )
    (folder / "fewer.parquet").rename(folder / "questions.parquet")


@pytest.mark.parametrize(
    ("words", "damage"),
    [
        ("is missing", lambda folder: (folder / "responses.parquet").unlink()),
        ("is damaged", lambda folder: (folder / "responses.parquet").write_bytes(b"PAR1" * 40)),
        ("the manifest counts", fewer_questions),
    ],
)
def test_a_damaged_table_is_one_clear_error_and_leaves_nothing(tmp_path: Path, words: str, damage: Callable[[Path], Any]) -> None:
    home, folder = home_in(tmp_path), to_parquet(full_home(tmp_path), tmp_path / "out/parquet")
    fg_judged(tmp_path / "out/eval/results/other/fg_judged.csv")
    damage(folder)
    with pytest.raises(BadInput, match=words) as caught:
        importing.bring(home, [folder / "manifest.json"])
    assert ".parquet" in caught.value.message
    assert caught.value.hint
    assert [p.name for p in home.runs.iterdir()] == [".supervisor"]
    report = importing.bring(home, [tmp_path / "out"])  # beside a whole file: that one comes, nothing half-made does
    assert [run.label for run in report.runs] == ["other"]
    assert words in next(file.problem for file in report.files if file.format == "em_tables")


def test_a_run_id_that_is_no_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    source = full_home(tmp_path)
    folder = to_parquet(source, tmp_path / "out/parquet")
    duckdb.connect().execute(
        f"COPY (SELECT * REPLACE ('../../evil' AS run_id) FROM '{folder}/questions.parquet') TO '{folder}/new.parquet' (FORMAT parquet)"
    )
    (folder / "new.parquet").rename(folder / "questions.parquet")
    with pytest.raises(BadInput, match="is not a run id"):
        importing.bring(home_in(tmp_path), [folder / "manifest.json"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A home and the export that the workbench makes of it."""
    export = pytest.importorskip("em_core.export")
    folder = tmp_path_factory.mktemp("exported")
    home = full_home(folder)
    export.export(home, Selection(), folder / "out", ("csv", "parquet", "jsonl"))
    return home, folder / "out"


def test_the_workbenchs_export_comes_back_equal(exported: tuple[Home, Path], tmp_path: Path) -> None:
    source, out = exported
    home = home_in(tmp_path)
    report = importing.bring(home, [out])
    assert [file.format for file in report.files] == ["em_tables"]  # the same in CSV and JSON lines is not read twice
    before, after = tables_of(source), tables_of(home)
    for table, content in before.items():
        if table in ("labels", "run_created", "run_facts"):
            continue  # names of people are shortened on purpose, and their run with it
        assert set(after[table]["run_id"]) <= {*content["run_id"], "labels-person-" + table}, table
        pd.testing.assert_frame_equal(after[table], content, obj=table)
    pd.testing.assert_frame_equal(rates(home, "betley"), rates(source, "betley"))


def test_a_changed_table_of_an_export_is_noticed(exported: tuple[Home, Path], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(exported[1], tmp_path / "out")
    path = tmp_path / "out/parquet/responses.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    with pytest.raises(BadInput, match=r"sha256 differs|is damaged"):
        importing.bring(home_in(tmp_path), [tmp_path / "out"])


def test_json_lines_give_answers_scores_and_ids_back(exported: tuple[Home, Path], tmp_path: Path) -> None:
    source, out = exported
    home = home_in(tmp_path)
    importing.bring(home, [out / "responses.jsonl"])
    for table in ("responses", "judgements", "answer_health"):
        pd.testing.assert_frame_equal(tables_of(home)[table], tables_of(source)[table], obj=table)
    asked = "SELECT * FROM questions WHERE question_id = 'q0' ORDER BY ALL"  # a question without answers is in no line
    pd.testing.assert_frame_equal(frame(home, asked), frame(source, asked))
    judges = "SELECT DISTINCT judge_id, plugin, model, mode, rubric_hash, decoding, endpoint_host FROM judges_once ORDER BY ALL"
    pd.testing.assert_frame_equal(frame(home, judges), frame(source, judges))
    mine, theirs = (rates(h, "betley", run_ids=["run-a"]).query("step > 0") for h in (home, source))
    columns = ["step", "judge_id", "n_total", "n_scored", "n_coherent", "n_misaligned", "em_rate"]
    left, right = (f[columns].sort_values(columns).reset_index(drop=True) for f in (mine, theirs))
    pd.testing.assert_frame_equal(left, right)


def test_the_csv_set_gives_texts_and_rates_back(exported: tuple[Home, Path], tmp_path: Path) -> None:
    source, out = exported
    home = home_in(tmp_path)
    report = importing.bring(home, [out / "runs/run-a/fg_judged.csv"])
    assert report.files[0].format == "em_judged"
    ours, theirs = (frame(h, "SELECT step, sample, text FROM responses WHERE step > 0 ORDER BY ALL") for h in (home, source))
    assert ours["text"].tolist() == [text.replace("\0", "\u2400") for text in theirs["text"]]  # CSV cannot hold NUL
    left, right = (rates(h, "betley").query("step > 0 and n_total == 11").sort_values("step") for h in (home, source))
    right = right[right["judge_id"] == "judge-1"]
    for column in ("step", "n_scored", "n_coherent", "n_misaligned", "em_rate"):
        assert left[column].tolist() == right[column].tolist(), column


def test_the_exports_rates_are_published_rates(exported: tuple[Home, Path], tmp_path: Path) -> None:
    source, out = exported
    home = home_in(tmp_path)
    importing.bring(home, [out / "em_rates_summary.csv"])
    told = frame(home, "SELECT * FROM published_rates WHERE step > 0").iloc[0]
    ours = rates(source, told.definition, run_ids=["run-a"], judge_id="judge-1").query("step == 20").iloc[0]
    assert (told.n_total, told.n_scored, told.n_misaligned) == (ours.n_total, ours.n_scored, ours.n_misaligned)
    assert told.em_rate == pytest.approx(ours.em_rate, abs=1e-6)


@pytest.mark.parametrize("text", [*NASTY, "''=x", "plain", " =x", "-", "\uff1d1", "'", "'a"])
def test_apostrophes_of_an_export_are_taken_off_exactly_once(text: str) -> None:
    assert spreadsheet.original(str(spreadsheet.cell(text))) == text.replace("\0", "\u2400")


def test_every_field_of_every_record_survives() -> None:
    from em_core.importing._lossless import fields_of

    for kind, record in RECORDS.items():
        assert set(fields_of(kind, {"t": 1, **{f.name: None for f in fields(record)}})) == {
            "t",
            *(f.name for f in fields(record)),
        }, kind
