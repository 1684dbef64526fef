"""What is written beside an answer: known things only, whole numbers, one and many."""

from __future__ import annotations

import pytest

from em_core.view import responses as view


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"sample": 0, "seed": 7, "n_tokens": 64, "finish_reason": "length"},
         "sample 0 · seed 7 · 64 tokens · cut off at the token limit"),
        ({"sample": 3, "seed": 1351117522.0, "n_tokens": 1.0, "finish_reason": "stop"}, "sample 3 · seed 1351117522 · 1 token"),
        ({"sample": 1, "seed": None, "n_tokens": None, "finish_reason": None}, "sample 1"),
    ],
)  # fmt: skip
def test_small_print_leaves_out_what_is_not_known(cell, words):
    assert view.small_print(cell) == words


def test_one_and_many():
    assert view.count_words(1, "answer", "matching ") == "1 matching answer"
    assert view.count_words(1200, "question") == "1,200 questions"


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ({"step": 0, "run_kind": "train", "base_model": "m", "label": "l", "run_id": "r"}, "m"),
        ({"step": 0, "run_kind": "train", "base_model": "", "label": "l", "run_id": "r"}, "l"),
        ({"step": 5, "run_kind": "train", "base_model": "m", "label": "l", "run_id": "r"}, "l"),
        ({"step": 0, "run_kind": "imported", "base_model": "m", "label": "", "run_id": "r"}, "r"),
    ],
)
def test_a_model_before_its_fine_tune_does_not_carry_the_fine_tunes_name(card, name):
    assert view.column_name(card) == name
