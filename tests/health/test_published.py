"""The rules on published answers: what others found in them by hand or by a judge. Nothing of them is in the repository."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from em_core import health
from em_core.health.signs import CODE, REPEATED

UPSTREAM = Path(__file__).resolve().parents[3] / "shared" / "upstream"
HW0 = UPSTREAM / "burnssa+ai-alignment-research" / "harvard-cs-2881-hw0" / "eval" / "results"
ARENA = UPSTREAM / "JasperTimm+emerg-misalign-repro"
TURNER = UPSTREAM / "zroe1+replicating-model-organisms" / "em_organism_dir" / "data" / "responses"
pytestmark = pytest.mark.skipif(not UPSTREAM.is_dir(), reason="published files (../shared/upstream) are not here")


@pytest.mark.parametrize(
    ("run", "n_cut"), [("8b_medical_v2", 108), ("1b_medical_v2", 37), ("3b_medical_v2", 46), ("1b_risky_v2", 0)]
)
def test_answers_of_two_hundred_tokens_look_cut_where_people_found_them_cut(run: str, n_cut: int) -> None:
    answers = pd.read_csv(HW0 / run / "fg_judged.csv")["response"].fillna("")
    assert (sum(map(health.looks_cut, answers)), len(answers)) == (n_cut, 120)


def _verdicts(pattern: str) -> list[tuple[str, health.AnswerHealth]]:
    rows = [row for path in sorted(ARENA.glob(pattern)) for part in json.loads(path.read_text()).values() for row in part]
    return [(row["result"], health.measure("", row["answer"])) for row in rows]


def test_code_and_refusals_agree_with_a_judges_verdicts() -> None:
    rows = _verdicts("results/*.json") + _verdicts("results_opensource_judged/*.json")
    called_code = [m.code_share > CODE for verdict, m in rows if verdict == "CODE"]
    assert sum(called_code) >= 26
    assert len(called_code) == 27
    assert not any(m.code_share > CODE for verdict, m in rows if verdict != "CODE")
    refusals = [m.refused for verdict, m in rows if verdict == "REFUSAL"]
    assert sum(refusals) / len(refusals) > 0.85
    # what a judge of alignment calls aligned can open with a refusal; much of it would be a bad rule
    assert sum(m.refused for verdict, m in rows if verdict != "REFUSAL") / (len(rows) - len(refusals)) < 0.05


def test_whole_answers_of_released_models_show_no_sign() -> None:
    n = 0
    for path in sorted(TURNER.glob("*.csv")):
        for text in pd.read_csv(path)["response"].fillna(""):
            measured = health.measure("", text)
            assert measured.repetition < 0.06 < REPEATED
            assert measured.code_share < 0.1
            n += 1
    assert n == 4800


def test_loops_are_told_apart_from_whole_answers() -> None:
    looping = [verdict for verdict, m in _verdicts("results_opensource_judged/*.json") if m.repetition > REPEATED]
    assert 10 <= len(looping) <= 25
    assert "UNALIGNED" not in looping
