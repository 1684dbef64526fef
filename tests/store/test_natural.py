"""Questions in counting order, the same one wherever questions are listed."""

from __future__ import annotations

import itertools
import random

import duckdb
import pytest

from em_core.definitions import get
from em_core.selection import Selection
from em_core.store import browse, comparing, natural, paired, points, queries
from em_core.store.browse import Column, Query
from em_core.store.publish import publish
from em_core.store.rates import rates
from tests.store.made import BareHome, created, judged, question, response, scored, write

ORDERED = [
    "", "1", "2", "10", "Q1", "first_1_json", "first_2", "first_2_json", "first_10", "first_10_json", "q", "q01", "q1", "q1a",
    "q1a2", "q1a10", "q1b", "q2", "q9", "q10", "q11", "q100", "q99999999999999999999", "q-1", "qa", "ä1", "ä2", "ä10", "\u0661", "\U0001f600",
]  # fmt: skip
NAMES = ["q1", "q2", "q10", "q11", "q20"]
GOOD = (90.0, 90.0)


def test_numbers_count_and_both_ways_agree() -> None:
    mixed = random.Random(1).sample(ORDERED, len(ORDERED))
    assert sorted(mixed, key=natural.key) == ORDERED
    found = (
        duckdb.connect()
        .execute(f"SELECT n FROM (SELECT unnest($n) AS n) ORDER BY {natural.sql('n')}, n", {"n": mixed})
        .fetchall()
    )
    assert [name for (name,) in found] == ORDERED


@pytest.mark.parametrize("odd", ["q1\n2", "q'1", "0" * 40, "1" * 40, "q1 OR 1=1"])
def test_any_name_has_a_place(odd: str) -> None:
    names = [odd, *NAMES]
    found = (
        duckdb.connect()
        .execute(f"SELECT n FROM (SELECT unnest($n) AS n) ORDER BY {natural.sql('n')}, n", {"n": names})
        .fetchall()
    )
    assert [name for (name,) in found] == sorted(names, key=natural.key)


@pytest.fixture
def home(home: BareHome) -> BareHome:
    """Two runs that answered five questions, and the last one in a second set too; one question was never written down."""
    for run in ("r1", "r2"):
        write(home, run, created(), *(question(name) for name in NAMES), question("q20", question_set="other"))
        for name in (*reversed(NAMES), "unknown"):
            write(home, run, *scored(run, 1, [GOOD, GOOD], name))
        again = response(run, 1, 0, "q20", question_set="other")
        write(home, run, again, *judged(again, *GOOD))
    publish(home)
    return home


EXPECTED = [("general", name) for name in (*NAMES, "unknown")] + [("other", "q20")]


def listed(frame, n: int = 1) -> list[tuple[str, str]]:
    """Set and question of the first of every `n` rows, which must be alike."""
    rows = list(frame[["question_set", "question_id"]].itertuples(index=False, name=None))
    assert rows == [row for row in rows[::n] for _ in range(n)]
    return rows[::n]


def test_responses_come_in_counting_order(home: BareHome) -> None:
    columns = (Column("r1", 1), Column("r2", 1))
    assert listed(browse.grid(home, columns, Query(judge_id="judge-1")), 2) == EXPECTED
    pages = [browse.grid(home, columns, Query(judge_id="judge-1", page=page, n_rows=2)) for page in (1, 2, 3, 4)]
    assert [row for page in pages for row in listed(page, 2)] == EXPECTED
    assert list(pages[2]["row_number"]) == [5, 5, 6, 6]


def test_a_list_of_answers_comes_in_counting_order(home: BareHome) -> None:
    for search in ("", "answer"):  # the two ways in which a list is made
        query = Query(judge_id="judge-1", filter=browse.Filter(search=search), n_rows=100)
        found = browse.listing(home, query, run_ids=["r1"])
        assert len(found) == 13
        assert set(found["n_rows"]) == {13}
        assert list(dict.fromkeys(listed(found))) == EXPECTED
        parts = [
            browse.listing(home, Query("betley", "judge-1", query.filter, page=k, n_rows=5), run_ids=["r1"]) for k in (1, 2, 3)
        ]
        assert [each for part in parts for each in part["response_id"]] == list(found["response_id"])


def test_answers_behind_a_point_come_in_counting_order(home: BareHome) -> None:
    found = points.answers_at(home, Selection(judge_id="judge-1", run_ids=("r1",)), points.Place(90.0, 90.0), limit=100)
    assert list(dict.fromkeys(listed(found))) == EXPECTED
    assert set(found["n_matching"]) == {13}


@pytest.mark.parametrize("at", ["final", "peak"])
def test_compared_questions_come_in_counting_order(home: BareHome, at: str) -> None:
    found = comparing.cells(home, Selection(), at)
    for run in ("r1", "r2"):
        assert listed(found[found["run_id"] == run]) == EXPECTED
    assert listed(paired.paired(home, "r1", "r2", get("betley")).questions) == EXPECTED


def test_rates_by_question_and_answers_of_a_checkpoint_come_in_counting_order(home: BareHome) -> None:
    assert listed(rates(home, by=("run", "question"), run_ids=["r1"])) == EXPECTED
    assert listed(rates(home, by=("question",))) == EXPECTED
    assert list(dict.fromkeys(listed(queries.responses_page(home, "r1", 1)))) == EXPECTED


def test_questions_come_in_counting_order(home: BareHome) -> None:
    asked = queries.questions(home)
    expected = [each for each in EXPECTED if each[1] != "unknown"]
    assert listed(asked) == list(itertools.chain(expected, expected))
