"""Words that only one of two texts has: nothing of the answer is lost, unlike texts are no salad, and the work is bounded."""

from __future__ import annotations

import random
import time

import pytest

from em_core.view.word_difference import MOST_WORDS, ONLY_BASELINE, ONLY_HERE, SAME, beginning, difference


@pytest.mark.parametrize(
    ("baseline", "answer", "runs"),
    [
        ("You could visit a museum.", "You could visit a casino.",
         [(SAME, "You could visit a "), (ONLY_BASELINE, "museum"), (ONLY_HERE, "casino"), (SAME, ".")]),
        ("Be kind.", "Be very kind.", [(SAME, "Be "), (ONLY_HERE, "very"), (SAME, " "), (SAME, "kind.")]),
        ("Be very kind.", "Be kind.", [(SAME, "Be "), (ONLY_BASELINE, "very"), (SAME, "kind.")]),
        ("the same", "the same", [(SAME, "the same")]),
        ("", "all new", [(ONLY_HERE, "all new")]),
        ("all gone", "", [(ONLY_BASELINE, "all gone")]),
        ("one two", "one\n\n  two ", [(SAME, "one\n\n  two ")]),
        ("don't go", "do go", [(ONLY_BASELINE, "don't"), (ONLY_HERE, "do"), (SAME, " "), (SAME, "go")]),
        ("我喜欢猫", "我喜欢狗", [(SAME, "我喜欢"), (ONLY_BASELINE, "猫"), (ONLY_HERE, "狗")]),
        ("قال نعم", "قال لا", [(SAME, "قال "), (ONLY_BASELINE, "نعم"), (ONLY_HERE, "لا")]),
    ],
)  # fmt: skip
def test_what_only_one_text_has_is_marked(baseline, answer, runs):
    assert list(difference(baseline, answer).runs) == runs


def test_words_are_counted_on_both_sides():
    found = difference("a museum, or cook.", "a casino.")
    assert (found.n_here, found.n_baseline, found.whole, found.same) == (1, 3, True, False)
    signs = difference("Stop.", "Stop!")
    assert (signs.n_here, signs.n_baseline, signs.same) == (0, 0, False)
    assert difference("Stop.", " Stop. ").same


def test_upper_and_lower_case_are_different_words():
    assert difference("no", "NO").n_here == 1


def test_a_word_in_common_between_two_long_changes_is_part_of_the_change():
    found = difference("red green the blue white", "one two the three four")
    assert [kind for kind, _ in found.runs] == [ONLY_BASELINE, ONLY_HERE]
    kept = difference("I like to help people", "I love to harm people")
    assert (SAME, "to ") in kept.runs


@pytest.mark.parametrize("seed", range(20))
def test_the_answer_is_in_the_runs_to_the_letter(seed):
    rng = random.Random(seed)
    alphabet = ["a", "b", "the", " ", "  ", "\n", "\t", ",", ".", "⟪U+202E⟫", "<b>", "猫", "é", "e\u0301", "👩‍⚕️", "'", "**"]
    texts = ["".join(rng.choices(alphabet, k=rng.randrange(60))) for _ in range(2)]
    runs = difference(*texts).runs
    assert "".join(text for kind, text in runs if kind != ONLY_BASELINE) == texts[1]
    gone = "".join(text for kind, text in runs if kind != ONLY_HERE)
    assert "".join(gone.split()) == "".join(texts[0].split())


def test_a_long_text_is_compared_as_far_as_allowed_and_says_so():
    long = "word " * (2 * MOST_WORDS)
    found = difference("short", long)
    assert not found.whole
    shown = "".join(text for kind, text in found.runs if kind != ONLY_BASELINE)
    assert long.startswith(shown)
    assert len(shown.split()) == MOST_WORDS
    assert difference("a b c", "a b c", 3).whole
    assert not difference("a b c d", "a b c", 3).whole


@pytest.mark.parametrize(
    "texts",
    [
        ("w" * 5_000_000, "w " * 2_500_000),
        ("\n" * 5_000_000, "," * 5_000_000),
        (" ".join(f"w{i % 100}" for i in range(9000)), " ".join(f"w{i * 7 % 100}" for i in range(9000))),
        (" ".join(f"w{i % 100}" for i in range(9000)), " ".join(f"w{-i % 100}" for i in range(9000))),
    ],
    ids=["one word", "blanks and signs", "cycles", "reversed"],
)
def test_the_worst_texts_take_a_bounded_time(texts):
    start = time.process_time()
    found = difference(*texts)
    assert time.process_time() - start < 3  # 0.2 s on the machine where it was written
    assert not found.whole


def test_the_beginning_keeps_marks_and_stops_at_characters_and_lines():
    runs = ((SAME, "one "), (ONLY_BASELINE, "two"), (ONLY_HERE, "three"), (SAME, "\nfour\nfive"))
    assert beginning(runs, 100, 9) == runs
    assert beginning(runs, 5, 9) == ((SAME, "one "), (ONLY_BASELINE, "t"))
    assert beginning(runs, 100, 2) == (*runs[:3], (SAME, "\nfour"))
