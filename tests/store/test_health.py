"""Health counts equal what pandas counts from the same records; they keep the grain of the rates."""

from __future__ import annotations

import random
from dataclasses import replace

import pandas as pd
import pytest

from em_core.errors import BadInput
from em_core.health.signs import CODE, COPIED_WORDS, REPEATED, SIGNS, shares
from em_core.records import AnswerHealth, Judgement, Record, Response
from em_core.store import health as store_health
from em_core.store.health import BESIDE_RATES, health, with_health
from em_core.store.publish import publish
from em_core.store.rates import rates
from tests.store.made import BareHome, created, facts, judged, question, response, scored, write

REASONS = {
    "refusal": "n_refusal", "code": "n_code_reason", "parse_failure": "n_parse_failure", "api_error": "n_api_error",
    "truncated": "n_truncated_reply", "empty": "n_empty_reason",
}  # fmt: skip


def well(answer: Response, **values: object) -> AnswerHealth:
    return replace(AnswerHealth(answer.response_id, "1", 11, 2, 0.0, 0.0, False, 0, 0.0, False), **values)


def random_records(rng: random.Random, run_id: str, steps: list[int], judges: list[str]) -> tuple[list[Record], list[dict]]:
    """Records of one run and the same as flat rows, one per answer and judge (judge None where nobody was asked)."""
    records: list[Record] = []
    rows = []
    for step in steps:
        for name, question_set in (("q0", "general"), ("q1", "general"), ("m0", "medical")):
            for sample in range(rng.randrange(1, 12)):
                answer = replace(
                    response(run_id, step, sample, name, question_set=question_set),
                    finish_reason=rng.choice(["stop", "length", ""]),
                    n_tokens=rng.randrange(0, 600),
                )
                row = {"run_id": run_id, "step": step, "question_set": question_set, "question_id": name, "judge_id": None}
                row |= {"finish_reason": answer.finish_reason, "n_tokens": answer.n_tokens, "reason": None, "scored": False}
                records.append(answer)
                if rng.random() < 0.8:
                    measured = well(
                        answer,
                        n_chars=rng.choice([0, 200]),
                        n_words=rng.randrange(0, 300),
                        refused=rng.random() < 0.3,
                        code_share=rng.choice([0.0, CODE, CODE + 0.01]),
                        repetition=rng.choice([0.0, REPEATED, REPEATED + 0.01]),
                        overlap_words=rng.choice([None, 0, COPIED_WORDS - 1, COPIED_WORDS]),
                        looks_cut=rng.random() < 0.5,
                    )
                    records.append(measured)
                    row |= {"measured": True} | {
                        f: getattr(measured, f)
                        for f in ("n_chars", "n_words", "refused", "code_share", "repetition", "overlap_words", "looks_cut")
                    }
                for judge in judges:
                    what = rng.choice(["scored", "pending", *REASONS])
                    rows.append(row | {"judge_id": judge, "reason": what, "scored": what == "scored"})
                    if what == "scored":
                        records += judged(answer, 5.0, 90.0, judge)
                    elif what != "pending":
                        records += judged(answer, None, None, judge, what)
    return records, rows


def expected(rows: list[dict], keys: list[str]) -> pd.DataFrame:
    flat = pd.DataFrame(rows).assign(in_domain=lambda d: d["question_set"] == "medical")
    known = flat["finish_reason"].isin(["stop", "length"])
    measured = flat["measured"].eq(True)
    flags = {
        "n_total": flat["step"].notna(),
        "n_end_known": known,
        "n_truncated": flat["finish_reason"] == "length",
        "n_end_guessed": measured & ~known,
        "n_looks_cut": ~known & flat["looks_cut"].eq(True),
        "n_measured": measured,
        "n_empty": flat["n_chars"] == 0,
        "n_refused": flat["refused"].eq(True),
        "n_code": flat["code_share"] > CODE,
        "n_repeated": flat["repetition"] > REPEATED,
        "n_overlap_known": flat["overlap_words"].notna(),
        "n_overlap": flat["overlap_words"] >= COPIED_WORDS,
        "n_scored": flat["scored"],
        "n_other_reason": flat["step"].isna(),
        "n_pending": flat["reason"] == "pending",
        **{column: flat["reason"] == reason for reason, column in REASONS.items()},
    }
    counted = flat.assign(**flags)
    by = counted.groupby([*keys, "question_set", "in_domain", "judge_id"])
    out = by[list(flags)].sum().astype(int)
    out["mean_words"] = by["n_words"].mean()
    out["median_tokens"] = by["n_tokens"].median()
    return out.sort_index()


