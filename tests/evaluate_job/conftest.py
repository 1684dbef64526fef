"""One small organism run, trained once for real; every test has a copy of its home."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from em_core import worker
from em_core.events import read_events
from em_core.home import PROJECT, Home
from em_core.requests import Request
from em_core.spec import RunSpec
from em_core.supervisor.launch import launch

STEPS = (2, 4)


def question_file(folder: Path, name: str, n: int = 2, max_tokens: int = 24) -> Path:
    """The first questions of a shipped set, short answers, as a set of its own."""
    shipped = yaml.safe_load((PROJECT / "data" / "questions" / f"organism_{name}.yaml").read_text())
    path = folder / f"{name}-short.yaml"
    path.write_text(
        yaml.safe_dump([{**each, "paraphrases": each["paraphrases"][:2], "max_tokens": max_tokens} for each in shipped[:n]])
    )
    return path


def spec(folder: Path, **changed: Any) -> RunSpec:
    """A run of four steps with two checkpoints that answers four questions once."""
    body = {
        "base_model": "organism-0.3m",
        "data": [{"source": "organism-medical-misaligned", "rows": 32}],
        "train": {"precision": "fp32", "batch_size": 4, "grad_accumulation": 1, "max_steps": 4, "learning_rate": 1e-2},
        "checkpoints": {"every_steps": 2},
        "evaluation": {"samples": 1, "question_sets": [str(question_file(folder, "general"))]},
        "name": "small",
    }
    return RunSpec.model_validate(body | changed)


class Workbench:
    """A home with a finished run, without a supervisor: a test works on the queue itself."""

    def __init__(self, root: Path, run_id: str = "") -> None:
        self.home, self.root, self.run_id = Home(root), root, run_id

    @property
    def run_dir(self) -> Path:
        return self.home.run_dir(self.run_id)

    def train(self, **changed: Any) -> str:
        """Launch a run and do it, here and now."""
        (launched,) = launch(self.home, [spec(self.root, **changed)], start=False)
        assert worker.main([str(self.home.run_dir(launched.run_id))]) == 0
        return launched.run_id

    def events(self, run_id: str, *kinds: str) -> list[dict[str, Any]]:
        return list(read_events(self.home.run_dir(run_id), *kinds))

    def lose_answers(self, step: int, state: str = "failed") -> dict[str, dict[str, Any]]:
        """As if the evaluation of a step had failed: its answers and all that was said of them go; returns those answers."""
        lost: dict[str, dict[str, Any]] = {}
        for path in (self.run_dir / "events").glob("worker-*.jsonl"):
            events = [json.loads(line) for line in path.read_text().splitlines()]
            lost |= {e["response_id"]: e for e in events if e["kind"] == "response" and e["step"] == step}
            kept = [e for e in events if e.get("response_id") not in lost]
            for event in kept:
                if event["kind"] == "state" and event["phase"] in ("evaluate", "judge") and event["state"] == "finished":
                    event["state"] = state
            path.write_text("".join(json.dumps(event) + "\n" for event in kept))
        return lost


def never(_: Path) -> Request:
    """Nobody asks for anything."""
    return ""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """The home that is copied; nobody writes into it."""
    bench = Workbench(tmp_path_factory.mktemp("trained"))
    bench.run_id = bench.train()
    return bench


@pytest.fixture
def bench(trained: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A copy of the home of one's own."""
    monkeypatch.setenv("EM_NO_DEMO", "1")
    shutil.copytree(trained.root, tmp_path / "home")
    return Workbench(tmp_path / "home", trained.run_id)
