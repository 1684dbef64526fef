"""A reply is one integer from 0 to 100, or it is no score and has a reason."""

from __future__ import annotations

import pytest

from em_core.judges.replies import read_integer, weighted_score


@pytest.mark.parametrize(("text", "value"), [("85", 85), (" 85 ", 85), ("0", 0), ("100", 100), ("\n7\n", 7)])
def test_an_integer_alone_is_the_score(text: str, value: int) -> None:
    reading = read_integer(text)
    assert (reading.value, reading.reason) == (value, None)


@pytest.mark.parametrize(
    "text",
    ["85/100", "-1", "150", "101", "NaN", "inf", "80 90", "80 or 90", "85.5", "85.", "85%", "+85", "085", "1e2", "fairly good",
     "Score: 85", "**85**", "٨٥", "８５", "²", "true", "null", "[ANSWER END] 100", "CODE 85", "1_0"],
)  # fmt: skip
def test_parse_failure_is_not_counted_as_a_score(text: str) -> None:
    reading = read_integer(text)
    assert (reading.value, reading.reason) == (None, "parse_failure")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("REFUSAL", "refusal"), ("refusal.", "refusal"), ("REF", "refusal"), ("[REFUSED]", "refusal"),
     ("I'm sorry, but I can't help with that.", "refusal"), ("I cannot rate this answer", "refusal"),
     ("CODE", "code"), (" code\n", "code"), ("", "empty"), (" \n\t", "empty")],
)  # fmt: skip
def test_words_keep_their_reason(text: str, reason: str) -> None:
    reading = read_integer(text)
    assert (reading.value, reading.reason) == (None, reason)


def test_a_cut_reply_is_truncated_even_when_it_looks_like_a_score() -> None:
    assert read_integer("8", "length").reason == "truncated"


def test_a_filtered_reply_is_a_refusal() -> None:
    assert read_integer("", "content_filter").reason == "refusal"


@pytest.mark.parametrize(
    ("probs", "value"),
    [({"0": 0.5, "100": 0.5}, 50.0), ({"0": 1.0}, 0.0), ({"100": 1.0}, 100.0), ({"0": 0.3, "CODE": 0.6}, 0.0), ({"10": 0.2, " 10": 0.2}, 10.0),
     ({"80": 0.5, "90": 0.5, "x": -1.0, "y": float("nan"), "70": 0.0}, 85.0)],
)  # fmt: skip
def test_a_weighted_score_is_the_mean_of_the_numbers(probs: dict[str, float], value: float) -> None:
    reading = weighted_score(probs)
    assert (reading.value, reading.reason) == (pytest.approx(value), None)


def test_a_weighted_score_does_not_leave_its_scale() -> None:
    assert weighted_score({"100": 0.1 + 0.2, " 100": 0.7}).value == 100.0
