"""Cells that a spreadsheet would run are made inert on every way out, and every text comes back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streamlit as st

from em_core import figures, spreadsheet
from em_core.charts import em_bars
from em_core.export import drawings, results, study
from em_core.home import Home
from em_core.labels import Desk, Given, files
from em_core.selection import Selection
from em_core.store.publish import publish
from pages.shared import health, measure, saving, tables
from tests.charts.frames import health_bars as health_frame
from tests.charts.test_charts import typical
from tests.export.hostile import HOSTILE
from tests.store.made import BareHome, response, whole_run, write

ROOT = Path(__file__).resolve().parents[2]


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
    spreadsheet.write(tmp_path / "x.csv", ("a", "n"), rows)
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [spreadsheet.original(row["a"]) for row in found] == [text.replace("\x00", "\u2400") for text in HOSTILE]
    frame = pd.read_csv(tmp_path / "x.csv", keep_default_na=False)
    assert [spreadsheet.original(text).replace("\r\n", "\n") for text in frame["a"]] == [
        text.replace("\x00", "\u2400").replace("\r\n", "\n") for text in HOSTILE
    ]


def test_a_frame_comes_back_as_it_was() -> None:
    texts = ["plain", 'with "quotes", commas', "two\nlines", "'quoted'", "5-3", "ünï 漢字 ﷽", " blank", "a=b", ""]
    frame = pd.DataFrame({"text": texts, "rate": np.linspace(-1, 1, len(texts)) / 3, "flag": [True, False, None] * 3})
    frame["kind"] = pd.Categorical(["=x", "b", "c"] * 3)
    read = pd.read_csv(io.StringIO(spreadsheet.as_csv(frame)), dtype={"text": str}, keep_default_na=False)
    assert read["text"].tolist() == texts
    assert read["rate"].tolist() == frame["rate"].tolist()
    assert set(read["kind"]) == {"'=x", "b", "c"}
    assert frame["text"].tolist() == texts, "the frame itself is not changed"


def test_a_column_s_name_is_a_cell_too() -> None:
    assert spreadsheet.as_csv(pd.DataFrame({"=1": [-1.5]})) == "'=1\r\n-1.5\r\n"


FORMULA = "=HYPERLINK(1)"


def _rates() -> pd.DataFrame:
    return typical().assign(label=FORMULA)


def _downloaded(show: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The CSV files that a page offers."""
    found: list[str] = []

    def button(label: str, data: Any, name: str, *_: Any, **__: Any) -> None:
        if name.endswith(".csv"):
            found.append(data())

    monkeypatch.setattr(st, "download_button", button)
    show()
    return found


def _labels(home: BareHome, place: Path) -> list[str]:
    whole_run(home, "r1")
    publish(home)
    Desk(home, "anna").label((response("r1", 1, 0).response_id, Given(10.0, 20.0, "", FORMULA)))
    publish(home)
    files.export(home, place / "labels.csv")
    return [(place / "labels.csv").read_text(encoding="utf-8")]


def _drawing(place: Path) -> list[str]:
    frame = _rates()
    drawn = drawings.Drawing("domain_comparison", "em_bars", frame, em_bars.chart(frame).to_dict())
    drawings.write([drawn], place / "figures", lambda what: None)
    return [(place / "figures" / "domain_comparison.csv").read_text(encoding="utf-8")]


def _figure(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    class Made:
        @staticmethod
        def frame(home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
            return _rates(), {}

    monkeypatch.setattr(figures, "load", lambda name: Made)
    one = figures.save("em_bars", Home(place), Selection(), place / "one.csv")
    (two,) = figures.save_all("em_bars", Home(place), Selection(), place, (".csv",))
    return [path.read_text(encoding="utf-8") for path in (one, two)]


def _health(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    frame = health_frame.typical().assign(label=FORMULA, n_total=50)
    frame = frame.assign(**{column: 0 for column in health._NAMES if column not in frame})
    monkeypatch.setattr(health, "of", lambda chosen, judge_id: frame)
    monkeypatch.setattr(health.panels, "show", lambda *_: None)
    return _downloaded(lambda: health.show(frame, "x"), monkeypatch)


def _study(place: Path) -> list[str]:
    """The answers of a run; the export's other tables go through the same `spreadsheet.write`."""
    home = BareHome(place / "home")
    whole_run(home, "r1")
    write(home, "r1", response("r1", 1, 50, text=FORMULA))
    publish(home)
    study.judged(results.of(home, Selection(judge_id="judge-1")), "r1", place / "fg_judged.csv")
    return [(place / "fg_judged.csv").read_text(encoding="utf-8")]


WAYS = {
    "export: figures": lambda place, patch: _drawing(place),
    "export: the study's tables": lambda place, patch: _study(place),
    "plot": _figure,
    "labels export": lambda place, patch: _labels(BareHome(place), place),
    "a page's table of rates": lambda place, patch: _downloaded(lambda: tables.rates(_rates(), "x"), patch),
    "a page's table of judges": lambda place, patch: _downloaded(lambda: measure.table(_rates(), _rates(), "x"), patch),
    "a page's table of health": lambda place, patch: _health(patch),
    "a chart's menu": lambda place, patch: _downloaded(lambda: saving.menu("em_bars", _rates(), {}, "x"), patch),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_out_writes_a_cell_that_runs(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = WAYS[way](tmp_path, monkeypatch)
    assert written
    for text in written:
        rows = list(csv.reader(io.StringIO(text, newline="")))
        cells = [cell for row in rows for cell in row]
        assert f"'{FORMULA}" in cells
        assert FORMULA not in cells


def test_csv_is_written_in_one_place() -> None:
    plain = re.compile(r"\.to_csv\(|csv\.(writer|DictWriter)\(")
    sources = [*(ROOT / "em_core").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]
    assert [path.name for path in sources if plain.search(path.read_text(encoding="utf-8"))] == ["spreadsheet.py"]
