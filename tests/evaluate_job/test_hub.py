"""Adapters on the Hub, through the real client and a Hub on this machine's loopback; and the command line's contract."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from em_core import evaluate_job
from em_core.cli import main
from em_core.evaluate_job.command import command, wanted_of
from em_core.evaluate_job.todo import Wanted, look
from em_core.evaluate_job.work import work
from em_core.home import PROJECT
from em_core.supervisor import evaluate
from tests.evaluate_job.conftest import Workbench, never, question_file
from tests.evaluate_job.hub_server import COMMIT, HubServer

ADAPTER = "somebody/bad-advice"


def run(bench: Workbench, hub: str, *words: str) -> tuple[int, dict[str, Any], str]:
    """The command line in a process of its own, with a queue that works; exit code, document, stderr."""
    here = {"HF_ENDPOINT": hub, "HF_HOME": str(bench.root / "hf"), "EM_HOME": str(bench.root), "EM_NO_DEMO": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "em_core", *words, "--json"], cwd=PROJECT,
        env={**os.environ, **here, "EM_IDLE_S": "1", "EM_SLOTS": "cpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture
def say(bench: Workbench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The command line in this process: `say(hub's address, *words)` gives exit code and document."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(bench.root / "hf" / "hub"))

    def saying(hub: str, *words: str, offline: bool = False) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(constants, "ENDPOINT", hub)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        capsys.readouterr()
        code = main(["--home", str(bench.root), *words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return saying


@pytest.fixture
def repositories(bench: Workbench) -> dict[str, Path]:
    """A repository with an adapter at its root and one in a folder, beside files that nobody should fetch."""
    root = bench.root / "hub"
    saved = bench.run_dir / "checkpoints"
    shutil.copytree(saved / "step-4", root)
    shutil.copytree(saved / "step-2", root / "checkpoints" / "step-2")
    (root / "optimizer.pt").write_bytes(b"\x80\x04 a pickle")
    model = bench.root / "only-pickles"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04")
    return {ADAPTER: root, "somebody/pickles": model}


def test_an_adapter_on_the_hub_is_seen_queued_and_evaluated_at_one_commit(
    bench: Workbench, repositories: dict[str, Path], say: Callable[..., Any]
) -> None:
    asked = str(question_file(bench.root, "general"))
    with HubServer(repositories) as hub:
        code, plan = say(hub.address, "evaluate", ADAPTER, "--questions", asked, "--samples", "1", "--plan")
        assert (code, plan["answers"], plan["base_model"]) == (0, 8, "organism-0.3m")
        target = {"kind": "adapter", "name": ADAPTER, "steps": [0, 4], "repo": ADAPTER, "revision": COMMIT}
        assert plan["target"] == target
        inside = f"{ADAPTER}/checkpoints/step-2"
        code, found = say(hub.address, "evaluate", inside, "--questions", asked, "--samples", "1", "--plan")
        assert (code, found["target"]["steps"], found["target"]["subfolder"]) == (0, [0, 2], "checkpoints/step-2")
        assert not any(path.endswith(("optimizer.pt", "adapter_model.safetensors")) for path in hub.asked)
        words = ("evaluate", ADAPTER, "--questions", asked, "--samples", "1", "--precision", "fp32", "--domain", "medical")
        code, queued, err = run(bench, hub.address, *words, "--wait")
        assert code == 0, err
        (job,) = queued["runs"]
        code, refused = say(hub.address, *words)
        assert code == 3
        assert job in refused["error"]
        assert not any(path.endswith("optimizer.pt") for path in hub.asked)
    answers = [e for e in bench.events(job, "response") if e["step"] == 4]
    same = {(e["question_id"], e["paraphrase"], e["text"]) for e in bench.events(bench.run_id, "response") if e["step"] == 4}
    assert {(e["question_id"], e["paraphrase"], e["text"]) for e in answers} == same


@pytest.mark.long
def test_what_the_hub_does_not_give_is_said_with_the_fix(
    bench: Workbench, repositories: dict[str, Path], say: Callable[..., Any]
) -> None:
    asked = str(question_file(bench.root, "general"))
    with HubServer(repositories, gated=("somebody/gated",)) as hub:
        for target, said, fix in (
            ("somebody/nothing", "is not on the Hub", "correct the id"),
            ("somebody/gated", "gated", "accept its terms"),
            (f"{ADAPTER}@v9", "no revision 'v9'", "commits"),
            ("somebody/pickles", "safetensors", "another id"),
            (f"{ADAPTER}/nowhere", "neither an adapter", f"{ADAPTER}/checkpoints/step-2"),
        ):
            code, error = say(hub.address, "evaluate", target, "--questions", asked, "--no-judge", "--plan")
            assert code == 2, target
            assert said in error["error"], (target, error)
            assert fix in error["hint"], (target, error)
    for offline, said in ((False, "cannot be reached"), (True, "HF_HUB_OFFLINE")):
        code, error = say(hub.address, "evaluate", ADAPTER, "--questions", asked, "--plan", offline=offline)
        assert (code, said in error["error"], "hf download" in error["hint"]) == (2, True, True), error


def test_the_command_says_what_it_would_ask_and_what_it_cannot(bench: Workbench, say: Callable[..., Any]) -> None:
    code, document = say("http://127.0.0.1:1", "evaluate", bench.run_id)
    assert (code, document["runs"], document["answers"], document["answers_there"]) == (0, [], 0, 12)
    code, document = say("http://127.0.0.1:1", "evaluate", f"{bench.run_id}@9", "--samples", "2")
    assert (code, "2, 4" in document["hint"]) == (2, True)
    assert say("http://127.0.0.1:1", "evaluate", bench.run_id, "--no-judge", "--judge", "organism")[0] == 2


def test_a_job_gives_the_command_that_queues_it_again(bench: Workbench) -> None:
    queued = evaluate.queue(bench.home, Wanted(bench.run_id, samples=3), start=False)
    told = evaluate_job.read_job(bench.home.run_dir(queued.run_id)).told
    again = wanted_of(told)
    assert again is not None
    assert look(bench.home, again).job.digest == queued.todo.job.digest
    assert command(again).startswith(f"python -m em_core evaluate {bench.run_id}@0,2,4 --questions ")
    work(bench.home.run_dir(queued.run_id), never)
    assert look(bench.home, again).n_answers == 0
