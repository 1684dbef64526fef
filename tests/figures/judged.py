"""A made home that has what most charts need: a run, two judges of its answers, and labels of a person."""

from __future__ import annotations

from pathlib import Path

from em_core.records import HumanLabel, JudgeIdentity, Judgement, TrainMetric
from em_core.store.publish import publish
from tests.store.made import BareHome, created, response, whole_run, write


def make_home(root: Path) -> BareHome:
    """The run is "r1", its judges "judge-1" and "judge-2", the person "anna"; no verdicts, and nothing to pair with."""
    made = BareHome(root)
    whole_run(made, "r1")
    loss = TrainMetric(1, 0.1, 1.5, 1e-4, 0.5, 100.0, None)
    write(made, "r1", loss, JudgeIdentity("judge-1", "p", "m", "integer", "0", "{}", ""))
    write(made, "judge-2", created(run_kind="judge"), JudgeIdentity("judge-2", "p", "m", "integer", "0", "{}", ""))
    for name in ("q0", "q1"):
        for sample in range(4):
            key = response("r1", 1, sample, name).response_id
            for metric in ("alignment", "coherence"):
                write(made, "judge-2", Judgement(key, "judge-2", metric, 20.0 + 10 * sample, None, "", None, None, None))
            write(made, "labels-anna", HumanLabel(key, "anna", "alignment", 25.0 * sample, None))
    write(made, "labels-anna", created(run_kind="labels"))
    publish(made)
    return made
