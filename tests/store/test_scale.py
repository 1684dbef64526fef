"""The made-up large store, in small, and what is computed for many lines at once against one at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import big_store
from em_core import definitions
from em_core.home import Home
from em_core.stats import against_start, benjamini_hochberg, change_point, paired_difference, paired_differences, upper_bound
from em_core.store import agreement, contents, health, labels, rates, trajectories
from em_core.store.counts import counts
from em_core.store.reader import connect

BETLEY = definitions.get("betley")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Twenty-four runs of four checkpoints, 9,600 answers."""
    root = tmp_path_factory.mktemp("big")
    assert big_store.make(root, n_runs=24, n_steps=4, n_answers=9_600) == 24 * 4 * 100 + 5 * 100
    return Home(root)


def test_the_same_arguments_make_the_same_rows(home: Home, tmp_path: Path) -> None:
    big_store.make(tmp_path, n_runs=24, n_steps=4, n_answers=9_600)
    for table in ("responses", "judgements", "scores", "contents", "answer_health", "labels", "run_totals"):
        sums = [
            connect(each)
            .frame(f"SELECT count(*) AS n, sum(hash(found)::HUGEINT)::VARCHAR AS sum FROM {table} AS found")
            .iloc[0]
            .tolist()
            for each in (home, Home(tmp_path))
        ]
        assert sums[0] == sums[1], table


def test_the_store_is_like_a_real_one(home: Home) -> None:
    there = contents.contents(home)
    assert set(there["judge_id"]) == {"judge-one", "judge-two", "judge-words"}
    assert there["in_domain"].any()
    assert there["domain"].nunique() == 4
    assert there["size_b"].nunique() == 2
    assert (there["first_step"] == 0).all()
    assert (there["last_step"] == 440).all()
    assert len(trajectories.seed_groups(home)) == 5
    assert max(map(len, trajectories.seed_groups(home))) == 5
    found = rates.rates(home, BETLEY, judge_id="judge-one")
    late = found[found["step"] == 440].groupby("in_domain")["em_rate"].mean()
    assert late[True] > late[False] > found[found["step"] == 0]["em_rate"].mean()
    assert health.health(home, judge_id="judge-one")["n_measured"].sum() == found["n_total"].sum()
    assert set(labels.labels(home)["labeller"]) <= {"anna", "ben"}


@pytest.mark.parametrize("kind", ["questions", "population"])
def test_changes_of_all_lines_are_those_of_each_line(home: Home, kind: str) -> None:
    runs = [str(run) for run in contents.contents(home)["run_id"].unique()[:6]]
    frame = counts(home, BETLEY, run_ids=runs, judge_id="judge-one")
    found = trajectories.changes(home, BETLEY, run_ids=runs, judge_id="judge-one", kind=kind)  # type: ignore[arg-type]
    tests = trajectories.checkpoint_tests(home, BETLEY, run_ids=runs, judge_id="judge-one", kind=kind)  # type: ignore[arg-type]
    assert len(found) == frame.groupby(trajectories.LINE).ngroups
    for row in found.to_dict("records"):
        line = frame[np.logical_and.reduce([frame[key] == row[key] for key in trajectories.LINE])]
        table = line.pivot(index="step", columns="question_id", values=["n_misaligned", "n_coherent"])
        bad, base = table["n_misaligned"].to_numpy(), table["n_coherent"].to_numpy()
        alone = change_point(table.index.to_numpy(), bad, base)
        assert (row["step"], row["previous"]) == (alone.step, alone.previous)
        assert row["p_change"] == pytest.approx(alone.p_change, abs=1e-12)
        by_step = {
            int(step): {name: (int(m), int(d)) for name, m, d in zip(table["n_misaligned"].columns, bad[i], base[i], strict=True)}
            for i, step in enumerate(table.index)
        }
        mine = tests[np.logical_and.reduce([tests[key] == row[key] for key in trajectories.LINE])]
        for test, (_, said) in zip(against_start(by_step, 0, kind), mine.iterrows(), strict=True):  # type: ignore[arg-type]
            assert said["difference"] == pytest.approx(test.against.difference)
            assert said["p_adjusted"] == pytest.approx(test.p_adjusted, abs=1e-12)


