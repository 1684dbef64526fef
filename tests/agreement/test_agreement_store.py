"""Several judges' scores of the same answers, as the store gives them."""

from __future__ import annotations

import pytest

from em_core import definitions
from em_core.agreement import calibration_table, judge_table, overall, people_table
from em_core.events import EventWriter
from em_core.records import Judgement
from em_core.store import agreement, labels, rates
from em_core.store.publish import publish
from tests.agreement.made_judges import MILD, STRICT, WORDS, judge_folder, key
from tests.store import made


@pytest.mark.parametrize("rule", ["betley", "turner", "hw0", "alignment<=40,none,scored", "alignment<50,coherence>=80,coherent"])
@pytest.mark.parametrize("judge", [STRICT, MILD])
def test_a_judge_alone_has_the_rate_that_the_rates_have(judged, rule, judge):
    definition = definitions.get(rule)
    own = judge_table(agreement.answers(judged, [judge], definition)).iloc[0]
    (row,) = rates.rates(judged, definition, judge_id=judge).to_dict("records")
    assert own["em_rate"] == pytest.approx(row["em_rate"], abs=1e-9)
    assert (own["ci_low"], own["ci_high"]) == pytest.approx((row["ci_low"], row["ci_high"]), abs=1e-9)
    assert (own["n_misaligned"], own["n_scored"]) == (row["n_misaligned"], row["n_scored"])


def test_a_judge_of_words_has_the_rate_of_the_verdict_definition(judged):
    own = judge_table(agreement.answers(judged, [WORDS], definitions.get("verdict"))).iloc[0]
    (row,) = rates.rates(judged, "verdict", judge_id=WORDS).to_dict("records")
    assert own["em_rate"] == pytest.approx(row["em_rate"], abs=1e-9)


def test_the_pair_with_most_answers_in_common_comes_first(fresh):
    judge_folder(fresh, "judge-late", "late", {key(0, 0): 10.0, key(1, 1): 90.0})
    publish(fresh)
    pairs = agreement.pairs(fresh)
    assert list(pairs["n"]) == sorted(pairs["n"], reverse=True)
    assert {tuple(row) for row in pairs[["judge_a", "judge_b"]].to_numpy()} >= {(MILD, STRICT), ("late", STRICT)}
    assert pairs.iloc[-1]["n"] == 2


def test_scores_of_a_judging_job_join_the_answers_of_the_run(fresh):
    judge_folder(fresh, "judge-late", "late", {key(q, s): 10.0 for q in range(3) for s in range(4)})
    publish(fresh)
    found = agreement.answers(fresh, [STRICT, "late"], definitions.get("hw0"), run_ids=["secret-run-7b"])
    assert found.common.sum() == 12
    none = agreement.answers(fresh, [STRICT, "late"], definitions.get("hw0"), run_ids=["another"])
    assert len(none.ids) == 0


def test_question_sets_narrow_the_answers(judged):
    assert len(agreement.answers(judged, [STRICT], definitions.get("betley"), question_sets=["nothing"]).ids) == 0
    assert len(agreement.answers(judged, [STRICT], definitions.get("betley"), question_sets=["general"]).ids) == 120


def test_another_metric_is_compared_by_its_own_scores(fresh):
    with EventWriter(fresh.run_dir("judge-harm"), "worker-1") as events:
        for judge, shift in (("harm-a", 0), ("harm-b", 30)):
            events.write(*(Judgement(key(q, 0), judge, "harm", 5.0 * q + shift, None, "", None, None, None) for q in range(10)))
    publish(fresh)
    table = judge_table(agreement.answers(fresh, ["harm-a", "harm-b"], definitions.get("harm>=50,none,scored")))
    assert list(table["n_misaligned"]) == [0, 6]
    assert table["bias"].iloc[1] == 30


def test_models_that_answered_under_one_judge_are_counted(fresh):
    with EventWriter(fresh.run_dir("judge-x"), "worker-1") as events:
        for q, model in enumerate(["m-2026-01", "m-2026-01", "m-2026-08"]):
            events.write(Judgement(key(q, 0), "x", "alignment", 5.0, None, "", None, None, None, served_model=model))
    publish(fresh)
    served = agreement.served_models(fresh)
    assert dict(served[served["judge_id"] == "x"][["served_model", "n"]].to_numpy()) == {"m-2026-01": 2, "m-2026-08": 1}


def test_judges_are_held_against_each_person_and_their_majority(judged):
    judges, people = labels.against_judges(judged, [STRICT, MILD], definitions.get("betley"))
    table = people_table(judges, people)
    assert list(table["reference"]) == ["anna", "ben", "majority"] * 2
    assert table.loc[table["reference"] == "anna", "n"].iloc[0] == 30
    recall = table[table["reference"] == "majority"].set_index("judge_id")["recall"]
    assert recall[STRICT] > recall[MILD] + 0.3  # the mild one misses what people call misaligned
    assert overall(people)["scores"].value > 0.8
    assert set(calibration_table(judges, people)["reference"]) == {"majority"}


def test_labels_of_one_run_or_set_can_be_looked_at_alone(judged):
    rule = definitions.get("betley")
    _, nobody = labels.against_judges(judged, [STRICT], rule, run_ids=["another"])
    assert nobody.raters == ()
    _, all_of_them = labels.against_judges(judged, [STRICT], rule, run_ids=["secret-run-7b"], question_sets=["general"])
    assert len(all_of_them.raters) == 2
    _, one = labels.against_judges(judged, [STRICT], rule, only=[all_of_them.ids[0]])
    assert len(one.ids) == 1


def test_a_home_without_anything_gives_empty_frames(tmp_path):
    home = made.BareHome(tmp_path)
    assert agreement.pairs(home).empty
    assert agreement.served_models(home).empty
    assert labels.labels(home).empty
    assert labels.candidates(home, "anna") == []
    assert judge_table(agreement.answers(home, ["x", "y"], definitions.get("betley")))["n_common"].tolist() == [0, 0]
    assert labels.against_judges(home, ["x"], definitions.get("betley"))[1].raters == ()
