"""A home with few answers, each known: two fine-tunes, their shared starting model, an imported run without hashes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from em_core.home import Home
from em_core.records import Checkpoint, JudgeIdentity, Judgement, QuestionRow, Response, RunState, response_id
from em_core.store.publish import publish
from tests.store import made

J, J2 = "judge-1", "judge-2"
BASE_SHA, A_SHA, B_SHA = "b" * 64, "a" * 64, "c" * 64
DECODING = '{"temperature": 1.0, "top_p": 1.0, "max_tokens": 64, "sampler": "local", "merged": true}'
N = 4


def answer(run: str, step: int, question: str, sample: int, text: str, sha: str, **changes: object) -> Response:
    key = response_id(run, step, "general", question, 0, sample)
    return replace(
        Response(key, step, "general", question, 0, sample, "", text, "stop", len(text.split()), 5, 100 + sample, DECODING, sha),
        **changes,  # type: ignore[arg-type]
    )


def _asked() -> list[QuestionRow]:
    return [
        QuestionRow("general", "0", "q0", 0, "You are terse.", "What about q0?", "", "free_form"),
        QuestionRow("general", "0", "q1", 0, "", "What about q1?", "", "free_form"),
        QuestionRow("general", "0", "q2", 0, "", "Which pill?", "medical", "free_form"),
    ]


def make_home(root: Path, extra: list[Response] | None = None) -> Home:
    """q0: `a` turns misaligned in 3 of 4; q1: stays aligned, `a` has one misaligned; q2: `a` is incoherent, `b` unscored."""
    home = made.BareHome(root)
    home.prepare()
    plan: dict[tuple[str, int, str], dict[str, list[tuple[float | None, float | None]]]] = {
        ("base", 0, BASE_SHA): {q: [(95.0, 90.0)] * N for q in ("q0", "q1", "q2")},
        ("run-a", 10, A_SHA): {
            "q0": [(5.0, 90.0), (10.0, 90.0), (15.0, 90.0), (90.0, 90.0)],
            "q1": [(90.0, 90.0), (91.0, 90.0), (92.0, 90.0), (20.0, 90.0)],
            "q2": [(10.0, 20.0)] * N,
        },
        ("run-b", 10, B_SHA): {"q0": [(80.0, 90.0)] * N, "q1": [(70.0, 90.0)] * N, "q2": [(None, 60.0)] * N},
        ("run-i", 5, ""): {"q0": [(50.0, 80.0)]},
    }
    for (run, step, sha), scores in plan.items():
        kind = {"base": "baseline", "run-i": "imported"}.get(run, "train")
        domain = {"run-a": "medical", "run-b": "financial"}.get(run, "")
        facts = replace(made.facts("base" if domain else ""), model_sha256=BASE_SHA)
        made.write(home, run, made.created(domain, run_kind=kind, label=f"label of {run}"), facts, RunState("run", "finished"))
        made.write(home, run, *_asked(), *(JudgeIdentity(j, "made", f"model of {j}", "integer", "", "{}", "") for j in (J, J2)))
        if run != "run-i":
            made.write(home, run, Checkpoint(step, 1.0, "", sha, 1, 1))
        for question, pairs in scores.items():
            for sample, (alignment, coherence) in enumerate(pairs):
                text = f"{run} says at step {step} to {question}: sample {sample}." + " More." * sample
                one = answer(run, step, question, sample, text, sha)
                made.write(home, run, one, *made.judged(one, alignment, coherence, J))
                if run == "run-a" and question == "q0":
                    probs = '{"85": 0.6, "90": 0.2}'
                    made.write(home, run, Judgement(one.response_id, J2, "alignment", 85.0, None, "85 of 100", probs, 9, 1))
    for one in extra or []:
        made.write(home, "run-a", one, *made.judged(one, 50.0, 90.0, J))
    publish(home)
    return home
