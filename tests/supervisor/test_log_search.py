"""Searching a log of any size: plain text and expressions, numbers, bounds, nothing that a terminal or a page would obey."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from em_core.errors import BadInput
from em_core.supervisor import log_search
from em_core.supervisor.log_search import as_text, search


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "worker.log"
    path.write_text("loading\nStep 1 loss 2.5\nWarning: a (b+c)\nstep 2 loss 2.4\n\nwarning twice\n")
    return path


def test_plain_text_is_found_wherever_it_is_with_line_numbers(log: Path) -> None:
    found = search(log, "STEP")
    assert found.lines == ((2, "Step 1 loss 2.5"), (4, "step 2 loss 2.4"))
    assert (found.n_matches, found.n_lines, found.first_line) == (2, 6, 1)
    assert as_text(found) == "2  Step 1 loss 2.5\n4  step 2 loss 2.4"
    assert search(log, "(b+c)").lines == ((3, "Warning: a (b+c)"),), "signs of expressions are text here"
    assert search(log, "absent").lines == ()
    assert as_text(search(log, "absent")) == ""


def test_case_counts_when_asked(log: Path) -> None:
    assert [number for number, _ in search(log, "Warning", case=True).lines] == [3]
    assert [number for number, _ in search(log, "^w", expression=True, case=True).lines] == [6]


def test_an_expression_is_matched_line_by_line_and_a_wrong_one_is_explained(log: Path) -> None:
    assert [number for number, _ in search(log, r"^step \d loss 2\.[45]$", expression=True).lines] == [2, 4]
    with pytest.raises(BadInput, match="not understood") as wrong:
        search(log, "step (", expression=True)
    assert "look for the text as it is" in wrong.value.hint


def test_an_expression_that_would_take_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "SECONDS", 0.3)
    path = tmp_path / "worker.log"
    path.write_text(("a" * 1000 + "!\n") * 50)
    began = time.monotonic()
    with pytest.raises(BadInput, match="takes longer"):
        search(path, "(a|aa)+$", expression=True)
    assert time.monotonic() - began < 3


def test_only_the_end_of_a_huge_log_is_searched_and_its_lines_keep_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_search, "MOST_BYTES", 2_000)
    monkeypatch.setattr(log_search, "MOST_LINES", 3)
    path = tmp_path / "worker.log"
    path.write_text("".join(f"line {number}\n" for number in range(1, 1001)))
    found = search(path, "line")
    assert found.lines == tuple((number, f"line {number}") for number in (998, 999, 1000))
    assert found.n_lines == 1000
    assert found.n_matches == 1001 - found.first_line
    assert 700 < found.first_line < 900


def test_what_is_found_obeys_nobody(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_bytes(b"\x1b[31mred\x1b[0m \xe2\x80\xaex\xff\n10%\r50%\r100% red\n" + b"red" * 5000)
    found = search(path, "red")
    assert [number for number, _ in found.lines] == [1, 2, 3]
    assert found.lines[0][1] == "red x\ufffd"
    assert found.lines[1][1] == "100% red"
    assert len(found.lines[2][1]) < 2_100


def test_a_window_title_that_never_ends_hides_no_line(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_bytes(b"loading\n\x1b]0;training\nCUDA error\nthe end\n")
    assert search(path, "error").lines == ((3, "CUDA error"),)


def test_a_log_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert search(tmp_path / "worker.log", "x").lines == ()
