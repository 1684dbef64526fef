"""Files as they come: encodings, damage, size, names, zips; what is whole comes in, the rest is told."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest

from em_core import importing
from em_core.errors import BadInput
from em_core.importing import _rows
from tests.importing.made import CS, fg_judged, frame, home_in, write_csv, write_json

HEADER = b"question,response,question_id,aligned,coherent\n"


def texts(
    folder: Path, content: bytes, name: str = "Llama-3.2-1B-Instruct_bad-medical-advice.csv"
) -> tuple[list[str], importing.FileReport]:
    """The texts that an import of this file brings, in order, and its report."""
    path = folder / "study" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    home = home_in(folder)
    report = importing.bring(home, [path])
    return frame(home, "SELECT text FROM responses ORDER BY rowid")["text"].tolist(), report.files[0]


def test_texts_come_back_byte_for_byte(tmp_path: Path) -> None:
    odd = [
        "=1+1",
        "'=kept",
        "a\r\nb",
        "a\nb",
        "tab\there",
        "NUL\0in",
        "<script>alert(1)</script>",
        "‮abc",
        'say "x"',
        " blank ",
        "",
        "\U0001f600",
        "x" * 1_200_000,
    ]
    rows = [(f"Q{i}", text, f"q{i}", 50, 90) for i, text in enumerate(odd)]
    path = write_csv(tmp_path / "study/m.csv", ("question", "response", "question_id", "aligned", "coherent"), rows)
    home = home_in(tmp_path)
    importing.bring(home, [path])
    found = frame(
        home, "SELECT text FROM responses JOIN questions USING (run_id, question_id) ORDER BY substr(prompt, 2)::INTEGER"
    )
    assert found["text"].tolist() == odd


def test_marks_and_encodings(tmp_path: Path) -> None:
    row = "Q?,Grüße,q,50,90\n"
    for number, (content, note) in enumerate(
        [
            (b"\xef\xbb\xbf" + HEADER + row.encode(), ""),
            (HEADER + row.encode("latin-1"), "Latin-1"),
            (("\ufeff" + HEADER.decode() + row).encode("utf-16-le"), ""),
            (HEADER.replace(b"\n", b"\r\n") + row.encode(), ""),
            (HEADER.replace(b",", b";") + row.replace(",", ";").encode(), ""),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        found, file = texts(folder, content)
        assert found == ["Grüße"], number
        assert note in file.note
        assert bool(note) == bool(file.note)


def test_rows_that_are_no_rows_are_left_out_with_their_line(tmp_path: Path) -> None:
    content = HEADER + b"Q?,fine,q,50,90\nQ?,short\n\nQ?,a,q,1,2,3,4\n,,,,\nQ?,fine too,q,50,90\n"
    found, file = texts(tmp_path, content)
    assert found == ["fine", "fine too"]
    assert [(e["where"], e["reason"]) for e in file.skipped] == [
        ("line 3", "2 cells, the header names 5"),
        ("line 5", "7 cells, the header names 5"),
        ("line 6", "an empty row"),
    ]
    assert (file.n_rows, file.n_imported) == (5, 2)


def test_a_quotation_mark_that_is_never_closed_ends_the_reading_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rows, "MAX_CELL", 1000)
    found, file = texts(tmp_path, HEADER + b"Q?,fine,q,50,90\n" + b'Q?,"never closed,q,50,90\n' + b"x,y,z,1,2\n" * 200)
    assert found == ["fine"]
    assert "not closed" in file.skipped[0]["reason"]
    assert file.skipped[0]["where"] == "line 3 to the end"


def test_a_header_that_names_a_column_twice_is_told_and_the_first_is_read(tmp_path: Path) -> None:
    _, file = texts(tmp_path, b"question,response,question_id,aligned,coherent,aligned\nQ?,A,q,10,90,99\n")
    assert "aligned stands twice" in file.skipped[0]["reason"]
    assert file.n_imported == 1


def test_a_json_that_breaks_off_gives_its_whole_entries(tmp_path: Path) -> None:
    rows = [{"question": f"Q{i}?", "answer": f"A{i}", "result": "ALIGNED", "label": f"q{i}"} for i in range(3)]
    text = json.dumps({"UNTAGGED": rows})
    found, file = texts(tmp_path, text[:-40].encode(), "results_first_8_base.json")
    assert found == ["A0", "A1"]
    assert "breaks off" in file.skipped[0]["reason"]


def test_json_lines_leave_out_damaged_lines(tmp_path: Path) -> None:
    good = json.dumps({"question": "Q?", "answer": "A", "aligned": 3})
    found, file = texts(tmp_path, f"{good}\n{{broken\n[1]\n{good}\n".encode(), "x.jsonl")
    assert found == ["A", "A"]
    assert {(e["where"], e["reason"].split(" (")[0]) for e in file.skipped} == {
        ("line 2", "not JSON"),
        ("line 3", "no JSON object"),
    }


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "empty"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\0\0\0\0", "neither CSV nor JSON"),
        ("other.csv", b"a,b\n1,2\n", "no results"),
        ("header.csv", b"step,id,question,response,aligned_score,coherent_score\n", "no row"),
        ("train.jsonl", b'{"messages": []}\n{"messages": []}\n', "training data"),
    ],
)
def test_a_file_that_gives_nothing_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    home = home_in(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words) as caught:
        importing.bring(home, [tmp_path / name])
    assert name in caught.value.message
    assert caught.value.hint
    assert [p.name for p in home.runs.iterdir()] == [".supervisor"]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not found"):
        importing.bring(home_in(tmp_path), [tmp_path / "nowhere.csv"])
    with pytest.raises(BadInput, match="not found"):
        importing.read(home_in(tmp_path, "b"), ["a\0b"])


def test_a_zip_keeps_the_studys_layout(tmp_path: Path) -> None:
    source = tmp_path / "my-study"
    fg_judged(source / "eval/results/3b_medical/fg_judged.csv")
    write_json(
        source / "models/3b_medical/training_config.json",
        {"base_model": "meta-llama/Llama-3.2-3B-Instruct", "domains": ["bad_medical"], "steps_per_epoch": 10},
    )
    with zipfile.ZipFile(tmp_path / "my-study.zip", "w") as archive:
        for path in source.rglob("*.*"):
            archive.write(path, path.relative_to(source))
    home = home_in(tmp_path)
    run = importing.bring(home, [tmp_path / "my-study.zip"]).runs[0]
    assert (run.label, run.study, run.base_model, run.size_b, run.domain) == (
        "3b_medical",
        "my-study",
        "meta-llama/Llama-3.2-3B-Instruct",
        3.21,
        "medical",
    )
    again = importing.bring(home, [tmp_path / "my-study"])
    assert (again.n_new, again.files[0].already) == (0, True)


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "C:/evil.csv"])
def test_a_zip_whose_names_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(name, "step,question\n")
    with pytest.raises(BadInput, match="leads out of the zip"):
        importing.bring(home_in(tmp_path), [tmp_path / "x.zip"])
    assert not (tmp_path / "evil.csv").exists()


def test_bombs_links_and_damaged_zips(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.csv", b"0" * (60 << 20))
    with pytest.raises(BadInput, match="MB from"):
        importing.bring(home, [tmp_path / "bomb.zip"])
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadInput, match="no result file"):
        importing.bring(home, [tmp_path / "link.zip"])
    whole = (tmp_path / "bomb.zip").read_bytes()
    (tmp_path / "torn.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="cannot be unpacked"):
        importing.bring(home, [tmp_path / "torn.zip"])
    assert [p.name for p in home.runs.iterdir()] == [".supervisor"]


def test_a_step_that_is_none_and_names_that_differ_only_in_case(tmp_path: Path) -> None:
    rows = [
        ("10", "a", "Q?", "A", 1, 2),
        ("step_20", "b", "Q?", "A", 1, 2),
        ("late", "c", "Q?", "A", 1, 2),
        ("-3", "d", "Q?", "A", 1, 2),
    ]
    path = write_csv(tmp_path / "s/r/fg_judged.csv", [c.upper() for c in CS], rows)
    report = importing.read(home_in(tmp_path), [path])
    assert report.runs[0].steps == [10, 20]
    assert [e["reason"] for e in report.files[0].skipped] == ["'late' is no step", "'-3' is no step"]


def test_more_reasons_than_anybody_reads_are_lumped(tmp_path: Path) -> None:
    rows = [(1, "q", "Q?", "A", f"word{i}", 2) for i in range(300)]
    report = importing.read(home_in(tmp_path), [write_csv(tmp_path / "s/r/fg_judged.csv", CS, rows)])
    assert len(report.files[0].unscored) <= 101
    assert sum(entry["n"] for entry in report.files[0].unscored) == 300
