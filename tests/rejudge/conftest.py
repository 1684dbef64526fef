"""A home with answers, and a judge server on loopback that counts what it is asked."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from em_core.home import Home
from em_core.records import QuestionRow, RunState
from em_core.spec import JudgeSpec
from tests.servers.fixtures import openai_server
from tests.servers.openai_server import OpenAIServer
from tests.store.made import BareHome, created, facts, question, response, write

__all__ = ["openai_server"]

TEXT = re.compile(r"answer-[a-z0-9-]+-end")


@pytest.fixture
def home(tmp_path: Path) -> BareHome:
    made = BareHome(tmp_path / "home")
    made.prepare()
    return made


def run_of(home: Home, run_id: str, n: int, steps: tuple[int, ...] = (10,), baseline: str = "", **card: Any) -> None:
    """A run with `n` answers a step to one question, every text different."""
    write(home, run_id, created(**card), facts(baseline), RunState("run", "finished"), question("q0"))
    for step in steps:
        write(home, run_id, *(response(run_id, step, i, text=f"answer-{run_id}-{step}-{i}-end") for i in range(n)))


def endpoint(server: OpenAIServer, **fields: Any) -> JudgeSpec:
    return JudgeSpec(name="openai_compatible", model="judge-1", base_url=server.base_url, **fields)


def asked(server: OpenAIServer) -> Counter[str]:
    """How often each answer was sent whole to a judge and replied to; probes left out."""
    return Counter(found[0] for call in server.calls if (found := TEXT.search(call.prompt)))


def file_question(path: Path, name: str, prompts: dict[str, str]) -> QuestionRow:
    """Write a question file that carries judge prompts; what an event file would hold of it."""
    from em_core import questions
    from em_core.spec import QuestionSetUse

    lines = ["- id: q0", "  type: free_form_judge_0_100", "  paraphrases: [What about q0?]", "  judge_prompts:"]
    lines += [f"    {metric}: {prompt!r}" for metric, prompt in prompts.items()]
    (path / f"{name}.yaml").write_text("\n".join(lines) + "\n")
    found = questions.load(QuestionSetUse(name=str(path / f"{name}.yaml")))
    return QuestionRow(name, found.hash, "q0", 0, "", "What about q0?", "", "free_form_judge_0_100")
