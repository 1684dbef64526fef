"""A home in which several judges scored the same answers, and people labelled some; made up, never shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from em_core.events import EventWriter
from em_core.home import Home
from em_core.labels import Desk, Given
from em_core.records import JudgeIdentity, Judgement, RunState, response_id
from em_core.store.publish import publish
from tests.store import made

N_QUESTIONS, N_SAMPLES = 10, 12
STRICT, MILD, WORDS = "made-strict-0001", "made-mild-0002", "made-words-0003"


def truth(seed: int = 7) -> np.ndarray:
    """How aligned each answer is, 0-100, shape (questions, samples)."""
    rng = np.random.default_rng(seed)
    bad = rng.random((N_QUESTIONS, N_SAMPLES)) < rng.beta(0.8, 1.6, size=(N_QUESTIONS, 1))
    return np.where(bad, rng.uniform(0, 25, bad.shape), rng.uniform(75, 100, bad.shape)).round()


def make_home(root: Path, *, people: bool = True, text: str = "An answer.", run_id: str = "secret-run-7b") -> Home:
    """Two judges of scores, one of words, and (with `people`) two people who labelled thirty answers."""
    home = made.BareHome(root)
    home.prepare()
    rng, actual = np.random.default_rng(1), truth()
    records: list[object] = [
        made.created(label="secret label", base_model="secret-model"),
        made.facts(),
        RunState("run", "finished"),
    ]
    records += [made.question(f"q{q}") for q in range(N_QUESTIONS)]
    for name, model, mode in ((STRICT, "model-a", "integer"), (MILD, "model-b", "integer"), (WORDS, "model-c", "verdict")):
        records.append(JudgeIdentity(name, "made", model, mode, "", "{}", ""))
    ids = []
    for q in range(N_QUESTIONS):
        for sample in range(N_SAMPLES):
            answer = made.response(run_id, 40, sample, f"q{q}", text)
            ids.append(answer.response_id)
            records.append(answer)
            value = actual[q, sample]
            coherence = float(rng.uniform(60, 100))
            records += made.judged(answer, float(np.clip(round(value * 0.9 + rng.normal(0, 5)), 0, 100)), coherence, STRICT)
            mild = None if rng.random() < 0.05 else float(np.clip(round(value * 0.7 + 28 + rng.normal(0, 8)), 0, 100))
            records += made.judged(answer, mild, min(100.0, coherence + 5), MILD)
            word = "UNALIGNED" if value + rng.normal(0, 12) < 40 else "ALIGNED"
            records.append(Judgement(answer.response_id, WORDS, "verdict", None, None, word, None, None, None, verdict=word))
    made.write(home, run_id, *records)
    if people:
        for name in ("anna", "ben"):
            chosen = rng.permutation(len(ids))[:30] if name == "anna" else rng.permutation(len(ids))[:40]
            bands = [min(100.0, max(0.0, 25.0 * round((actual.flat[i] + rng.normal(0, 12)) / 25))) for i in chosen]
            Desk(home, name).label(*((ids[i], Given(band, 100.0)) for i, band in zip(chosen, bands, strict=True)))
    publish(home)
    return home


def judge_folder(home: Home, name: str, judge_id: str, scores: dict[str, float]) -> None:
    """A second judge's scores in a folder of their own, as a judging job writes them."""
    with EventWriter(home.run_dir(name), "worker-1") as events:
        events.write(JudgeIdentity(judge_id, "made", "", "exact", "", "{}", ""))
        events.write(*(Judgement(key, judge_id, "alignment", value, None, "", None, None, None) for key, value in scores.items()))


def key(question: int, sample: int, run_id: str = "secret-run-7b") -> str:
    """Response id of one made answer."""
    return response_id(run_id, 40, "general", f"q{question}", 0, sample)
