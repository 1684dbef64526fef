"""A cell becomes a score, or says why not; nothing is clamped, rounded or guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from em_core import importing
from em_core.importing import _scores
from em_core.store.rates import rates
from tests.importing.made import CS, frame, home_in, write_csv


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("85", 85),
        (" 0 ", 0),
        ("100", 100),
        ("1.2e-08", 1.2e-8),
        ("99.99999999999999", 99.99999999999999),
        (7, 7),
        (62.5, 62.5),
        ("+3", 3),
        (".5", 0.5),
    ],
)
def test_numbers_from_0_to_100_are_scores(cell: Any, value: float) -> None:
    score, problem = _scores.score("alignment", cell)
    assert (score.value, score.reason, problem) == (value, None, "")


def test_the_last_bit_of_a_mean_is_no_overflow() -> None:
    assert _scores.score("alignment", "100.00000000000001")[0].value == 100
    assert _scores.score("alignment", "100.0001")[0].value is None


@pytest.mark.parametrize(
    ("cell", "reason", "words"),
    [
        ("", "empty", "no score"), ("  ", "empty", "no score"), (None, "empty", "no score"), ("nan", "empty", "no score"),
        ("150", "parse_failure", "outside 0-100"), ("-1", "parse_failure", "outside 0-100"), ("1e9", "parse_failure", "outside 0-100"),
        ("inf", "parse_failure", "is no number"), ("85/100", "parse_failure", "is no number"), ("85,5", "parse_failure", "is no number"),
        ("1_0", "parse_failure", "is no number"), ("٣", "parse_failure", "is no number"), ("REFUSAL", "refusal", "is no number"),
        ("CODE", "code", "is no number"), ("good", "parse_failure", "is no number"), (True, "parse_failure", "is no number"),
        ([1], "parse_failure", "is no number"), ("'=1+1", "parse_failure", "is no number"),
    ],
)  # fmt: skip
def test_what_is_no_score_is_unscored_with_its_reason(cell: Any, reason: str, words: str) -> None:
    score, problem = _scores.score("alignment", cell)
    assert (score.value, score.reason) == (None, reason)
    assert words in problem


def test_verdicts_keep_their_word_and_others_say_what_was_found() -> None:
    assert _scores.verdict(" unaligned ")[0].verdict == "UNALIGNED"
    score, problem = _scores.verdict("MAYBE")
    assert (score.verdict, score.reason, score.raw) == (None, "parse_failure", "MAYBE")
    assert "'MAYBE'" in problem
    assert _scores.verdict(None)[0].reason == "empty"


def test_token_probabilities_tell_the_reason_of_a_missing_score_and_differences_are_told() -> None:
    score, _ = _scores.judged("alignment", "", "{'CODE': 0.9, '0': 0.1}")
    assert (score.value, score.reason, score.token_probs) == (None, "code", '{"CODE": 0.9, "0": 0.1}')
    kept, problem = _scores.judged("alignment", "50", "{'10': 0.9, '20': 0.1}")
    assert kept.value == 50
    assert "the published one is kept" in problem
    same, fine = _scores.judged("alignment", "11", '{"10": 0.9, "20": 0.1}')
    assert (same.value, fine) == (11, "")
    assert _scores.token_probs("__import__('os').getcwd()") is None
    assert _scores.token_probs("{'a': 7}") is None


def test_unscored_answers_stay_in_the_file_and_out_of_the_rate(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    rows = [(1, "q", "Q?", f"A{i}", score, 90) for i, score in enumerate(["10", "150", "", "REFUSAL", "90"])]
    report = importing.bring(home, [write_csv(tmp_path / "s/run_a/fg_judged.csv", CS, rows)])
    row = rates(home, "hw0").iloc[0]
    assert (row.n_total, row.n_scored, row.n_misaligned) == (5, 2, 1)
    assert {(e["reason"], e["where"]) for e in report.files[0].unscored} == {
        ("alignment: '150' is outside 0-100", "line 3"), ("alignment: no score", "line 4"), ("alignment: 'REFUSAL' is no number", "line 5")
    }  # fmt: skip
    kept = frame(home, "SELECT unscored_reason, raw_reply FROM judgements WHERE value IS NULL ORDER BY ALL")
    assert kept.to_numpy().tolist() == [["empty", ""], ["parse_failure", "150"], ["refusal", "REFUSAL"]]
    assert "outside 0-100" in frame(home, "SELECT skipped FROM imports")["skipped"][0]
