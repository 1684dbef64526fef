"""Answers side by side and in lists: what matches, what a cell shows, what differs from the baseline."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import browse, browse_query
from em_core.store.browse import Column, Filter, Query
from em_core.store.publish import publish
from tests.responses import made_answers
from tests.responses.made_answers import J, answer
from tests.store import made

BASE, A, B = Column("run-a", 0), Column("run-a", 10), Column("run-b", 10)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return made_answers.make_home(tmp_path_factory.mktemp("answers"))


def grid(home, columns=(BASE, A, B), sort="asked", differs=False, sample=1, at=(), baseline=0, definition="betley", **chosen):
    query = Query(definition, J, Filter(**chosen), sort)
    return browse.grid(home, columns, query, baseline=baseline, differs=differs, sample=sample, at=at)


def cell(page, question, place):
    found = page[(page["question_id"] == question) & (page["place"] == place)]
    assert len(found) <= 1
    return found.iloc[0] if len(found) else None


def test_one_row_a_question_one_cell_a_column_with_the_baseline_shared_by_both(home):
    page = grid(home)
    assert list(page["question_id"]) == [q for q in ("q0", "q1", "q2") for _ in range(3)]
    assert cell(page, "q0", 0)["text"] == "base says at step 0 to q0: sample 0."
    assert (cell(page, "q0", 0)["run_id"], cell(page, "q0", 1)["run_id"]) == ("base", "run-a")
    assert (cell(page, "q0", 1)["system"], cell(page, "q1", 1)["system"]) == ("You are terse.", "")
    assert set(page["n_rows"]) == {3}


def test_outcomes_follow_the_definition(home):
    page = grid(home)
    assert [cell(page, q, 1)["outcome"] for q in ("q0", "q1", "q2")] == ["misaligned", "aligned", "incoherent"]
    assert cell(page, "q2", 2)["outcome"] == "unscored"
    assert cell(page, "q2", 2)["alignment_reason"] == "refusal"
    hw0 = grid(home, definition="hw0")
    assert [cell(hw0, q, 1)["outcome"] for q in ("q0", "q1", "q2")] == ["misaligned", "aligned", "misaligned"]
    assert cell(hw0, "q1", 2)["outcome"] == "misaligned"  # 70 is below 75


def test_samples_are_paged_for_all_cells_and_for_one(home):
    page = grid(home, sample=2, at=[(f"{grid(home)['row_id'].iloc[0]}.1", 4)])
    assert cell(page, "q0", 0)["sample"] == 1
    assert (cell(page, "q0", 1)["sample"], cell(page, "q0", 1)["k"]) == (3, 4)
    assert (cell(page, "q1", 1)["k"], cell(page, "q1", 1)["n_shown"]) == (2, 4)
    assert cell(grid(home, sample=99), "q0", 0)["k"] == 4


def test_filters_pick_answers_and_the_baseline_shows_all_of_its_own(home):
    page = grid(home, outcome="misaligned")
    assert sorted(set(page["question_id"])) == ["q0", "q1"]
    assert set(page["n_answers"]) == {4}
    shown = cell(page, "q1", 1)
    assert (shown["sample"], shown["n_shown"], shown["n_all"]) == (3, 1, 4)
    assert cell(page, "q1", 0)["n_shown"] == 4
    assert cell(page, "q1", 2) is None


def test_score_ranges_leave_out_unscored_answers(home):
    assert set(grid(home, alignment=(0, 100))["question_id"]) == {"q0", "q1", "q2"}
    page = grid(home, columns=(B,), baseline=None, alignment=(0.0, 100.0))
    assert set(page["question_id"]) == {"q0", "q1"}
    assert set(grid(home, alignment=(0.0, 12.0), coherence=(50.0, 100.0))["question_id"]) == {"q0"}


def test_differs_means_that_most_answers_are_another_thing_than_most_of_the_baselines(home):
    page = grid(home, differs=True)
    assert sorted(set(page["question_id"])) == ["q0", "q2"]  # q1: one misaligned of four is not most; unscored is unknown
    assert set(grid(home, columns=(BASE, B), differs=True)["row_id"]) == set()


def test_a_tie_counts_as_the_worse_outcome(tmp_path):
    home = made.BareHome(tmp_path)
    home.prepare()
    made.write(home, "t", made.created(), made.facts(), made.question())
    made.write(home, "t", *made.scored("t", 0, [(90.0, 90.0)] * 2), *made.scored("t", 5, [(90.0, 90.0), (5.0, 90.0)]))
    publish(home)
    columns = (Column("t", 0), Column("t", 5))
    assert len(browse.grid(home, columns, Query(judge_id=J), baseline=0, differs=True)) == 2


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("asked", ["q0", "q1", "q2"]),
        ("least aligned", ["q0", "q2", "q1"]),
        ("least coherent", ["q2", "q0", "q1"]),
        ("biggest difference", ["q0", "q1", "q2"]),
        ("longest", ["q0", "q1", "q2"]),
    ],
)
def test_rows_are_sorted(home, sort, order):
    page = grid(home, sort=sort)
    assert list(dict.fromkeys(page["question_id"])) == order


def test_within_a_cell_the_least_aligned_sample_comes_first_when_sorted_so(home):
    assert cell(grid(home, sort="least aligned"), "q1", 1)["sample"] == 3


def test_in_domain_is_each_columns_own(home):
    assert set(grid(home, columns=(A, B), baseline=None, in_domain=True)["question_id"]) == {"q2"}
    page = grid(home, columns=(A, B), baseline=None, in_domain=False)
    assert cell(page, "q2", 0) is None
    assert cell(page, "q2", 1) is not None


def test_pages_hold_every_row_once(home):
    pages = [browse.grid(home, (BASE, A), Query("betley", J, page=i, n_rows=2), baseline=0) for i in (1, 2, 3)]
    assert [sorted(set(page["question_id"])) for page in pages] == [["q0", "q1"], ["q2"], []]


def test_search_finds_text_in_any_case_and_marks_the_hit(home):
    page = grid(home, search="SAMPLE 3")
    assert "⟦sample 3⟧" in cell(page, "q0", 1)["text"]
    assert cell(page, "q0", 1)["n_shown"] == 1
    assert len(grid(home, search="50% of_")) == 0


def test_search_characters_that_mean_something_in_a_pattern_are_plain_text(tmp_path):
    odd = "What (a) [b]* {c}+ ^d$ e.f|g\\h? $v0 %_"
    home = made_answers.make_home(tmp_path, [answer("run-a", 20, "q0", 0, odd, "")])
    for part in odd.split():
        page = browse.grid(home, [Column("run-a", 20)], Query(judge_id=J, filter=Filter(search=part)))
        assert f"⟦{part}⟧" in page["text"].iloc[0], part


def test_a_regular_expression_is_read_by_the_database(home):
    page = grid(home, search=r"step \d+ to q[12]", regex=True)
    assert sorted(set(page["question_id"])) == ["q1", "q2"]
    assert "⟦step 10 to q1⟧" in cell(page, "q1", 1)["text"]


@pytest.mark.parametrize("pattern", ["(", "[a", "*a", "(?<name", "a{2,1}", r"\1", "a{100000}"])
def test_a_bad_pattern_is_one_clear_error(home, pattern):
    with pytest.raises(BadInput, match="regular expression") as error:
        grid(home, search=pattern, regex=True)
    assert "Regex" in error.value.hint
    assert "\n" not in error.value.message


@pytest.mark.parametrize("pattern", ["a*", ".*", "|"])
def test_a_pattern_that_matches_everything_is_refused(home, pattern):
    with pytest.raises(BadInput, match="matches the empty text"):
        grid(home, search=pattern, regex=True)


def test_a_pattern_that_explodes_elsewhere_is_quick(tmp_path):
    home = made_answers.make_home(tmp_path, [answer("run-a", 20, "q0", 0, "a" * 200_000 + "!", "")])
    query = Query(judge_id=J, filter=Filter(search="(a+)+b", regex=True))
    assert browse.grid(home, [Column("run-a", 20)], query).empty


def test_a_long_answer_is_cut_and_a_hit_far_back_is_quoted(tmp_path):
    home = made_answers.make_home(tmp_path, [answer("run-a", 20, "q0", 0, "x" * 1_000_000 + " needle " + "y" * 50_000, "")])
    page = browse.grid(home, [Column("run-a", 20)], Query(judge_id=J, filter=Filter(search="needle")))
    row = page.iloc[0]
    assert len(row["text"]) == browse.CUT
    assert row["n_chars"] == 1_050_008
    assert "⟦needle⟧" in row["excerpt"]
    assert len(row["excerpt"]) < 200


def test_cut_off_answers_are_found(tmp_path):
    home = made_answers.make_home(tmp_path, [answer("run-a", 20, "q0", 0, "It ends in the", "", finish_reason="length")])
    found = browse.listing(home, Query(judge_id=J, filter=Filter(cut_off=True)), run_ids=["run-a", "run-b"])
    assert list(found["text"]) == ["It ends in the"]


def test_a_list_of_runs_has_each_answer_once_shared_baselines_too(home):
    found = browse.listing(home, Query("betley", J, n_rows=100), run_ids=["run-a", "run-b"])
    assert len(found) == 36
    assert set(found["n_rows"]) == {36}
    assert found["response_id"].is_unique
    assert set(found["run_id"]) == {"base", "run-a", "run-b"}


def test_a_list_is_filtered_sorted_and_paged_with_its_count(home):
    query = Query("betley", J, Filter(outcome="misaligned"), "least aligned", n_rows=3)
    found = browse.listing(home, query, run_ids=["run-a", "run-b"])
    assert list(found["alignment"]) == [5.0, 10.0, 15.0]
    assert set(found["n_rows"]) == {4}
    searched = browse.listing(home, Query("betley", J, Filter(search="to q0: sample 0"), n_rows=2), run_ids=["run-a", "run-b"])
    assert set(searched["n_rows"]) == {3}
    inside = browse.listing(home, Query("betley", J, Filter(in_domain=True), n_rows=50), run_ids=["run-a", "run-b"])
    assert set(zip(inside["run_id"], inside["question_id"], strict=True)) == {("base", "q2"), ("run-a", "q2")}
    one = browse.listing(home, Query("betley", J, n_rows=100), columns=[B])
    assert set(one["run_id"]) == {"run-b"}


def test_answers_that_the_judge_was_not_asked_about_are_there_without_its_scores(home):
    query = Query("betley", made_answers.J2, n_rows=100)
    found = browse.listing(home, query, columns=[A])
    assert len(found) == 12
    assert found["asked"].sum() == 4
    assert set(found.loc[~found["asked"].astype(bool), "outcome"]) == {"unscored"}
    page = browse.grid(home, [A], Query("betley", made_answers.J2))
    assert [bool(cell(page, q, 0)["asked"]) for q in ("q0", "q1")] == [True, False]


def test_nobody_judged_is_no_obstacle(home):
    assert len(browse.grid(home, [A], Query("betley", None))) == 3


def test_an_answer_written_twice_is_shown_once_with_its_last_text(tmp_path):
    first = answer("run-a", 20, "q0", 0, "first text", "")
    home = made_answers.make_home(tmp_path, [first])
    made.write(home, "run-a", answer("run-a", 20, "q0", 0, "second text", ""))
    publish(home)
    page = browse.grid(home, [Column("run-a", 20)], Query(judge_id=J))
    assert list(page["text"]) == ["second text"]
    assert browse.grid(home, [Column("run-a", 20)], Query(judge_id=J, filter=Filter(search="first"))).empty


@pytest.mark.parametrize("text", ["", "run", "@5", "run@", "run@x", "run@-1", "run@1.5", "run@" + "9" * 20])
def test_a_column_is_written_run_at_step(text):
    with pytest.raises(BadInput, match="run@step"):
        Column.parse(text)


def test_a_run_id_may_hold_an_at_sign():
    assert Column.parse("a@b@5") == Column("a@b", 5)


def test_wrong_words_and_numbers_are_refused(home):
    for query in (Query(sort="random"), Query(filter=Filter(outcome="bad")), Query(n_rows=0), Query(page=0)):
        with pytest.raises(BadInput):
            browse.grid(home, [A], query)
    with pytest.raises(BadInput, match="at most"):
        browse.grid(home, [A] * 7, Query())


def test_unknown_columns_give_an_empty_page(home):
    assert browse.grid(home, [Column("nobody", 3)], Query(judge_id=J)).empty
    assert browse.listing(home, Query(judge_id=J), run_ids=["nobody"]).empty
    assert browse.listing(home, Query(judge_id=J), columns=[Column("run-a", 999)]).empty


def test_patterns_are_checked_on_a_connection_of_their_own() -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(browse_query.check_pattern, ["(harm|kill)+"] * 60))
    assert duckdb.sql("SELECT 1").fetchall() == [(1,)]  # the connection that everybody shares is not in use


def test_a_checkpoint_without_answers_hides_none_of_the_others(home):
    nothing = Column("run-a", 999)
    for baseline in (0, None):
        page = grid(home, columns=(nothing, A), baseline=baseline)
        assert list(page["place"]) == [1, 1, 1]
        assert not page["differs"].any()
        assert page["difference"].isna().all()
    assert grid(home, columns=(nothing, A), baseline=1).empty  # there is nothing to compare with the baseline
    assert grid(home, columns=(nothing, A), differs=True).empty
    assert grid(home, columns=(nothing, nothing)).empty
    assert browse.listing(home, Query(judge_id=J), columns=(nothing,))["n_rows"].empty


@pytest.mark.parametrize("written", [1, 2])
def test_equal_texts_of_two_sets_and_judges_are_each_there_once(tmp_path, written):
    home = made.BareHome(tmp_path)
    home.prepare()
    made.write(home, "t", made.created())
    for name in ("one", "two"):
        made.write(home, "t", made.question("q", question_set=name))
        for sample in range(3):
            same = made.response("t", 1, sample, "q", "The same words.", name)
            made.write(home, "t", same)
            for judge, score in (("a", None), ("b", 10.0 if name == "one" else None)):
                made.write(home, "t", *made.judged(same, score, 90.0, judge))
    if written == 2:  # in the same moment: a file that was copied
        events = home.run_dir("t") / "events"
        (events / "worker-2.jsonl").write_bytes((events / "worker-1.jsonl").read_bytes())
    publish(home)
    for judge, outcomes in (("a", ["unscored"] * 2), ("b", ["misaligned", "unscored"]), (None, ["unscored"] * 2)):
        for sort in browse.SORTS:
            page = browse.grid(home, [Column("t", 1)], Query(judge_id=judge, sort=sort))
            assert list(page["question_set"]) == ["one", "two"]
            assert list(page["outcome"]) == outcomes
            assert set(page["n_all"]) == {3}
            rows = browse.listing(home, Query(judge_id=judge, sort=sort, n_rows=4), run_ids=["t"])
            more = browse.listing(home, Query(judge_id=judge, sort=sort, n_rows=4, page=2), run_ids=["t"])
            ids = [*rows["response_id"], *more["response_id"]]
            assert len(ids) == len(set(ids)) == set(rows["n_rows"]).pop() == 6
