"""stop, save, resume and retry, as a person types them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from em_core.supervisor.evidence import RunStatus, run_status
from tests.cli.conftest import Command, Typed

LONG = ["--set", "base_model=organism-0.3m", "--set", "data=[{source: organism-medical-misaligned, rows: 200}]",
        "--set", "train.max_steps=9000", "--set", "train.batch_size=4", "--set", "train.max_length=64",
        "--set", "train.precision=fp32", "--set", "checkpoints.at_steps=[9000]", "--set", "evaluation.question_sets=[]"]  # fmt: skip


def _until(em: Command, run_id: str, condition: Callable[[RunStatus], object], seconds: float = 120) -> None:
    give_up = time.monotonic() + seconds
    while not condition(status := run_status(em.home / "runs" / run_id)):
        assert time.monotonic() < give_up, (status, (em.home / "runs" / run_id / "worker.log").read_text()[-2000:])
        time.sleep(0.1)


def test_save_stop_resume_stop_now_and_retry(em: Command, typed: Typed) -> None:
    launched = em("launch", "organism", *LONG, "--json")
    assert launched.code == 0, launched.err
    run_id = launched.json["runs"][0]
    folder = typed.home / "runs" / run_id
    assert typed("resume", run_id).code == 3, "it is queued or running"
    _until(typed, run_id, lambda status: status.step)
    saved = typed("save", run_id)
    assert saved.code == 0
    assert "goes on" in saved.out
    deadline = time.monotonic() + 60
    while not list((folder / "checkpoints").glob("step-*/COMPLETE.json")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    first = int(next((folder / "checkpoints").glob("step-*")).name.removeprefix("step-"))
    _until(typed, run_id, lambda status: status.state == "running" and (status.step or 0) > first)
    assert typed("stop", run_id, "--now").code == 0
    _until(typed, run_id, lambda status: status.state == "stopped")
    assert typed("stop", run_id, "--now").code == 3
    resumed = typed("resume", run_id, "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json["message"] == f"{run_id}: queued again, goes on from step {first}"
    _until(typed, run_id, lambda status: status.state == "running" and status.attempt == 2 and (status.step or 0) > first)
    assert typed("stop", run_id).code == 0
    _until(typed, run_id, lambda status: status.state == "stopped")
    assert len(list((folder / "events").glob("worker-*.jsonl"))) == 2
    saved_last = max(int(p.parent.name.removeprefix("step-")) for p in folder.glob("checkpoints/step-*/COMPLETE.json"))
    assert saved_last > first, "stopping saves a checkpoint first"
    assert typed("queue", "pause").code == 0  # the new run's recipe is read, and nothing of it trained
    again = typed("retry", run_id, "--smaller-batch", "--json")
    assert again.code == 0, again.err
    assert again.json["retry_of"] == run_id
    new = again.json["run_id"]
    before, after = (json.loads((typed.home / "runs" / r / "spec.json").read_text())["spec"]["train"] for r in (run_id, new))
    assert after["micro_batch"] == "as_given"
    assert after["batch_size"] * 2 == before["batch_size"]
    assert after["batch_size"] * after["grad_accumulation"] == before["batch_size"] * before["grad_accumulation"]
    assert typed("stop", new, "--now").code == 0
    _until(typed, new, lambda status: status.state == "stopped")


def test_of_runs_that_are_unknown_or_cannot_nothing_is_left(typed: Typed) -> None:
    for command in (["resume", "nothing"], ["retry", "nothing"], ["save", "nothing"], ["stop", "nothing", "--now"]):
        result = typed(*command, "--json")
        assert result.code == 2, result.out + result.err
        assert "nothing" in result.json["error"]


def test_run_whose_spec_is_damaged_is_said_with_its_file_and_what_to_do(typed: Typed) -> None:
    path = typed.home / "runs" / "damaged" / "spec.json"
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"kind": "evaluate"}'):
        path.write_text(text)
        result = typed("show", "damaged", "--json")
        assert result.code == 2, result.out + result.err
        assert str(path) in result.json["error"]
        assert result.json["hint"]