@pytest.mark.parametrize("keys", [["run_id", "step"], ["run_id"], ["domain", "step"], ["step"]])
def test_counts_are_those_of_pandas(home: BareHome, keys: list[str]) -> None:
    rng = random.Random(3)
    rows = []
    for run_id, judges in (("r1", ["a", "b"]), ("r2", ["a"])):
        records, flat = random_records(rng, run_id, [0, 5, 10], judges)
        questions = [question("q0"), question("q1"), question("m0", "medical", question_set="medical")]
        write(home, run_id, created("medical"), facts(), *questions, *records)
        rows += [row | {"domain": "medical"} for row in flat]
    publish(home)
    by = tuple({"run_id": "run"}.get(key, key) for key in keys)
    found = health(home, by).set_index([*keys, "question_set", "in_domain", "judge_id"]).sort_index()
    wanted = expected(rows, keys)
    pd.testing.assert_frame_equal(found[list(wanted)], wanted, check_dtype=False)
    one = health(home, by, judge_id="a")
    assert set(one["judge_id"]) == {"a"}
    assert found["n_pending"].sum() + found["n_scored"].sum() + found[[*REASONS.values(), "n_other_reason"]].sum().sum() == (
        found["n_total"].sum()
    )


def test_the_grain_is_that_of_the_rates(home: BareHome) -> None:
    rng = random.Random(5)
    for run_id in ("r1", "r2"):
        records, _ = random_records(rng, run_id, [0, 5], ["a", "b"])
        write(
            home, run_id, created("medical", label=run_id), facts(), question("m0", "medical", question_set="medical"), *records
        )
    publish(home)
    for by in (("run", "step"), ("domain",), ("run", "step", "question")):
        found, beside = health(home, by), rates(home, by=by)
        keys = [c for c in ("run_id", "domain", "step", "question_set", "question_id", "in_domain", "judge_id") if c in beside]
        merged = beside.merge(found, on=keys, how="outer", indicator=True, suffixes=("", "_h"))
        assert set(merged["_merge"]) == {"both"}
        assert (merged["n_total"] == merged["n_total_h"]).all()
        joined = with_health(beside, home, by)
        assert list(joined)[: len(beside.columns)] == list(beside)
        pd.testing.assert_frame_equal(joined[list(beside)], beside)
        assert joined[list(BESIDE_RATES)].notna().all(axis=None)


def test_an_answer_measured_twice_counts_once_with_its_last_measurement(home: BareHome) -> None:
    first, second = response("r1", 1, 0), response("r1", 1, 1)
    write(home, "r1", created(), first, second, well(first, refused=True), well(second), well(second))
    publish(home)
    assert health(home)[["n_total", "n_measured", "n_refused"]].to_numpy().tolist() == [[2, 2, 1]]
    write(home, "health-1", well(first, rules="2", refused=False), well(second, rules="2", code_share=0.9))
    publish(home)
    assert health(home)[["n_total", "n_measured", "n_refused", "n_code"]].to_numpy().tolist() == [[2, 2, 0, 1]]
    write(home, "r1", first, second, writer="worker-2")  # the answers again
    publish(home)
    assert health(home)[["n_total", "n_measured"]].to_numpy().tolist() == [[2, 2]]


def test_step_zero_of_the_baseline_shows_under_every_run_that_names_it(home: BareHome) -> None:
    write(home, "base", created("", run_kind="baseline"), question("q0", "medical"))
    answers = [response("base", 0, i) for i in range(4)]
    write(
        home, "base", *answers, *(well(a, overlap_words=None, refused=True) for a in answers), *scored("base", 3, [(1.0, 90.0)])
    )
    for run_id, domain in (("med", "medical"), ("fin", "financial")):
        own = response(run_id, 5, 0)
        write(home, run_id, created(domain), facts("base"), question("q0", "medical"), own, well(own), *judged(own, 5.0, 90.0))
    publish(home)
    frame = health(home).set_index(["run_id", "step"])
    assert set(frame.index) == {("med", 0), ("med", 5), ("fin", 0), ("fin", 5)}
    assert frame["n_refused"].to_dict() == {("med", 0): 4, ("med", 5): 0, ("fin", 0): 4, ("fin", 5): 0}
    assert frame["in_domain"].to_dict() == {("med", 0): True, ("med", 5): True, ("fin", 0): False, ("fin", 5): False}
    assert frame["n_overlap_known"].to_dict() == {("med", 0): 0, ("med", 5): 1, ("fin", 0): 0, ("fin", 5): 1}
    assert frame["n_pending"].to_dict() == {("med", 0): 4, ("med", 5): 0, ("fin", 0): 4, ("fin", 5): 0}
    assert set(health(home, run_ids=["base"])["step"]) == {0, 3}


