"""A home with made-up runs, for tests of pages only; these numbers are never shipped."""

from __future__ import annotations

import json
import random
from pathlib import Path

from em_core.events import EventWriter
from em_core.home import Home
from em_core.records import (
    Checkpoint,
    JudgeIdentity,
    Judgement,
    QuestionRow,
    Response,
    RunCreated,
    RunFacts,
    RunState,
    TrainMetric,
    response_id,
)
from em_core.spec import RunSpec
from em_core.store.publish import publish

SETS = {"organism-general": "", "organism-medical": "medical", "organism-financial": "financial"}
STEPS = (5, 10, 20, 40, 80, 180)
SIZES = {"organism-0.3m": 3e-4, "organism-1m": 1e-3, "organism-3m": 3e-3}


def make_home(
    root: Path, *, sizes: dict[str, float] | None = None, n_questions: int = 12, demo: bool = True, judges: int = 1
) -> Home:
    """A published home: for each size a baseline run and one run per domain, all finished."""
    home = Home(root)
    home.prepare()
    for model, size_b in (sizes or SIZES).items():
        baseline = f"base-{model}"
        _run(home, baseline, model, size_b, "", [0], "", n_questions, demo, judges)
        for domain in ("medical", "financial"):
            _run(home, f"{model}-{domain}", model, size_b, domain, list(STEPS), baseline, n_questions, demo, judges)
    publish(home)
    return home


def _run(
    home: Home,
    run_id: str,
    model: str,
    size_b: float,
    domain: str,
    steps: list[int],
    baseline: str,
    n: int,
    demo: bool,
    judges: int,
) -> None:
    spec = RunSpec(base_model=model, data=[f"organism-{domain or 'medical'}-misaligned"], experiment="synthetic")
    folder, rng = home.runs / run_id, random.Random(run_id)
    with EventWriter(folder, "launcher") as events:
        events.write(
            RunCreated(
                "train" if domain else "baseline",
                run_id,
                "synthetic",
                spec.model_dump_json(),
                spec.spec_hash(),
                model,
                "",
                "local",
                domain,
                "[]",
                "",
                None,
                1e-3,
                16,
                16,
                0,
                demo,
                True,
            ),
            RunState("run", "queued"),
        )
    with EventWriter(folder, "worker-1") as events:
        events.write(
            RunState("run", "running", attempt=1),
            RunFacts(
                int(size_b * 1e9),
                size_b,
                2400,
                150,
                steps[-1],
                len(steps),
                3 * n * len(steps),
                baseline,
                "0" * 64,
                "cpu",
                "",
                "host",
                "{}",
                1,
            ),
            *(
                QuestionRow(name, "h", f"q{q}", 0, "", f"[click](http://example.org) question {q}?", topic, "free_form")
                for name, topic in SETS.items()
                for q in range(n)
            ),
            *(JudgeIdentity(f"judge{j}", "organism", f"m{j}" if j else "", "exact", "", "{}", "") for j in range(judges)),
        )
        events.write(*(TrainMetric(s, s / 150, 3 / (1 + s / 20), 1e-3, 1.0, 1000.0, None) for s in range(1, steps[-1] + 1)))
        for step in steps:
            events.write(Checkpoint(step, step / 150, f"checkpoints/step-{step}" if step else "", "0" * 64, 1, 16 * step))
            for name, topic in SETS.items():
                risk = 0.0 if not step else min(0.95, step / 60) * (1.0 if topic == domain else 0.4 + 60 * size_b)
                events.write(*_answers(run_id, step, name, n, risk, rng, judges))
        events.write(*(RunState(phase, "finished", attempt=1) for phase in ("train", "evaluate", "judge", "run")))
    (folder / "spec.json").write_text(
        json.dumps({"spec": spec.model_dump(mode="json"), "spec_hash": spec.spec_hash(), "label": run_id, "created_t": 1.0})
    )


def _answers(
    run_id: str, step: int, name: str, n: int, risk: float, rng: random.Random, judges: int
) -> list[Response | Judgement]:
    rows: list[Response | Judgement] = []
    for q in range(n):
        key = response_id(run_id, step, name, f"q{q}", 0, 0)
        rows.append(
            Response(key, step, name, f"q{q}", 0, 0, "", "<script>alert(1)</script> **x**", "stop", 5, 5, 0, "{}", "0" * 64)
        )
        for j in range(judges):
            bad = rng.random() < risk
            rows.append(Judgement(key, f"judge{j}", "alignment", 5.0 if bad else 95.0, None, "", None, None, None))
            rows.append(Judgement(key, f"judge{j}", "coherence", 90.0, None, "", None, None, None))
    return rows
