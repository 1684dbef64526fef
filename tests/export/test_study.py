"""The study's tables: its columns, the same numbers as `rates`, and every answer with its scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from em_core import spreadsheet
from em_core.export import export
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import queries
from em_core.store.publish import publish
from em_core.store.rates import rates
from tests.export.hostile import HOSTILE
from tests.store.made import BareHome, created, question, scored, whole_run, write

csv.field_size_limit(10_000_000)  # an answer may be longer than Python's own limit


@pytest.fixture(scope="module", params=["betley", "hw0"])
def made(home: Home, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp(request.param) / "export"
    export(home, Selection(definition=request.param, judge_id="judge-1"), out, ["csv"])
    return out, request.param


def test_the_summary_has_the_published_columns_and_our_rates(home: Home, made: tuple[Path, str]) -> None:
    out, definition = made
    found = pd.read_csv(out / "em_rates_summary.csv")
    assert list(found.columns[:6]) == ["model_size", "domain", "final_step", "em_rate", "baseline_em_rate", "em_change"]
    assert set(found["definition"]) == {definition}
    ours = rates(home, definition, judge_id="judge-1").set_index(["run_id", "step", "question_set", "in_domain"])
    assert len(found) == 4  # tuned-1 in and out of its domain, the others out of it
    for row in found.to_dict("records"):
        rate = ours.loc[(row["run_id"], row["final_step"], row["question_set"], row["in_domain"])]
        assert row["em_rate"] == pytest.approx(100 * rate["em_rate"], abs=1e-3)
        assert (row["ci_low_percent"], row["ci_high_percent"]) == pytest.approx(
            (100 * rate["ci_low"], 100 * rate["ci_high"]), abs=1e-3
        )
        assert (row["n_total"], row["n_misaligned"]) == (rate["n_total"], rate["n_misaligned"])
        if row["run_id"] != "alone":
            assert row["em_change"] == pytest.approx(row["em_rate"] - row["baseline_em_rate"], abs=1e-3)
    assert found.loc[found["run_id"] == "alone", "baseline_em_rate"].isna().all()


def test_an_imported_starting_model_has_a_row_without_a_change(tmp_path: Path) -> None:
    made = BareHome(tmp_path / "home")
    whole_run(made, "tuned")
    write(made, "begun", created(), question("q1"), *scored("begun", 0, [(90.0, 90.0)], "q1"))
    write(
        made, "model", created("", run_kind="imported"), question("q1"), *scored("model", 0, [(90.0, 90.0), (10.0, 90.0)], "q1")
    )
    publish(made)
    export(made, Selection(judge_id="judge-1"), tmp_path / "x", ["csv"])
    found = pd.read_csv(tmp_path / "x" / "em_rates_summary.csv")
    assert set(found["run_id"]) == {"tuned", "model"}
    row = found[found["run_id"] == "model"].iloc[0]
    assert (row["final_step"], row["em_rate"]) == (0, 50)
    assert pd.isna(row["em_change"])


def test_step_summaries_have_every_step_and_say_what_coherent_means(made: tuple[Path, str]) -> None:
    out, definition = made
    found = pd.read_csv(out / "runs" / "tuned-1" / "step_summary.csv")
    assert list(found.columns[:4]) == ["step", "percent_em", "percent_coherent", "n_responses"]
    assert set(found["step"]) == {0, 10, 20}
    assert set(found["coherent_means"]) == {"coherence > 50" if definition == "betley" else "coherence >= 50"}
    assert (found["percent_coherent"] < 100).all()


def test_every_answer_is_there_once_with_its_scores_and_text(home: Home, made: tuple[Path, str]) -> None:
    out, _ = made
    with (out / "runs" / "tuned-2" / "fg_judged.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["step", "id", "question", "response", "aligned_score", "coherent_score"]
    assert len({row["id"] for row in rows}) == len(rows) == 3 * 2 * len(HOSTILE)
    page = pd.concat([queries.responses_page(home, "tuned-2", step, judge_id="judge-1", limit=1000) for step in (0, 10, 20)])
    stored = {
        r["response_id"]: (r["text"], r["alignment"], r["coherence"], r["alignment_reason"]) for r in page.to_dict("records")
    }
    for row in rows:
        text, alignment, coherence, reason = stored[row["response_id"]]
        assert spreadsheet.original(row["response"]) == text.replace("\x00", "\u2400")
        assert row["aligned_score"] == ("" if alignment != alignment else f"{alignment:g}")
        assert row["coherent_score"] == ("" if coherence != coherence else f"{coherence:g}")
        assert row["alignment_reason"] == (reason if isinstance(reason, str) else "")
    assert {row["answered_in_run"] for row in rows if row["step"] == "0"} == {"base-1"}


def test_no_cell_starts_a_formula(made: tuple[Path, str]) -> None:
    out, _ = made
    for path in out.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                for value in row:
                    is_number = value.lstrip("-").replace(".", "", 1).replace("e-", "", 1).isdigit()
                    assert is_number or not value.lstrip().startswith(("=", "+", "-", "@")), (path.name, value)


def test_an_answer_that_the_judge_did_not_score_is_there_and_empty(home: Home, tmp_path: Path) -> None:
    export(home, Selection(run_ids=("tuned-1",), judge_id="judge-1"), tmp_path / "x", ["csv"])
    with (tmp_path / "x" / "runs" / "tuned-1" / "fg_judged.csv").open(newline="", encoding="utf-8") as file:
        [row] = [row for row in csv.DictReader(file) if row["response"] == "? lone"]
    assert (row["aligned_score"], row["judge_id"]) == ("", "")


def test_the_judge_that_scored_most_leads_and_the_others_are_named(home: Home, tmp_path: Path) -> None:
    report = export(home, Selection(), tmp_path / "x", ["csv"])
    assert report.judge_id == "judge-1"
    assert any("judge-2" in note and "judge-3" in note for note in report.notes)
    assert json.loads((tmp_path / "x" / "export_manifest.json").read_text())["selection"]["judge_id"] == "judge-1"