def test_pairs_of_judges_are_those_of_the_answers(home: Home) -> None:
    found = {(a, b): n for a, b, n in agreement.pairs(home).itertuples(index=False, name=None)}
    scores = connect(home).frame("SELECT response_id, judge_id FROM scores WHERE judge_id IS NOT NULL")
    both = scores.merge(scores, on="response_id")
    both = both[both["judge_id_x"] < both["judge_id_y"]]
    assert found == both.groupby(["judge_id_x", "judge_id_y"]).size().to_dict()


def test_served_models_of_some_runs_are_counted_alone(home: Home) -> None:
    run = str(contents.contents(home)["run_id"].iloc[0])
    everything, alone = agreement.served_models(home), agreement.served_models(home, [run])
    assert everything["n"].sum() > alone["n"].sum() > 0
    assert set(alone["judge_id"]) <= set(everything["judge_id"])


def test_upper_bounds_of_all_cells_are_those_of_each_cell(home: Home) -> None:
    found = rates.rates(home, BETLEY, judge_id="judge-one")
    by_question = counts(home, BETLEY, judge_id="judge-one")
    few = found[found["n_misaligned"] <= rates.FEW_EVENTS].head(20)
    assert len(few) > 5
    for row in few.to_dict("records"):
        keys = ["run_id", "step", "question_set", "in_domain", "judge_id"]
        cells = by_question[np.logical_and.reduce([by_question[key] == row[key] for key in keys])]
        bound = upper_bound(cells["n_misaligned"].to_numpy(), cells["n_coherent"].to_numpy())
        assert row["upper_bound"] == pytest.approx(bound, abs=1e-11)


def test_many_pairs_are_each_pair_and_pairs_without_a_question_are_no_estimate() -> None:
    drawn = np.random.default_rng(3)
    base_a, base_b = drawn.integers(0, 12, (40, 6)), drawn.integers(0, 12, (40, 6))
    bad_a, bad_b = drawn.binomial(base_a, 0.2), drawn.binomial(base_b, 0.4)
    base_a[0] = 0
    bad_a[0] = 0
    for kind in ("questions", "population"):
        found = paired_differences(bad_a, base_a, bad_b, base_b, kind)  # type: ignore[arg-type]
        for i in range(40):
            alone = paired_difference(bad_a[i], base_a[i], bad_b[i], base_b[i], kind=kind, second_opinion=False)  # type: ignore[arg-type]
            if alone.difference is None:
                assert np.isnan(found.difference[i])
                assert np.isnan(found.p[i])
                continue
            told = [found.difference[i], found.low[i], found.high[i], found.p[i]]
            assert told == pytest.approx([alone.difference, alone.low, alone.high, alone.p], abs=1e-9)


def test_adjusted_p_values_are_those_of_the_textbook() -> None:
    given = [0.01, 0.04, None, 0.03, 0.2]
    assert benjamini_hochberg(given) == pytest.approx([0.04, 0.04 * 4 / 3, None, 0.04 * 4 / 3, 0.2])
    assert benjamini_hochberg([]) == []
    assert benjamini_hochberg([None]) == [None]


def test_random_draws_are_the_same_as_before_in_every_order(home: Home) -> None:
    drawn = labels.candidates(home, "somebody", "random", seed="s", limit=7)
    ids = connect(home).frame("SELECT DISTINCT response_id, md5('s' || response_id) AS place FROM scores ORDER BY place LIMIT 7")
    assert drawn == ids["response_id"].tolist()
    of_judge = labels.candidates(home, "somebody", "random", judge_ids=["judge-two"], seed="s", limit=5)
    judged = set(connect(home).frame("SELECT response_id FROM scores WHERE judge_id = 'judge-two'")["response_id"])
    assert len(of_judge) == 5
    assert set(of_judge) <= judged
    assert isinstance(health.missing(home, "1"), dict)
    assert pd.notna(drawn[0])
