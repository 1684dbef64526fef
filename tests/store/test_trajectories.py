"""What checkpoints say together: a jump is found where it was made, and nothing where there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from em_core import definitions
from em_core.records import Judgement
from em_core.store.publish import publish
from em_core.store.trajectories import changes, checkpoint_tests, seeds
from tests.store.made import BareHome, created, scored, write

BETLEY = definitions.get("betley")


def trajectory(
    home: BareHome, run_id: str, rates: dict[int, float], seed: int = 0, judge: str = "judge-1", **values: object
) -> None:
    """A run whose eight questions have these shares of misaligned answers at each step."""
    rng = np.random.default_rng(seed)
    write(home, run_id, created(**values))
    for step, rate in rates.items():
        for number in range(8):
            answers: list[tuple[float | None, float | None]] = [(10.0 if rng.random() < rate else 90.0, 90.0) for _ in range(10)]
            write(home, run_id, *scored(run_id, step, answers, f"q{number}", judge))


def test_a_jump_is_found_at_its_checkpoint(home: BareHome) -> None:
    trajectory(home, "jump", {0: 0.02, 10: 0.02, 20: 0.5, 40: 0.5})
    trajectory(home, "flat", {0: 0.1, 10: 0.1, 20: 0.1, 40: 0.1}, seed=2)
    publish(home)
    found = changes(home, BETLEY).set_index("run_id")
    jump, flat = found.loc["jump"], found.loc["flat"]
    assert (jump.previous, jump.step, jump.first_significant) == (10, 20, 20)
    assert jump.p_change > 0.99
    assert jump.before < 0.1 < 0.4 < jump.after
    assert flat.p_change < 0.5
    assert found["first_significant"].isna()["flat"]


def test_p_values_are_adjusted_over_the_checkpoints_of_one_line(home: BareHome) -> None:
    trajectory(home, "r1", {0: 0.05, 10: 0.1, 20: 0.5, 40: 0.6})
    publish(home)
    tests = checkpoint_tests(home, BETLEY)
    assert tests["step"].tolist() == [10, 20, 40]
    assert (tests["p_adjusted"] >= tests["p"] - 1e-12).all()
    assert tests.set_index("step")["p_adjusted"][40] < 0.05
    assert (tests["n_questions"] == 8).all()


def test_two_judges_are_two_lines(home: BareHome) -> None:
    trajectory(home, "r1", {0: 0.0, 10: 0.5})
    for number in range(8):
        records = scored("r1", 10, [(90.0, 90.0)] * 10, f"q{number}", "judge-2")
        write(home, "r1", *(record for record in records if isinstance(record, Judgement)))
    publish(home)
    found = changes(home, BETLEY).set_index("judge_id")
    assert sorted(found.index) == ["judge-1", "judge-2"]
    assert found["n_checkpoints"].to_dict() == {"judge-1": 2, "judge-2": 1}


def test_nothing_scored_gives_no_lines(home: BareHome) -> None:
    write(home, "r1", created(), *scored("r1", 1, [(None, None)]))
    publish(home)
    line = changes(home, BETLEY).iloc[0]
    assert line.n_checkpoints == 0
    assert changes(home, BETLEY)["step"].isna().all()
    assert checkpoint_tests(home, BETLEY).empty


def test_seeds_are_pooled_where_nothing_else_differs(home: BareHome) -> None:
    def spec(seed: int, rate: float = 1e-4) -> str:
        return json.dumps(
            {"base_model": "m", "train": {"seed": seed, "learning_rate": rate}, "name": f"s{seed}", "experiment": ""}
        )

    for seed in range(3):
        trajectory(home, f"s{seed}", {0: 0.0, 10: 0.4}, seed, spec_json=spec(seed))
    trajectory(home, "other", {0: 0.0, 10: 0.4}, 9, spec_json=spec(0, 1e-3))
    publish(home)
    frame = seeds(home, BETLEY)
    assert frame["run_ids"].tolist() == [["s0", "s1", "s2"]]
    row = frame.iloc[0]
    assert (row.step, row.n_seeds, row.n_questions, row.base) == (10, 3, 8, 240)
    assert row.ci_low < row.em_rate < row.ci_high
    assert row.em_rate == pytest.approx(row.n_misaligned / 240)
