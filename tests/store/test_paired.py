"""Two checkpoints side by side, question by question."""

from __future__ import annotations

import pandas as pd
import pytest

from em_core.definitions import DEFINITIONS
from em_core.errors import BadInput
from em_core.store.paired import Paired, paired, parse_side
from em_core.store.publish import publish
from tests.store.made import BareHome, created, facts, judged, question, response, scored, whole_run, write

BETLEY = DEFINITIONS["betley"]
BAD, GOOD, UNSCORED = (10.0, 90.0), (90.0, 90.0), (None, None)


def _cells(both: Paired) -> dict[str, tuple[int, int, int, int]]:
    columns = ["n_misaligned_a", "base_a", "n_misaligned_b", "base_b"]
    return {str(row["question_id"]): tuple(int(row[c]) for c in columns) for _, row in both.questions.iterrows()}  # type: ignore[misc]


def _home(home: BareHome) -> BareHome:
    write(home, "base-1", created("", run_kind="baseline"), question("q0", "medical"), question("q1"))
    write(home, "base-1", *scored("base-1", 0, [GOOD, GOOD]), *scored("base-1", 0, [GOOD], "q1"))
    write(home, "r1", created(), facts("base-1"), question("q0", "medical"), question("q1"))
    write(home, "r1", *scored("r1", 5, [BAD, GOOD]), *scored("r1", 5, [GOOD], "q1"))
    write(home, "r1", *scored("r1", 10, [BAD, BAD, UNSCORED]), *scored("r1", 10, [BAD], "q1"), *scored("r1", 10, [BAD], "q2"))
    publish(home)
    return home


def test_a_run_without_step_is_its_last_scored_one_and_step_0_lies_in_the_baseline(home: BareHome) -> None:
    both = paired(_home(home), "r1@0", "r1", BETLEY)
    assert (str(both.a), str(both.b), both.judge_id) == ("r1@0", "r1@10", "judge-1")
    assert _cells(both) == {"q0": (0, 2, 2, 2), "q1": (0, 1, 1, 1), "q2": (0, 0, 1, 1)}
    row = both.questions.set_index("question_id").loc["q0"]
    assert (row["n_total_b"], row["n_scored_b"], row["in_domain_a"], row["in_domain_b"]) == (3, 2, True, True)
    assert pd.isna(both.questions.set_index("question_id").loc["q2", "in_domain_a"])


def test_the_baseline_itself_can_be_a_side(home: BareHome) -> None:
    both = paired(_home(home), "base-1", "r1@5", BETLEY)
    assert (both.a.run_id, both.a.step) == ("base-1", 0)
    assert _cells(both)["q0"] == (0, 2, 1, 2)


def test_a_last_step_that_is_not_judged_yet_is_not_the_last_scored_one(home: BareHome) -> None:
    _home(home)
    write(home, "r1", response("r1", 20, 0))
    publish(home)
    assert paired(home, "r1@0", "r1", BETLEY).b.step == 10
    both = paired(home, "r1@0", "r1@20", BETLEY)
    assert _cells(both)["q0"] == (0, 2, 0, 0)
    assert both.questions["n_total_b"].sum() == 1


def test_the_definition_sets_the_denominator(home: BareHome) -> None:
    write(home, "r1", created(), *scored("r1", 0, [(10.0, 20.0), GOOD]), *scored("r1", 1, [(30.0, 90.0), GOOD]))
    publish(home)
    assert _cells(paired(home, "r1@0", "r1@1", BETLEY)) == {"q0": (0, 1, 0, 2)}
    assert _cells(paired(home, "r1@0", "r1@1", DEFINITIONS["turner"])) == {"q0": (0, 2, 1, 2)}
    assert _cells(paired(home, "r1@0", "r1@1", DEFINITIONS["hw0"])) == {"q0": (1, 2, 1, 2)}


def test_several_judges_on_both_sides_are_asked_for(home: BareHome) -> None:
    for step in (0, 1):
        answer = response("r1", step, 0)
        write(
            home, "r1", created(), answer, *judged(answer, 10.0 if step else 90.0, 90.0), *judged(answer, 90.0, 90.0, "judge-2")
        )
    publish(home)
    with pytest.raises(BadInput, match="2 judges each") as caught:
        paired(home, "r1@0", "r1", BETLEY)
    assert "judge-1, judge-2" in (caught.value.hint or "")
    assert _cells(paired(home, "r1@0", "r1", BETLEY, judge_id="judge-1")) == {"q0": (0, 1, 1, 1)}
    assert _cells(paired(home, "r1@0", "r1", BETLEY, judge_id="judge-2")) == {"q0": (0, 1, 0, 1)}
    with pytest.raises(BadInput, match="'judge-3' scored none"):
        paired(home, "r1@0", "r1", BETLEY, judge_id="judge-3")


def test_two_judges_are_never_compared_with_each_other(home: BareHome) -> None:
    write(home, "r1", created(), *scored("r1", 1, [BAD], judge_id="judge-1"))
    write(home, "r2", created(), *scored("r2", 1, [BAD], judge_id="judge-2"))
    publish(home)
    with pytest.raises(BadInput, match="never compared"):
        paired(home, "r1", "r2", BETLEY)
    with pytest.raises(BadInput, match="r2@1: judge 'judge-1' scored none"):
        paired(home, "r1", "r2", BETLEY, judge_id="judge-1")


def test_the_one_judge_that_scored_both_is_taken(home: BareHome) -> None:
    one, two = response("r1", 1, 0), response("r2", 1, 0)
    write(home, "r1", created(), one, *judged(one, 10.0, 90.0), *judged(one, 90.0, 90.0, "judge-2"))
    write(home, "r2", created(), two, *judged(two, 10.0, 90.0))
    publish(home)
    assert paired(home, "r1", "r2", BETLEY).judge_id == "judge-1"


def test_what_cannot_be_compared_says_why(home: BareHome) -> None:
    _home(home)
    whole_run(home, "other", "financial")
    write(home, "elsewhere", created(), *scored("elsewhere", 1, [BAD], "q9"))
    write(home, "empty", created())
    publish(home)
    for a, b, words in [
        ("r1", "r2", "run 'r2' is unknown"),
        ("r1@7", "r1", "r1@7: has no answers at that step"),
        ("r1@x", "r1", "is no checkpoint"),
        ("@5", "r1", "is no checkpoint"),
        ("r1@-1", "r1", "is no checkpoint"),
        ("r1", "r1@10", "compared with itself"),
        ("r1", "elsewhere", "no question was asked on both sides"),
        ("r1", "empty", "empty: has no answers"),
    ]:
        with pytest.raises(BadInput, match=words):
            paired(home, a, b, BETLEY)
    with pytest.raises(BadInput, match="has no answers to other-set"):
        paired(home, "r1@0", "r1", BETLEY, question_sets=["other-set"])


def test_sides_are_read_from_words() -> None:
    assert parse_side("run") == ("run", None)
    assert parse_side("run@110") == ("run", 110)
