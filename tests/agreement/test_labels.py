"""A person's labels: on the disk at once, never lost, never changed, replaced by a later word."""

from __future__ import annotations

import json

import pytest

from em_core import definitions
from em_core.agreement import people_table
from em_core.errors import BadInput, ManyProblems
from em_core.events import read_events
from em_core.labels import Desk, Given, drawn_at_random, files, labellers
from em_core.store import agreement
from em_core.store import labels as store
from em_core.store.publish import publish, rebuild
from tests.agreement.made_judges import MILD, STRICT, key
from tests.store.made import content

BAD, GOOD = Given(0.0, 100.0), Given(100.0, 100.0)


def events(home, labeller="anna"):
    return list(read_events(home.run_dir(f"labels-{labeller}"), "label"))


def test_a_label_is_on_the_disk_when_label_returns(fresh):
    Desk(fresh, "Anna").label((key(0, 0), BAD))
    assert [(e["metric"], e["value"], e["labeller"]) for e in events(fresh)] == [
        ("alignment", 0.0, "anna"),
        ("coherence", 100.0, "anna"),
    ]
    (created,) = read_events(fresh.run_dir("labels-anna"), "run_created")
    assert created["run_kind"] == "labels"


def test_a_later_label_replaces_and_the_earlier_one_stays_in_the_events(fresh):
    desk = Desk(fresh, "anna")
    desk.label((key(0, 0), BAD))
    desk.label((key(0, 0), GOOD))
    publish(fresh)
    assert desk.given() == {key(0, 0): GOOD}
    assert store.labels(fresh)["alignment"].tolist() == [100.0]
    assert len(events(fresh)) == 4


def test_the_same_label_again_writes_nothing(fresh):
    desk = Desk(fresh, "anna")
    for _ in range(3):
        desk.label((key(0, 0), BAD))
    assert len(events(fresh)) == 2


def test_undo_takes_the_last_label_back_and_then_the_one_before(fresh):
    desk = Desk(fresh, "anna")
    desk.label((key(0, 0), BAD), (key(0, 1), GOOD))
    assert desk.undo() == key(0, 1)
    assert list(desk.given()) == [key(0, 0)]
    publish(fresh)
    assert store.labels(fresh)["response_id"].tolist() == [key(0, 0)]
    assert desk.undo() == key(0, 0)
    assert desk.undo() is None
    desk.label((key(0, 1), BAD))
    assert desk.given() == {key(0, 1): BAD}


def test_a_reason_is_kept_and_is_no_score(fresh):
    Desk(fresh, "anna").label((key(0, 0), Given(None, None, "refusal", "says no")), (key(0, 1), Given(None, 0.0, "incoherent")))
    publish(fresh)
    rows = store.labels(fresh).set_index("response_id")
    assert rows.loc[key(0, 0), "alignment_reason"] == "refusal"
    assert rows.loc[key(0, 0), "note"] == "says no"
    assert rows["alignment"].isna().all()
    assert rows.loc[key(0, 1), "coherence"] == 0


@pytest.mark.parametrize(
    "given", [Given(101.0, 50.0), Given(-1.0, 50.0), Given(float("nan"), 1.0), Given(None, 50.0), Given(None, None, "x")]
)
def test_a_label_that_says_nothing_valid_is_refused(fresh, given):
    with pytest.raises(BadInput):
        Desk(fresh, "anna").label((key(0, 0), given))
    assert not fresh.run_dir("labels-anna").exists()


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", "é", "-a", "x" * 41])
def test_a_labellers_name_cannot_leave_the_folder(fresh, name):
    with pytest.raises(BadInput, match="name"):
        Desk(fresh, name)


def test_a_torn_last_line_costs_one_label_at_most(fresh):
    desk = Desk(fresh, "anna")
    desk.label((key(0, 0), BAD))
    path = fresh.run_dir("labels-anna") / "events" / "labels-1.jsonl"
    with path.open("ab") as file:
        file.write(b'{"kind": "label", "t": 1.0, "response_id": "x", "la')
    assert list(desk.given()) == [key(0, 0)]
    desk.label((key(0, 1), GOOD))
    assert list(desk.given()) == [key(0, 0), key(0, 1)]
    publish(fresh)
    assert len(store.labels(fresh)) == 2


def test_a_rebuild_has_the_same_labels(judged):
    before = content(judged)["labels"]
    assert before
    rebuild(judged)
    assert content(judged)["labels"] == before


def test_a_batch_survives_and_its_order_is_everybodys_own(fresh):
    batch = Desk(fresh, "anna").draw(20)
    assert Desk(fresh, "anna").batch() == batch
    assert len(set(batch.response_ids)) == 20
    assert Desk(fresh, "ben").draw(20).response_ids != batch.response_ids
    assert labellers(fresh) == ["anna", "ben"]


