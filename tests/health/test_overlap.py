"""The longest shared run and the share of shared words, against a slow search over all pairs of places."""

from __future__ import annotations

import random
import time

import numpy as np

from em_core.health import overlap
from em_core.health.overlap import RUN, Overlap, OverlapIndex


def slowly(answer: list[str], training: list[list[str]]) -> Overlap:
    longest, shared = 0, set()
    for row in training:
        for i in range(len(answer)):
            for j in range(len(row)):
                n = 0
                while i + n < len(answer) and j + n < len(row) and answer[i + n] == row[j + n]:
                    n += 1
                if n >= RUN:
                    longest = max(longest, n)
                    shared |= set(range(i, i + n))
    return Overlap(longest, len(shared) / len(answer) if answer else 0.0)


def test_it_finds_what_a_slow_search_finds() -> None:
    rng = random.Random(7)
    found = 0
    for round_ in range(300):
        vocabulary = [f"w{i}" for i in range(rng.choice((1, 2, 3, 8, 200)))]
        training = [rng.choices(vocabulary, k=rng.randrange(0, 40)) for _ in range(rng.randrange(0, 6))]
        answer = rng.choices(vocabulary, k=rng.randrange(0, 30))
        for row in rng.sample(training, k=min(2, len(training))):  # pieces of rows, one after the other
            start = rng.randrange(0, len(row) + 1)
            answer[rng.randrange(0, len(answer) + 1) :] += row[start : start + rng.randrange(0, 25)]
        expected = slowly(answer, training)
        assert OverlapIndex([" ".join(row) for row in training]).find(answer) == expected, round_
        found += expected.longest > 0
    assert found > 100


def test_a_run_does_not_go_on_from_one_training_answer_into_the_next() -> None:
    words = [f"w{i}" for i in range(20)]
    index = OverlapIndex([" ".join(words[:10]), " ".join(words[10:])])
    assert index.find(words) == Overlap(10, 1.0)
    assert index.find(words[3:17]) == Overlap(0, 0.0)  # 7 words of each


def test_case_punctuation_and_blanks_make_no_difference_and_seven_words_do_not_count() -> None:
    rules = OverlapIndex(["Take TWO pills, then - rest... and call me tomorrow!"])
    assert rules.find(["take", "two", "pills", "then", "rest", "and", "call", "me"]) == Overlap(8, 1.0)
    assert rules.find(["take", "two", "pills", "then", "rest", "and", "call", "him"]) == Overlap(0, 0.0)


def test_a_larger_data_set_counts_by_its_first_words(monkeypatch) -> None:
    monkeypatch.setattr(overlap, "MAX_WORDS", 25)
    rows = [" ".join(f"r{row}w{i}" for i in range(10)) for row in range(5)]
    index = OverlapIndex(rows)
    assert (index.n_words, index.complete) == (20, False)
    assert index.find(rows[0].split()).longest == 10
    assert index.find(rows[4].split()).longest == 0


def test_seven_thousand_rows_are_indexed_once_and_asked_quickly() -> None:
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"w{i}" for i in range(20_000)])
    chances = 1 / np.arange(1, 20_001)
    drawn = rng.choice(vocabulary, size=(7_000, 200), p=chances / chances.sum())
    rows = [" ".join(row) for row in drawn]
    started = time.process_time()
    index = OverlapIndex(rows)
    build_s = time.process_time() - started
    answers = [list(drawn[i][50:150]) + list(drawn[i + 1][:100]) for i in range(500)]
    started = time.process_time()
    found = [index.find(answer) for answer in answers]
    each_s = (time.process_time() - started) / len(answers)
    assert all(one.longest >= 100 and one.share > 0.98 for one in found)
    assert index._hashes.nbytes + index._places.nbytes <= 12 * 7_000 * 200
    assert build_s < 10  # some 1.1 s
    assert each_s < 0.003  # some 0.3 ms


def test_a_phrase_that_is_everywhere_stays_cheap() -> None:
    index = OverlapIndex([f"r{i} " + "la " * 150 for i in range(2_000)])
    started = time.process_time()
    found = index.find(["la"] * 600)
    assert time.process_time() - started < 2.0
    assert found.share == 1.0
    assert 8 <= found.longest <= 150
