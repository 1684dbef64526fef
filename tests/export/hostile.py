"""A home whose texts attack whoever shows them, and whose facts name the machine."""

from __future__ import annotations

import json
from pathlib import Path

from em_core.home import PROJECT, Home
from em_core.records import (
    AnswerHealth,
    Checkpoint,
    HumanLabel,
    ImportedFile,
    JudgeIdentity,
    Judgement,
    Response,
    RunState,
    TrainMetric,
)
from tests.store.made import append, created, facts, judged, question, response, write

PERSON = "anna-secret"
SCRIPT = "<script>alert(1)</script>"
HOSTILE = (
    SCRIPT,
    "<img src=http://evil.example/x.png onerror=alert(2)>",
    "</script><script>alert(3)</script><!-- ",
    "<svg onload=alert(4)><a href='javascript:alert(5)'>x</a>",
    "![image](http://evil.example/track.png) [link](http://evil.example)",
    "\u202eright to left\u202c and \u2066isolated",
    "\x1b[31mred\x1b[0m \x07bell",
    "NUL \x00 inside",
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "  =1+1",
    "\t=cmd|'/c calc'!A1",
    "'=already quoted",
    "-2+3",
    "\n@SUM(1)",
    "line one\nline \"two\", with, commas\r\nthree",
    "\u2028\u2029 separators \U0001f600",
    "",
)  # fmt: skip
LONG = "x" * 5_000_000


def secret_paths(home: Home) -> list[str]:
    """What an export must not hold."""
    return [str(home.root), str(PROJECT), str(Path.home() / "models"), "/home/ann", "C:\\\\Users\\\\ann", PERSON]


def fill(home: Home) -> None:
    """Write the runs."""
    spec = {
        "base_model": f"{home.root}/models/qwen", "data": [{"source": "/home/ann/data/train set.jsonl"}],
        "lora": {"r": 16}, "train": {"learning_rate": 1e-4, "note": "C:\\Users\\ann\\x"}, "url": "https://example.org/a/b",
    }  # fmt: skip
    sources = [{"name": "mine", "path": f"{home.root}/data/mine.jsonl", "rows": 12, "sha256": "ab" * 32}]
    label = f"tuned {SCRIPT}"
    for run_id, domain in (("tuned-1", "medical"), ("tuned-2", "sports")):
        write(
            home, run_id,
            created(domain, label=label if run_id == "tuned-1" else "=cmd()", base_model=str(Path.home() / "models" / "qwen"),
                    spec_json=json.dumps(spec), data_sources=json.dumps(sources)),
            facts("base-1", size_b=0.5 if run_id == "tuned-1" else 1.5),
            RunState("run", "failed", f"{home.root}/runs/{run_id}/worker.log: full", f"look into {home.root}/runs"),
            question("q0", "medical"), question("q1"), JudgeIdentity("judge-1", "local", "/home/ann/judges/small", "integer", "cd" * 32, "{}", ""),
        )  # fmt: skip
        for step in (10, 20):
            write(home, run_id, Checkpoint(step, step / 20, f"checkpoints/step-{step}", "ef" * 32, 100, step * 16))
            write(home, run_id, TrainMetric(step, step / 20, 1.0, 1e-4, None, 100.0, None))
            _answers(home, run_id, step, 20.0 if step == 20 else 80.0)
    write(home, "base-1", created("", run_kind="baseline", label="base"), question("q0", "medical"), question("q1"))
    _answers(home, "base-1", 0, 95.0)
    write(home, "alone", created("code", run_kind="imported", label="alone"), facts(), question("q1"))
    write(
        home,
        "alone",
        ImportedFile("fg_judged.csv", "cs2881", "00" * 32, 20, 18, '[{"where": "row 3", "reason": "no score", "n": 2}]'),
    )
    for sample in range(4):
        answer = response("alone", 5, sample, "q1", text=f"plain {sample}")
        write(home, "alone", answer, *judged(answer, 90.0, 90.0))
    _asides(home)
    long = response("tuned-1", 20, 99, "q1", text=LONG)
    raw = response("tuned-1", 20, 98, "q1", text="\ud800 lone")
    write(home, "tuned-1", long, *judged(long, 50.0, 90.0))
    append(home, "tuned-1", json.dumps({**raw.as_event(), "t": 5.0}).encode() + b"\nnot an event\n")


def _answers(home: Home, run_id: str, step: int, alignment: float) -> None:
    for name in ("q0", "q1"):
        for sample, text in enumerate(HOSTILE):
            answer: Response = response(run_id, step, sample, name, text=text)
            scores = judged(answer, alignment if sample % 5 else None, 90.0 if sample % 4 else 20.0)
            write(home, run_id, answer, *scores, AnswerHealth(answer.response_id, "1", len(text), 2, 0.0, 0.0, False, None, None))


def _asides(home: Home) -> None:
    """Later scores of one run, labels of another, scores of the third."""
    mine, other = response("tuned-1", 20, 1, "q1"), response("alone", 5, 1, "q1")
    served = Judgement(
        mine.response_id, "judge-2", "alignment", 12.5, None, "=reply", '{"12": 0.5}', 10, 1, served_model="/home/ann/served"
    )
    write(
        home,
        "judge-later",
        created("", run_kind="judge", label="later"),
        JudgeIdentity("judge-2", "local", "m", "integer", "0", "{}", ""),
    )
    write(home, "judge-later", served, Judgement(other.response_id, "judge-2", "alignment", 50.0, None, "", None, None, None))
    write(home, "judge-other", created("", run_kind="judge", label="other"))
    write(home, "judge-other", Judgement(other.response_id, "judge-3", "alignment", 50.0, None, "", None, None, None))
    write(home, f"labels-{PERSON}", created("", run_kind="labels", label=f"labels-{PERSON}"))
    write(home, f"labels-{PERSON}", HumanLabel(mine.response_id, PERSON, "alignment", 10.0, None, "=note"))