def test_what_was_labelled_is_not_drawn_again_even_before_it_is_published(fresh):
    desk = Desk(fresh, "anna")
    first = desk.draw(100)
    desk.label(*((each, BAD) for each in first.response_ids))
    second = desk.draw(100)
    assert len(second.response_ids) == 20
    assert not set(first.response_ids) & set(second.response_ids)
    desk.label(*((each, BAD) for each in second.response_ids))
    with pytest.raises(BadInput, match="no answer is left"):
        desk.draw(1)
    assert drawn_at_random(fresh) == {*first.response_ids, *second.response_ids}


def test_hard_cases_are_where_the_judges_differ_most(fresh):
    drawn = Desk(fresh, "anna").draw(10, "disagreement", judge_ids=[STRICT, MILD])
    frame = agreement.side_by_side(fresh, [STRICT, MILD]).set_index("response_id")
    spread = (frame["value_0"] - frame["value_1"]).abs().fillna(-1)
    assert spread[list(drawn.response_ids)].min() >= spread.nlargest(10).min()
    assert not drawn_at_random(fresh)


def test_with_one_judge_hard_cases_lie_closest_to_the_threshold(fresh):
    drawn = Desk(fresh, "anna").draw(5, "disagreement", judge_ids=[STRICT])
    distance = (agreement.side_by_side(fresh, [STRICT]).set_index("response_id")["value_0"] - 30).abs()
    assert distance[list(drawn.response_ids)].max() <= distance.nsmallest(5).max()


def test_what_others_have_labelled_can_come_first(fresh):
    Desk(fresh, "ben").label((key(3, 3), BAD), (key(4, 4), GOOD))
    publish(fresh)
    assert set(Desk(fresh, "anna").draw(2, "others first").response_ids) == {key(3, 3), key(4, 4)}


def test_a_batch_is_of_the_chosen_questions_only(fresh):
    with pytest.raises(BadInput, match="no answer"):
        Desk(fresh, "anna").draw(5, question_sets=["other"])
    with pytest.raises(BadInput, match="order"):
        Desk(fresh, "anna").draw(5, "backwards")
    with pytest.raises(BadInput, match="out of bounds"):
        Desk(fresh, "anna").draw(0)


def test_the_text_to_label_says_nothing_about_who_answered(fresh):
    assert store.text(fresh, key(2, 0)) == {"system": "", "prompt": "What about q2?", "text": "An answer."}
    assert store.text(fresh, "nothing") is None


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_labels_go_out_and_come_back_the_same(fresh, tmp_path, ending):
    Desk(fresh, "anna").label(
        (key(0, 0), Given(25.0, 100.0, "", '=a "note",\nof two lines')), (key(0, 1), Given(None, None, "code"))
    )
    publish(fresh)
    path = tmp_path / f"labels{ending}"
    assert files.export(fresh, path) == 2
    text = path.read_text().replace("anna", "ben")
    path.write_text(text)
    assert files.read(fresh, path) == 2
    assert Desk(fresh, "ben").given() == Desk(fresh, "anna").given()


def test_with_one_wrong_row_no_row_is_imported_and_all_problems_are_said(fresh, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        f"response_id,alignment,coherence,reason\n{key(0, 0)},10,90,\nunknown,10,90,\n{key(0, 1)},ten,90,\n{key(0, 2)},,,\n"
    )
    with pytest.raises(ManyProblems) as error:
        files.read(fresh, path, "anna")
    assert [place for place, *_ in error.value.problems] == ["3", "4", "5"]
    assert not fresh.run_dir("labels-anna").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "id\n1\n", "response_id"),
        ("x.jsonl", "{\n", "not JSON"),
        ("x.jsonl", "[1]\n", "not an object"),
        ("no.csv", None, "read"),
    ],
)
def test_a_file_that_is_no_labels_is_said(fresh, tmp_path, name, text, words):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=words):
        files.read(fresh, tmp_path / name, "anna")


def test_export_checks_where_it_writes(fresh, tmp_path):
    with pytest.raises(BadInput, match="pdf"):
        files.export(fresh, tmp_path / "x.pdf")
    with pytest.raises(BadInput, match="no such folder"):
        files.export(fresh, tmp_path / "none" / "x.csv")


def test_batches_are_readable_by_people(fresh):
    Desk(fresh, "anna").draw(3)
    (path,) = (fresh.run_dir("labels-anna") / "batches").glob("*.json")
    assert json.loads(path.read_text())["order"] == "random"


def test_nonsense_fails_the_gate_and_is_not_counted_where_there_is_none(fresh):
    """An answer that makes no sense to a person is a false alarm of a judge that calls it misaligned."""
    frame = agreement.side_by_side(fresh, [STRICT]).set_index("response_id")
    bad = list(frame.index[frame["value_0"] < 10][:3])
    Desk(fresh, "anna").label((bad[0], BAD), (bad[1], Given(None, 0.0, "incoherent")), (bad[2], Given(None, None, "unclear")))
    publish(fresh)
    for rule, n, alarms in (("betley", 2, 1), ("turner", 2, 1), ("hw0", 1, 0)):
        judges, people = store.against_judges(fresh, [STRICT], definitions.get(rule))
        (row,) = people_table(judges, people).to_dict("records")
        assert (row["n"], row["both"], row["judge_only"]) == (n, 1, alarms), rule
