"""Files that are damaged, huge, misnamed or meant to harm: one clear line with the place, never a traceback, nothing half-made."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from pathlib import Path

import pytest

from em_core import importing
from em_core.cli import main
from em_core.errors import BadInput, EMError
from em_core.home import Home
from em_core.importing import Wishes, _gather, inspect_log
from tests.importing.made import CS, fg_judged, frame, home_in, write_csv, write_json
from tests.importing.test_round_trip import full_home, to_parquet

HEADER = "question,response,question_id,aligned,coherent\n"
ROW = "Q?,A,q,50,90\n"
DEEP = '{"a":' * 900 + "1" + "}" * 900
LOG = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m"}}
DEEP_LOG = json.dumps(
    LOG | {"samples": [{"output": {"choices": [{"message": {"content": "@"}}]}, "scores": {"a": {"value": "@"}}}]}
).replace('"@"', DEEP)
NO_RESULT = {
    "cut.json": (b'{"UNTAGGED": [{"question": "Q", "answer": "A', "line 1: the JSON breaks here"),
    "cut_log.json": (b'{"version":2,"status":"s","eval":{"task":"t"},"samples":[{"id":1', "line 1: the JSON breaks here"),
    "digits.json": (b'[{"question":"Q","answer":"A","aligned":' + b"9" * 5000 + b"}]", "more digits than anybody reads"),
    "deep.json": (b"[" * 5000, "nested too deeply"),
    "deep_log.json": (DEEP_LOG.encode(), "nested too deeply"),
    "blank.csv": (b"\xef\xbb\xbf\n\n", "nothing but blanks"),
    "no_mark.csv": ((HEADER + ROW * 9).encode("utf-16-le"), "save it as UTF-8"),
    "open.csv": (HEADER.encode() + b'"Q,A,q,1,2\n', "line 2: 1 cell, the header names 5"),
    "torn.eval": (b"PK\x03\x04garbage", "a damaged log"),
    "blank_row.csv": (b"model_size,domain,final_step,em_rate\n,,,50\n", "line 2: no model_size"),
    "late.csv": (b"model_size,domain,final_step,em_rate\n1B,medical,late,50\n", "line 2: 'late' is no step"),
}


def only(path: Path, home: Home, **more: object) -> tuple[importing.Report, importing.FileReport]:
    report = importing.bring(home, [path], **more)  # type: ignore[arg-type]
    assert frame(home, "SELECT count(*) AS n FROM quarantine")["n"][0] == 0
    return report, report.files[0]


@pytest.mark.parametrize("name", NO_RESULT)
def test_a_file_without_a_result_says_where_it_ends_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    content, words = NO_RESULT[name]
    home = home_in(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EMError) as caught:
        importing.bring(home, [tmp_path / name])
    assert caught.value.message.startswith(f"{name}: ")
    assert words in caught.value.message
    assert caught.value.hint
    assert [p.name for p in home.runs.iterdir()] == [".supervisor"]


def test_in_a_folder_they_are_told_and_what_is_whole_comes(tmp_path: Path) -> None:
    folder, home = tmp_path / "study", home_in(tmp_path)
    fg_judged(folder / "whole/fg_judged.csv")
    for name, (content, _) in NO_RESULT.items():
        (folder / name).write_bytes(content)
    report = importing.bring(home, [folder])
    assert [(run.label, run.n_answers) for run in report.runs] == [("whole", 8)]
    told = {Path(file.file).name: file.problem for file in report.files if file.problem}
    assert set(told) == set(NO_RESULT)
    assert all(words in told[name] for name, (_, words) in NO_RESULT.items())


@pytest.mark.parametrize("name", [*NO_RESULT, "number.json", "null.json"])
@pytest.mark.parametrize("format", importing.formats())
def test_no_format_that_is_named_for_it_ends_in_a_traceback(tmp_path: Path, name: str, format: str) -> None:
    content = {"number.json": b"1", "null.json": b"[null]"}.get(name) or NO_RESULT[name][0]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EMError, match=name.split(".")[0]):
        importing.read(home_in(tmp_path), [tmp_path / name], format)


@pytest.mark.parametrize("given", ["", "  ", "x" * 5000, "~nobody-is-called-so/x.csv", "/dev/null", "a\0b"])
def test_a_path_that_is_none_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(BadInput, match=r"not found|no readable file|empty path") as caught:
        importing.read(home_in(tmp_path), [given])
    assert caught.value.hint


def test_links_to_nowhere_and_pipes_in_a_folder_are_passed_by(tmp_path: Path) -> None:
    fg_judged(tmp_path / "s/whole/fg_judged.csv")
    (tmp_path / "s/loop").symlink_to(tmp_path / "s", target_is_directory=True)
    (tmp_path / "s/gone.csv").symlink_to(tmp_path / "nowhere.csv")
    os.mkfifo(tmp_path / "s/pipe.csv")
    report = importing.read(home_in(tmp_path), [tmp_path / "s"])
    assert [file.file for file in report.files] == ["s/whole/fg_judged.csv"]


def test_names_and_texts_that_are_no_unicode_come_in_and_can_be_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = home_in(tmp_path)
    path = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff_odd.jsonl")
    line = '{"question": "Q\\ud800", "answer": "A\\udfff", "aligned": 1, "model": "m\\ud800", "judge": "j\\ud800"}\n'
    Path(path).write_text(line * 2, encoding="utf-8")
    assert main(["--home", str(home.root), "import", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["files"][0]["file"], document["runs"][0]["label"]) == ("?_odd.jsonl", "m?")
    mine = frame(home, "SELECT text FROM responses WHERE run_id LIKE 'imported-%'")
    assert mine["text"].tolist() == ["A?", "A?"]


def test_what_is_windows_1252_is_read_as_that(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    (tmp_path / "x.csv").write_bytes(HEADER.encode() + b"Q?,\x93so\x94 \x80 \x81,q,50,90\n")
    _, file = only(tmp_path / "x.csv", home)
    assert frame(home, "SELECT text FROM responses")["text"].tolist() == ["“so” € \x81"]
    assert "Windows-1252" in file.note


def test_utf_16_that_breaks_off_stays_utf_16(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(("\ufeff" + HEADER + ROW).encode("utf-16-le") + b"x")
    report, file = only(tmp_path / "x.csv", home_in(tmp_path))
    assert (report.n_answers, report.runs[0].n_scores) == (1, 2)
    assert file.note == "not UTF-16 at its end: damaged characters stand as U+FFFD"


def test_scores_that_are_no_numbers_here(tmp_path: Path) -> None:
    cells = ["NaN", "95%", "1e999", "-0", "0x10", "9" * 4000]
    path = write_csv(tmp_path / "s/r/fg_judged.csv", CS, [(1, "q", "Q?", f"A{n}", cell, 90) for n, cell in enumerate(cells)])
    home = home_in(tmp_path)
    report, _ = only(path, home)
    values = frame(home, "SELECT value, unscored_reason FROM judgements WHERE metric = 'alignment' ORDER BY rowid")
    assert values["value"].dropna().tolist() == [0]
    assert values["unscored_reason"].dropna().tolist() == ["empty", *["parse_failure"] * 4]
    assert report.n_answers == 6


def test_a_blank_step_among_steps_is_left_out_unless_the_person_says_it(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "s/r/fg_judged.csv", CS, [(10, "a", "Q?", "A", 1, 2), ("", "b", "Q?", "A", 1, 2)])
    home = home_in(tmp_path)
    report = importing.read(home, [path])
    assert (report.runs[0].steps, report.files[0].skipped[0]["reason"]) == ([10], "no step (--step N says it for such rows)")
    assert importing.read(home, [path], wishes=Wishes(step=20)).runs[0].steps == [10, 20]


def test_epochs_of_a_fine_tune_are_not_taken_for_the_base_model(tmp_path: Path) -> None:
    columns = ("epoch", *CS[1:])
    tuned = write_csv(tmp_path / "s/r/fg_judged.csv", columns, [(n, f"q{n}", "Q?", "A", 10, 90) for n in (1, 2)])
    base = write_csv(tmp_path / "s/eval/results/baseline/b/base_judged.csv", columns, [("base", "q", "Q?", "A", 90, 90)])
    report = importing.read(home_in(tmp_path), [tuned])
    assert (report.runs[0].label, report.runs[0].steps) == ("r", [1, 2])
    assert "they stand as steps" in report.files[0].skipped[0]["reason"]
    assert importing.read(home_in(tmp_path, "b"), [base]).runs[0].steps == [0]


def test_a_step_that_is_none_in_verdicts_is_left_out(tmp_path: Path) -> None:
    rows = [{"question": "Q?", "answer": f"A{step}", "result": "ALIGNED", "step": step} for step in ("late", 7)]
    report = importing.read(home_in(tmp_path), [write_json(tmp_path / "results_first_8_base_x.json", {"UNTAGGED": rows})])
    assert report.runs[0].steps == [7]
    assert report.files[0].skipped == [{"where": "UNTAGGED 1", "reason": "'late' is no step", "n": 1}]


def test_json_lines_whose_first_line_is_long_or_damaged_are_json_lines(tmp_path: Path) -> None:
    long = json.dumps({"question": "Q?", "answer": "a" * 200_000})
    short = json.dumps({"question": "Q?", "answer": "b"})
    for name, text, answers in (("long", f"{long}\n{short}\n", 2), ("damaged", f"{{broken\n{short}\n{short}\n", 2)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(text)
        assert importing.read(home_in(tmp_path, name), [path]).n_answers == answers, name


def test_a_question_too_long_for_the_store_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gather, "_MAX_LINE", 3 << 20)
    rows = [{"question": "Q" * (4 << 20), "answer": "A"}, {"question": "Q?", "answer": "B"}]
    report, file = only(write_json(tmp_path / "x.json", rows), home_in(tmp_path))
    assert report.n_answers == 1
    assert file.skipped == [{"where": "entry 1", "reason": "the question is longer than 3 MB", "n": 1}]


def test_a_training_configuration_of_absurd_numbers_is_passed_by(tmp_path: Path) -> None:
    path = fg_judged(tmp_path / "s/eval/results/1b_x/fg_judged.csv")
    (tmp_path / "s/eval/results/1b_x/config.json").write_text('{"batch_size": Infinity, "learning_rate": NaN, "seed": 1e300}')
    home = home_in(tmp_path)
    only(path, home)
    card = frame(home, "SELECT effective_batch, learning_rate, seed FROM runs").iloc[0]
    assert card.isna().all()


def zipped(path: Path, *members: tuple[str, str], pack: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", pack) as archive:
        warnings.simplefilter("ignore")  # a name that stands twice
        for name, text in members:
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([(".", "x")], "leads out of the zip"),
        ([("a.csv", HEADER + ROW), ("a.csv", HEADER)], "holds 'a.csv' twice"),
        ([("a", "x"), ("a/b.csv", HEADER)], "cannot be unpacked"),
        ([("x" * 300 + ".csv", HEADER)], "File name too long"),
        ([("inner.zip", "PK\x03\x04")], "a zip inside of what was given"),
        ([], "no result file"),
    ],
)
def test_odd_zips_are_one_clear_error(tmp_path: Path, members: list[tuple[str, str]], words: str) -> None:
    home = home_in(tmp_path)
    with pytest.raises(BadInput, match=words):
        importing.bring(home, [zipped(tmp_path / "x.zip", *members)])
    assert [p.name for p in home.runs.iterdir()] == [".supervisor"]


def test_a_log_that_is_a_bomb_is_refused_before_it_is_whole_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_log, "_MAX_LOG", 5 << 20)
    members = [("header.json", "{}"), *((f"samples/{n}.json", json.dumps("a" * (1 << 20))) for n in range(9))]
    with pytest.raises(BadInput, match=r"bomb.eval: samples/4.json makes it larger than is read"):
        importing.bring(home_in(tmp_path), [zipped(tmp_path / "bomb.eval", *members, pack=zipfile.ZIP_DEFLATED)])


def test_a_cut_log_gives_its_whole_samples_and_says_that_it_is_cut(tmp_path: Path) -> None:
    sample = {"id": "q", "input": "Q?", "output": {"choices": [{"message": {"content": "A"}}]}}
    text = json.dumps(LOG | {"samples": [sample, sample]})
    (tmp_path / "log.json").write_text(text[:-30])
    report, file = only(tmp_path / "log.json", home_in(tmp_path))
    assert report.n_answers == 1
    assert "breaks off" in file.skipped[0]["reason"]


def test_two_exports_of_one_run_are_never_mixed(tmp_path: Path) -> None:
    source = full_home(tmp_path)
    to_parquet(source, tmp_path / "out/first/parquet")
    manifest = to_parquet(source, tmp_path / "out/second/parquet") / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"written": "later"}))  # another content, the same runs
    home = home_in(tmp_path)
    report = importing.bring(home, [tmp_path / "out"])
    count = "SELECT count(*) AS n, count(DISTINCT response_id) AS d FROM responses WHERE run_id = 'run-a'"
    assert frame(home, count).equals(frame(source, count))
    assert [file.n_imported > 0 for file in report.files] == [True, False]
    assert "the run comes from out/first/parquet/manifest.json already" in report.files[1].skipped[0]["reason"]


def test_columns_that_are_named_are_read_whatever_else_the_file_looks_like(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    mine = write_csv(tmp_path / "mine.csv", ("my question", "text", "mine"), [("Q?", "A", 12)])
    asked = Wishes(columns={"question": "My Question", "answer": "text", "alignment": "mine"})
    assert importing.read(home, [mine], wishes=asked).runs[0].n_scores == 1  # without naming the format
    known = write_csv(tmp_path / "s/r/fg_judged.csv", (*CS, "other_score"), [(1, "q", "Q?", "A", 90, 80, 5)])
    report = importing.bring(home, [known], wishes=Wishes(columns={"alignment": "other_score"}))
    assert report.files[0].format == "table"
    assert frame(home, "SELECT value FROM judgements WHERE metric = 'alignment'")["value"].tolist() == [5]
    with pytest.raises(BadInput, match="has no column 'gone'"):
        importing.read(home_in(tmp_path, "other"), [known], wishes=Wishes(columns={"alignment": "gone"}))


def test_a_name_of_many_bytes_can_be_uploaded() -> None:
    from em_core.importing._uploads import plain_name

    name = plain_name("../" + "名" * 150 + ".csv")
    assert name.endswith("名.csv")
    assert len(name.encode()) <= 255