def test_verdicts_and_metrics_of_ones_own_are_scores(home: BareHome) -> None:
    answers = [response("r1", 1, i) for i in range(4)]
    records = [
        Judgement(answers[0].response_id, "v", "verdict", None, None, "", None, None, None, verdict="ALIGNED"),
        Judgement(answers[1].response_id, "v", "verdict", None, "code", "", None, None, None),
        Judgement(answers[2].response_id, "h", "harm", 70.0, None, "", None, None, None),
        Judgement(answers[3].response_id, "h", "harm", None, "parse_failure", "", None, None, None),
    ]
    write(home, "r1", created(), *answers, *records)
    publish(home)
    frame = health(home).set_index("judge_id")
    assert frame["n_scored"].to_dict() == {"v": 1, "h": 1}
    assert frame["n_code_reason"].to_dict() == {"v": 1, "h": 0}
    assert frame["n_parse_failure"].to_dict() == {"v": 0, "h": 1}
    assert frame["n_other_reason"].sum() == 0
    assert frame["n_pending"].to_dict() == {"v": 2, "h": 2}


def test_an_answer_of_the_baseline_judged_otherwise_still_stands_beside_its_rate(home: BareHome) -> None:
    answer = response("base", 0, 0)
    write(home, "base", created("", run_kind="baseline"), answer, well(answer), *judged(answer, 90.0, 90.0, "a"))
    own = response("r1", 1, 0)
    harm = Judgement(own.response_id, "h", "harm", 70.0, None, "", None, None, None)
    write(home, "r1", created(), facts("base"), own, well(own), harm)
    publish(home)
    joined = with_health(rates(home), home)
    assert len(joined)
    assert joined["n_measured"].notna().all()


def test_selections_and_what_nobody_measured(home: BareHome) -> None:
    write(home, "r1", created(), response("r1", 1, 0), response("r1", 1, 1, question_set="other"))
    write(home, "r2", created(demo=True), response("r2", 1, 0))
    publish(home)
    assert set(health(home, run_ids=["r1"])["run_id"]) == {"r1"}
    assert set(health(home, demo=True)["run_id"]) == {"r2"}
    assert set(health(home, question_sets=["other"])["question_set"]) == {"other"}
    assert health(home, run_ids=[]).empty
    frame = health(home)
    assert frame["judge_id"].isna().all()
    assert (frame["n_pending"] == frame["n_total"]).all()
    assert frame["n_measured"].sum() == 0
    assert frame["mean_words"].isna().all()
    for bad in ((), ("colour",)):
        with pytest.raises(BadInput):
            health(home, bad)
    assert store_health.missing(home, "1") == {"r1": 2, "r2": 1}
    assert store_health.missing(home, "1", ["r2"]) == {"r2": 1}
    assert sum(len(page) for page in store_health.missing_answers(home, "1", "r1", page=1)) == 2


def test_an_empty_home_has_the_columns(home: BareHome) -> None:
    frame = health(home)
    assert frame.empty
    assert {sign.count for sign in SIGNS} | {sign.base for sign in SIGNS} <= set(frame)
    assert with_health(rates(home), home).empty


def test_shares_come_with_counts_and_intervals_and_not_where_nothing_could_be_seen(home: BareHome) -> None:
    answers = [response("r1", 1, i) for i in range(10)]
    write(home, "r1", created(), *answers, *(well(a, refused=i < 3, overlap_words=None) for i, a in enumerate(answers)))
    publish(home)
    long = shares(health(home), keep=["run_id"]).set_index("sign")
    assert "copied" not in long.index
    assert "looks_cut" not in long.index
    row = long.loc["refused"]
    assert (row["n"], row["n_of"], row["share"]) == (3, 10, 0.3)
    assert 0.05 < row["share_low"] < 0.3 < row["share_high"] < 0.7
    assert long.loc["empty", "share_high"] > 0.2  # 0 of 10 is not "never"
