"""``queue`` as a person types it, without a supervisor at work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from em_core import cli
from em_core.home import Home
from em_core.spec import RunSpec
from em_core.specs_io import read_spec
from em_core.supervisor.launch import launch


class Queue:
    """Runs ``queue …`` in this process and keeps what it printed."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self._capsys = home, capsys
        self.err = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        assert cli.main(["--home", str(self.home), "queue", *words]) == code
        out, self.err = self._capsys.readouterr()
        return out

    def json(self) -> Any:
        return json.loads(self("--json"))

    def ids(self) -> list[str]:
        return [row["run_id"] for row in self.json()["queued"]]


@pytest.fixture
def queue(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv("EM_SLOTS", "cpu")
    return Queue(tmp_path, capsys)


@pytest.fixture
def queued(queue: Queue) -> list[str]:
    body = read_spec("organism")[0].model_dump(mode="json")
    specs = [RunSpec.model_validate(body | {"train": body["train"] | {"seed": seed}}) for seed in range(3)]
    return [item.run_id for item in launch(Home(queue.home), specs, start=False)]


def test_queue_is_listed_moved_and_given_priorities(queue: Queue, queued: list[str]) -> None:
    first, second, third = queued
    shown = queue()
    assert shown.splitlines()[0].split() == ["place", "priority", "run_id", "reason"]
    assert "nobody works on the queue" in shown
    assert "CPU place 1" in shown
    assert queue("move", third, "top") == f"{third}: place 1 of 3\n"
    queue("move", third, "down")
    assert queue.ids() == [first, third, second]
    queue("move", first, "last")
    assert queue.ids() == [third, second, first]
    queue("move", first, "up")
    assert queue("priority", second, "2") == f"{second}: priority 2, place 1 of 3\n"
    assert queue.ids() == [second, third, first]


def test_queue_is_paused_and_says_so(queue: Queue, queued: list[str]) -> None:
    queue("pause")
    document = queue.json()
    assert document["paused"]
    assert {row["reason"] for row in document["queued"]} == {"the queue is paused; what runs goes on"}
    assert [slot["slot"] for slot in document["slots"]] == ["cpu:0"]
    assert queue().startswith("paused: nothing starts")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["move", "nobody", "1"], "is not queued"),
        (["move", "nobody", "up"], "is not queued"),
        (["move", "nobody", "sideways"], "no place in the queue"),
        (["priority", "nobody", "9999"], "out of bounds"),
        (["priority", "nobody", "high"], "invalid int value"),
        (["jump"], "invalid choice"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_fix(queue: Queue, words: list[str], complaint: str) -> None:
    queue(*words, code=2)
    assert complaint in queue.err
    assert "fix:" in queue.err


def test_empty_queue_goes_on_after_a_pause_without_starting_anybody(queue: Queue) -> None:
    queue("pause")
    assert queue("continue") == "the queue goes on\n"
    assert not (queue.home / "runs" / ".supervisor" / "supervisor.log").exists()
    queue()
    assert "nothing is queued" in queue.err


def test_read_only_demonstration_has_no_queue(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_READONLY", "1")
    queue(code=3)
    assert "read-only demonstration" in queue.err
