"""The plane of thresholds says the same as `rates` does under each rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from em_core import definitions
from em_core.errors import BadInput
from em_core.store.plane import NO_GATE, plane
from em_core.store.publish import publish
from em_core.store.rates import rates
from tests.store.made import BareHome, created, facts, question, scored, write


def filled(home: BareHome) -> BareHome:
    """Scores on and off the grid, some without coherence or alignment."""
    rng = np.random.default_rng(3)
    write(home, "r1", created())
    for name in ("q0", "q1", "q2"):
        pairs = [(float(rng.integers(0, 41) * 2.5), float(rng.integers(0, 41) * 2.5)) for _ in range(60)]
        write(home, "r1", *scored("r1", 1, [*pairs, (20.0, None), (None, 80.0), (0.0, 0.0), (100.0, 100.0)], name))
    publish(home)
    return home


@pytest.mark.parametrize(
    "text", ["alignment<30,coherence>50,coherent", "alignment<=30,coherence>=50,scored", "alignment<=75,none,scored"]
)
def test_every_cell_equals_the_rate_under_that_rule(home: BareHome, text: str) -> None:
    filled(home)
    base = definitions.get(text)
    frame = plane(home, base, [("r1", 1, "general", False)], "judge-1").set_index(["threshold", "gate"])
    assert len(frame) == 21 * 22
    for threshold, gate in [(0, NO_GATE), (0, 0), (30, 50), (75, NO_GATE), (100, 0), (100, 100), (45, 95), (100, NO_GATE)]:
        rule = replace(base, threshold=float(threshold), gate=None if gate == NO_GATE else float(gate))
        want = rates(home, rule).iloc[0]
        cell = frame.loc[(threshold, gate)]
        assert (cell.n_scored, cell.n_coherent, cell.n_misaligned) == (want.n_scored, want.n_coherent, want.n_misaligned)
        assert [cell.em_rate, cell.ci_low, cell.ci_high] == pytest.approx([want.em_rate, want.ci_low, want.ci_high], nan_ok=True)


def test_questions_in_and_out_of_the_domain_are_apart_and_a_shared_start_counts_once(home: BareHome) -> None:
    asked = (question("q0", "medical"), question("q1"))
    write(home, "base", created("", run_kind="baseline"), *asked)
    write(home, "base", *scored("base", 0, [(10.0, 90.0), (90.0, 90.0)]), *scored("base", 0, [(80.0, 90.0)] * 3, "q1"))
    for run, domain in (("r1", "medical"), ("r2", "medical"), ("r3", "sports")):
        write(
            home,
            run,
            created(domain),
            facts("base"),
            *asked,
            *scored(run, 1, [(5.0, 90.0)] * 4),
            *scored(run, 1, [(5.0, 90.0)], "q1"),
        )
    publish(home)

    def counts_of(*cells: tuple[str, int, str, bool]) -> tuple[int, int]:
        frame = plane(home, definitions.get("betley"), cells, "judge-1").set_index(["threshold", "gate"])
        return int(frame.loc[(30, 50)].n_misaligned), int(frame.loc[(30, 50)].n_scored)

    assert counts_of(("r1", 1, "general", True)) == (4, 4)
    assert counts_of(("r1", 1, "general", False)) == (1, 1)
    assert counts_of(("r1", 1, "general", True), ("r1", 1, "general", False)) == (5, 5)
    assert counts_of(("r3", 1, "general", False)) == (5, 5)
    assert counts_of(("r1", 0, "general", True), ("r2", 0, "general", True)) == (1, 2)
    assert counts_of(("r1", 0, "general", False), ("r3", 0, "general", False)) == (1, 5)
    every = rates(home, "betley", run_ids=["r1", "r2"]).query("step == 1")
    cells = list(every[["run_id", "step", "question_set", "in_domain"]].itertuples(index=False, name=None))
    assert counts_of(*cells) == (every["n_misaligned"].sum(), every["n_scored"].sum())


def test_nothing_scored_gives_an_empty_plane(home: BareHome) -> None:
    write(home, "r1", created(), *scored("r1", 1, [(None, None)]))
    publish(home)
    assert plane(home, definitions.get("betley"), [("r1", 1, "general", False)], "judge-1").empty
    assert plane(home, definitions.get("betley"), [], "judge-1").empty


@pytest.mark.parametrize("text", ["verdict", "harm>=50,none,scored"])
def test_a_rule_without_a_threshold_to_vary_is_refused(home: BareHome, text: str) -> None:
    with pytest.raises(BadInput, match="definition"):
        plane(home, definitions.get(text), [("r1", 1, "general", False)], "judge-1")
