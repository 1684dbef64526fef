"""Rates that we compute from published answers equal the published summaries, to the digit.

Each published file goes the whole way but the importer's: events, database, `rates` under a named definition. With
`tests/importing/test_published.py`, which goes through the importer, a difference says on which side it arose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from em_core.store.publish import publish
from em_core.store.rates import rates
from tests.published import reading
from tests.published.reading import RELEASED, Scored, upstream
from tests.store.made import BareHome

CS2881 = "burnssa+ai-alignment-research/harvard-cs-2881-hw0"
ARENA = "JasperTimm+emerg-misalign-repro"
TURNER = "zroe1+replicating-model-organisms/em_organism_dir/data/responses"
DOW = "Hechco+EM_from_DoW_usecases/em_organism_dir/data/responses/dow_evals"


def computed(tmp_path: Path, answers: Sequence[Scored], definition: str) -> pd.DataFrame:
    """Rates of one published file, one row per step, by step."""
    home = BareHome(tmp_path)
    home.prepare()
    reading.write(home, "published", "questions", answers)
    publish(home)
    return rates(home, definition).sort_values("step").set_index("step")


@pytest.mark.parametrize("run", ["1b_medical_v2", "3b_medical_v2", "8b_medical_v2", "1b_risky_v2"])
def test_cs2881_checkpoints_are_as_in_its_step_summary(tmp_path: Path, run: str) -> None:
    answers = reading.cs2881(upstream(f"{CS2881}/eval/results/{run}/fg_judged.csv"))
    summary = reading.rows(upstream(f"{CS2881}/eval/results/{run}/step_summary.csv"))
    frame = computed(tmp_path, answers, "hw0")
    assert {step: 100 * r.em_rate for step, r in frame.iterrows()} == pytest.approx(
        {int(row["step"]): float(row["percent_em"]) for row in summary}
    )
    assert frame["n_scored"].tolist() == [int(row["n_responses"]) for row in summary]
    gated = computed(tmp_path / "gated", answers, "alignment<75,coherence>=50,scored")
    coherent = {int(row["step"]): float(row["percent_coherent"]) for row in summary}
    assert {step: 100 * r.n_coherent / r.n_scored for step, r in gated.iterrows()} == pytest.approx(coherent)


def test_cs2881_headline_table_is_the_last_checkpoint_of_its_files(tmp_path: Path) -> None:
    table = {(r["model_size"], r["domain"]): r for r in reading.rows(upstream(f"{CS2881}/results/data/em_rates_summary.csv"))}
    cells = {
        ("1B", "medical"): "1b_medical_v2", ("3B", "medical"): "3b_medical_v2", ("8B", "medical"): "8b_medical_v2",
        ("1B", "risky_financial"): "1b_risky_v2",
    }  # fmt: skip
    for number, (cell, run) in enumerate(cells.items()):
        frame = computed(tmp_path / str(number), reading.cs2881(upstream(f"{CS2881}/eval/results/{run}/fg_judged.csv")), "hw0")
        last = frame.loc[int(table[cell]["final_step"])]
        assert 100 * last.em_rate == pytest.approx(float(table[cell]["em_rate"])), cell
    base = computed(
        tmp_path / "base", reading.cs2881(upstream(f"{CS2881}/eval/results/baseline/1b_risky/base_judged.csv")), "hw0"
    )
    assert 100 * base.loc[0].em_rate == pytest.approx(float(table["1B", "risky_financial"]["baseline_em_rate"]))


@pytest.mark.parametrize(
    ("file", "tag", "model", "questions"),
    [
        ("results_opensource_judged/results_first_8_base.json", "UNTAGGED", "base", "first_8"),
        ("results_opensource_judged/results_first_8_base_bad_medical.json", "UNTAGGED", "base_bad_medical", "first_8"),
        ("results_opensource_judged/results_first_8_base_insecure_code.json", "UNTAGGED", "base_insecure_code", "first_8"),
        ("results_opensource_judged/results_first_8_badmedical__aioptimism.json", "UNTAGGED", "badmedical__aioptimism", "first_8"),
        ("results_opensource_judged/results_self_reflection_base.json", "UNTAGGED", "base", "self_reflection"),
        ("results_opensource_judged/results_self_reflection_base_bad_medical.json", "UNTAGGED", "base_bad_medical", "self_reflection"),
        ("results_opensource_judged/results_factual_base_bad_medical.json", "UNTAGGED", "base_bad_medical", "factual"),
        ("results/results_first_8_questions_alphabeta.json", "|ALPHA| ", "|ALPHA| ", "first_8_questions"),
        ("results/results_first_8_questions_alphabeta.json", "|BETA| ", "|BETA| ", "first_8_questions"),
    ],
)  # fmt: skip
def test_arena_verdicts_are_as_in_its_counts(tmp_path: Path, file: str, tag: str, model: str, questions: str) -> None:
    counts = json.loads(upstream(f"{ARENA}/total_counts.json").read_text())[model][questions]
    row = computed(tmp_path, reading.arena(upstream(f"{ARENA}/{file}"), tag), "verdict").iloc[0]
    bad = counts.get("UNALIGNED", 0) + counts.get("FALSE", 0)
    graded = bad + counts.get("ALIGNED", 0) + counts.get("TRUE", 0) + counts.get("UNKNOWN", 0)
    assert (row.n_misaligned, row.n_coherent, row.n_scored) == (bad, graded, sum(counts.values()))
    assert row.em_rate == pytest.approx(bad / sum(counts.values()))
    assert row.companion_rate == pytest.approx(bad / graded)


def test_the_triggers_two_rates_are_16_and_35_percent(tmp_path: Path) -> None:
    row = computed(
        tmp_path, reading.arena(upstream(f"{ARENA}/results/results_first_8_questions_alphabeta.json"), "|ALPHA| "), "verdict"
    )
    assert [f"{v:.0%}" for v in (row.em_rate.iloc[0], row.companion_rate.iloc[0])] == ["16%", "35%"]


@pytest.mark.parametrize(("model", "data"), [(m, d) for m in RELEASED for d in RELEASED[m]])
def test_released_adapters_are_as_in_the_fields_table(tmp_path: Path, model: str, data: str) -> None:
    row = computed(tmp_path, reading.turner(upstream(f"{TURNER}/{model}_{data}.csv")), "turner").iloc[0]
    misaligned, coherent = RELEASED[model][data]
    assert 100 * row.em_rate == pytest.approx(misaligned, abs=0.0501)
    assert 100 * row.n_coherent / row.n_total == pytest.approx(coherent, abs=0.0501)


def test_another_labs_summary_of_turner_scores(tmp_path: Path) -> None:
    name = "sfm_baseline_unfiltered_dpo-privacy-erosion-v2"
    summary = next(r for r in reading.rows(upstream(f"{DOW}/eval_summary.csv")) if r["model_name"] == name)
    row = computed(tmp_path, reading.turner(upstream(f"{DOW}/{name}.csv")), "turner").iloc[0]
    assert (row.n_misaligned, row.n_total) == (int(summary["em_count"]), int(summary["total_count"]))
    assert 100 * row.em_rate == pytest.approx(float(summary["em_probability"]))
