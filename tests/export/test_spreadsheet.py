"""Cells that a spreadsheet would run are made inert, and every text comes back."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from em_core.export import spreadsheet
from tests.export.hostile import HOSTILE


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "\u00a0=1",
        "\ufeff=1",
        "\u200b=1",
        "\uff1d1",
        "'=1",
        "''=1",
        "\tplain",
        " -x",
    ],
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    assert spreadsheet.cell(text) == f"'{text}"
    assert spreadsheet.original(spreadsheet.cell(text)) == text


@pytest.mark.parametrize("text", ["plain", "a=b", "'quoted'", "it's", "5", "", "  two blanks", "(=1)", "x-1", "é=1"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert spreadsheet.cell(text) == text
    assert spreadsheet.original(text) == text


@pytest.mark.parametrize("text", [*HOSTILE, "''=x", "'", "'-", "\u2400"])
def test_every_text_comes_back_but_for_nul(text: str) -> None:
    assert spreadsheet.original(spreadsheet.cell(text)) == text.replace("\x00", "\u2400")


def test_numbers_stay_numbers_even_below_zero() -> None:
    assert [spreadsheet.cell(v) for v in (-1.0, 85.0, 0.5, -3, None, float("nan"), True)] == [-1, 85, 0.5, -3, "", "", True]


def test_fields_with_quotes_commas_and_line_breaks_are_read_back(tmp_path: Path) -> None:
    rows = [{"a": text, "n": i} for i, text in enumerate(HOSTILE)]
    assert spreadsheet.write(tmp_path / "x.csv", ("a", "n"), rows) == len(rows)
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [spreadsheet.original(row["a"]) for row in found] == [text.replace("\x00", "\u2400") for text in HOSTILE]
    frame = pd.read_csv(tmp_path / "x.csv", keep_default_na=False)
    assert [spreadsheet.original(text).replace("\r\n", "\n") for text in frame["a"]] == [
        text.replace("\x00", "\u2400").replace("\r\n", "\n") for text in HOSTILE
    ]
