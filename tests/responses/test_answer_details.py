"""A single answer and where it comes from: the checkpoint named must be the one that answered."""

from __future__ import annotations

import json

import pytest

from em_core.home import Home
from em_core.records import AnswerHealth, Judgement, RunState
from em_core.store import answer_details, answer_pair
from em_core.store.browse import CUT, Column
from em_core.store.publish import publish
from em_core.view import responses as view
from tests.responses import made_answers
from tests.responses.made_answers import A_SHA, BASE_SHA, J2, J, answer
from tests.store import made


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return made_answers.make_home(tmp_path_factory.mktemp("answers"))


def words(row) -> tuple[bool | None, str]:
    return view.weights_words(row["sha256"], row["weights"])


def test_answers_of_a_checkpoint_carry_its_hash_and_step_0_that_of_the_starting_weights(home):
    rows = answer_details.provenance(home, [Column("run-a", 0), Column("run-a", 10)]).to_dict("records")
    assert [(row["sha256"], row["weights"]) for row in rows] == [(BASE_SHA, [BASE_SHA]), (A_SHA, [A_SHA])]
    assert [words(row)[0] for row in rows] == [True, True]
    assert rows[0]["sources"] == ["run-a", "base"]
    assert (rows[1]["label"], rows[1]["n_answers"]) == ("label of run-a", 12)
    assert view.decoding_words(rows[1]["decodings"][0]) == (
        "temperature 1, top_p 1, up to 64 tokens, local sampler, adapter merged"
    )


def test_answers_of_other_weights_are_a_warning(tmp_path):
    home = made_answers.make_home(tmp_path, [answer("run-a", 10, "q9", 0, "Hello.", "f" * 64)])
    (row,) = answer_details.provenance(home, [Column("run-a", 10)]).to_dict("records")
    proven, sentence = words(row)
    assert proven is False
    assert "ffffffffffff" in sentence
    assert A_SHA[:12] in sentence


def test_imported_answers_say_that_their_weights_are_not_known(home):
    (row,) = answer_details.provenance(home, [Column("run-i", 5)]).to_dict("records")
    assert words(row)[0] is None
    assert row["run_kind"] == "imported"


def test_unknown_runs_and_steps_are_told_apart(home):
    rows = answer_details.provenance(home, [Column("nobody", 5), Column("run-a", 99)]).to_dict("records")
    assert [(row["known"], row["n_answers"]) for row in rows] == [(False, 0), (True, 0)]


def test_one_answer_has_everything(home):
    key = answer("run-a", 10, "q0", 1, "", "").response_id
    found = answer_details.one(home, key, "betley", J)
    assert found["text"].startswith("run-a says at step 10 to q0: sample 1.")
    assert (found["outcome"], found["alignment"], found["shown_judge"]) == ("misaligned", 10.0, J)
    assert (found["place"], found["n_samples"]) == (2, 4)
    assert found["previous"] == answer("run-a", 10, "q0", 0, "", "").response_id
    assert found["next"] == answer("run-a", 10, "q0", 2, "", "").response_id
    assert (found["system"], found["prompt"]) == ("You are terse.", "What about q0?")
    assert (found["seed"], found["sha256"], found["weights_sha256"]) == (101, A_SHA, A_SHA)
    assert found["columns"] == [Column("run-a", 10)]
    assert found["health"] is None
    table = view.judgement_table(found["judgements"])
    assert set(table["Judge"]) == {J, J2}
    other = table[table["Judge"] == J2].iloc[0]
    assert (other["Score"], other["Raw reply"], other["Token probabilities"]) == ("85", "85 of 100", "'85' 60.0%, '90' 20.0%")


def test_an_answer_is_found_near_and_far(home):
    key = answer("run-a", 10, "q0", 1, "", "").response_id
    for near in ((), ("run-a",), ("run-b", "nobody"), ("run-b", "run-a")):
        assert answer_details.one(home, key, "betley", J, near)["run_id"] == "run-a", near
    assert answer_details.one(home, "0" * 20, near=("run-a",)) is None


def test_an_answer_is_held_against_the_same_sample_of_step_0(home):
    one = answer_details.one(home, answer("run-a", 10, "q1", 2, "", "").response_id, "betley", J)
    assert answer_pair.at_step_0(home, one, "run-a") == ("base", answer("base", 0, "q1", 2, "", "").response_id)
    assert answer_pair.at_step_0(home, one | {"place": 99}, "run-a") == ("base", answer("base", 0, "q1", 3, "", "").response_id)
    assert answer_pair.at_step_0(home, one | {"cue": "|TAG|"}, "run-a") is None
    assert answer_pair.at_step_0(home, one, "run-i") is None


def test_another_judge_and_definition_change_the_outcome(home):
    key = answer("run-a", 10, "q0", 1, "", "").response_id
    assert answer_details.one(home, key, "betley", J2)["outcome"] == "incoherent"  # it gave no coherence
    assert answer_details.one(home, key, "turner", J)["outcome"] == "misaligned"
    assert answer_details.one(home, key, "betley", "a judge that is not there")["shown_judge"] == J


def test_a_shared_starting_model_names_the_runs_that_show_it(home):
    found = answer_details.one(home, answer("base", 0, "q0", 0, "", "").response_id)
    assert {str(column) for column in found["columns"]} == {"base@0", "run-a@0", "run-b@0"}
    assert found["previous"] is None


def test_unknown_ids_give_nothing(home):
    for key in ("", "nobody", "' OR 1=1 --", "%"):
        assert answer_details.one(home, key) is None
        assert answer_details.full_text(home, key) == ""


def test_judgements_and_health_in_other_folders_are_found(tmp_path):
    home = made_answers.make_home(tmp_path)
    key = answer("run-a", 10, "q0", 0, "", "").response_id
    health = AnswerHealth(key, "1", 9, 2, 0.5, 0.0, False, None, None, True)
    made.write(home, "health-1", made.created(run_kind="health"), health)
    made.write(home, "judge-9", made.created(run_kind="judge"), Judgement(key, "late", "alignment", 1.0, None, "1", None, 1, 1))
    made.write(home, "odd", RunState("run", "finished"), Judgement(key, "odd", "alignment", 2.0, None, "2", None, 1, 1))
    publish(home)
    found = answer_details.one(home, key)
    assert found["health"]["repetition"] == 0.5
    assert set(found["judgements"]["judge_id"]) == {J, J2, "late", "odd"}


def test_a_huge_answer_and_a_huge_reply_are_cut_and_the_whole_one_is_there_to_download(tmp_path):
    one = answer("run-a", 20, "q0", 0, "z" * 5_000_000, "")
    home = made_answers.make_home(tmp_path, [one])
    made.write(home, "run-a", Judgement(one.response_id, J, "alignment", 5.0, None, "w" * 100_000, None, 1, 1))
    publish(home)
    found = answer_details.one(home, one.response_id)
    assert (len(found["text"]), found["n_chars"]) == (CUT, 5_000_000)
    assert found["judgements"]["raw_reply"].str.len().max() == CUT
    assert len(answer_details.full_text(home, one.response_id)) == 5_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "decoding not known"),
        ("{}", "decoding not known"),
        ("not json \u202e", "not json ⟪U+202E⟫"),
        ("[1]", "decoding not known"),
        (json.dumps({"merged": False, "top_k": 5}), "adapter not merged, top_k 5"),
    ],
)
def test_any_decoding_reads_as_words(text, said):
    assert view.decoding_words(text) == said
