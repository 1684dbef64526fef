"""A run that was interrupted ends like one that was not: same losses, same adapter, bit for bit on a CPU."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from em_core import requests
from em_core.checkpoints import RESUME, complete_checkpoints, resume_point
from em_core.errors import BadInput, WorkFailed
from em_core.training import TrainJob, open_session
from tests.disks import small_disk
from tests.training.conftest import Listener, make_rows, run

Build = Callable[..., TrainJob]
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


class Killed(Exception):
    """Stands for a SIGKILL: nothing of the session is used afterwards."""


class DiesAt(Listener):
    """A worker that dies right after the metrics of a step, or at a checkpoint when it was saved."""

    def __init__(self, step: int, at_checkpoint: bool = False) -> None:
        super().__init__()
        self.die_at, self.at_checkpoint = step, at_checkpoint

    def on_checkpoint(self, record: Any) -> None:
        self.checkpoints.append(record)
        if self.at_checkpoint and record.step == self.die_at:
            raise Killed

    def on_metric(self, metric: Any) -> None:
        self.metrics.append(metric)
        if not self.at_checkpoint and metric.step == self.die_at:
            raise Killed


def dies(job: TrainJob, listener: DiesAt) -> DiesAt:
    with pytest.raises(Killed):
        open_session(job).train(listener.on_metric, listener.on_checkpoint, listener.should_stop)
    return listener


def resumed(job: TrainJob, expected_step: int, listener: Listener | None = None) -> Listener:
    point = resume_point(job.run_dir)
    assert (point.step if point else 0) == expected_step
    return run(open_session(dataclasses.replace(job, resume_step=expected_step)), listener)


def numbers(listener: Listener) -> list[tuple[Any, ...]]:
    return [(m.step, m.epoch, m.loss, m.learning_rate, m.grad_norm) for m in listener.metrics]


def identity(listener: Listener) -> tuple[Any, ...]:
    """Step, epoch, samples and weights of the last checkpoint."""
    last = listener.checkpoints[-1]
    return last.step, last.epoch, last.samples_seen, last.sha256


CASES: dict[str, tuple[dict[str, Any], list[int], int]] = {
    "in a later epoch": ({"train": {"epochs": 3}}, [11, 20], 12),
    "with dropout, mid-epoch": ({"lora": {"dropout": 0.3}}, [3, 6], 4),
    "with dropout, at an epoch boundary": ({"lora": {"dropout": 0.3}}, [8, 12], 9),
    "incomplete last batches": ({"train": {"drop_last": False, "batch_size": 3, "micro_batch": "as_given"}}, [11, 17], 13),
    "micro-batches": ({"train": {"micro_batch": "as_given"}, "lora": {"dropout": 0.2}}, [3, 6], 4),
    "warm-up and cosine": ({"train": {"warmup_steps": 4, "schedule": "cosine"}}, [3, 9], 5),
    "8-bit optimizer": ({"train": {"optimizer": "adamw_8bit"}, "lora": {"r": 64, "alpha": 64}}, [3, 6], 5),
    "plain SGD": ({"train": {"optimizer": "sgd"}}, [3, 6], 5),
    "padding-free": ({"train": {"padding_free": "on"}}, [3, 6], 5),
    "gradient checkpointing": ({"train": {"gradient_checkpointing": "on"}, "lora": {"dropout": 0.2}}, [3, 6], 5),
}


@pytest.mark.parametrize("case", list(CASES))
def test_a_killed_run_ends_like_one_that_was_not(job: Build, tmp_path: Path, case: str) -> None:
    changes, steps, killed_at = CASES[case]
    whole = run(open_session(job(changes=changes, steps=steps, run_dir=tmp_path / "whole")))
    work = job(changes=changes, steps=steps)
    first = dies(work, DiesAt(killed_at))
    again = resumed(work, steps[0])
    assert numbers(first)[: steps[0]] + numbers(again) == numbers(whole)
    assert identity(again) == identity(whole)
    assert [c.step for c in complete_checkpoints(work.run_dir)] == steps


def test_a_run_of_two_gpus_goes_on_in_one_process(job: Build, tmp_path: Path) -> None:
    whole = run(open_session(job(steps=[3, 6], run_dir=tmp_path / "whole")))
    work = job(steps=[3, 6], changes={"train": {"gpus": 2}})
    first = dies(work, DiesAt(4))  # no launcher: one process has all rows of a step, whatever was asked for
    assert numbers(first) == numbers(whole)[:4]
    state = work.run_dir / RESUME / "step-3"
    body = json.loads((state / "state.json").read_text())
    body["layout"]["micro_batch"] //= 2  # as one of two processes leaves it
    (state / "state.json").write_text(json.dumps(body))
    assert numbers(run(open_session(dataclasses.replace(work, resume_step=3)))) == numbers(whole)[3:]


def test_a_run_that_was_stopped_goes_on_from_where_it_stopped_again_and_again(job: Build, tmp_path: Path) -> None:
    changes = {"lora": {"dropout": 0.2}}
    whole = run(open_session(job(changes=changes, steps=[12], run_dir=tmp_path / "whole")))
    work = job(changes=changes, steps=[12])
    found = numbers(run(open_session(work), Listener(stop_at=1)))
    for at in (1, 6, 8):
        more = resumed(work, at, Listener(stop_at={1: 5, 6: 2, 8: 0}[at]))
        found += numbers(more)
    assert found == numbers(whole)
    assert identity(more) == identity(whole)


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_a_run_with_a_parent_goes_on_too(job: Build, tmp_path: Path, precision: str) -> None:
    train = {"precision": precision}
    run(open_session(job(steps=[4], run_dir=tmp_path / "first", changes={"train": train})))
    folder = tmp_path / "first" / "checkpoints" / "step-4"
    changes = {"train": train, "lora": {"r": 2, "rslora": True, "dropout": 0.2, "target_modules": ["q_proj", "down_proj"]}}
    rows = make_rows(64, seed=1)
    whole = run(open_session(job(rows, changes, [3, 6], parent_adapter=folder, run_dir=tmp_path / "whole")))
    work = job(rows, changes, [3, 6], parent_adapter=folder)
    first = dies(work, DiesAt(5))
    again = resumed(work, 3)
    assert numbers(first)[:3] + numbers(again) == numbers(whole)
    assert identity(again) == identity(whole)


def test_the_model_has_the_adapter_of_that_step_when_it_is_opened(job: Build) -> None:
    import torch

    work = job(steps=[4, 8])
    session: Any = open_session(work)
    ids = torch.tensor([session.rows.rows[0].ids])
    seen: list[Any] = []

    def look(model: Any) -> Any:
        with torch.no_grad():
            return model.eval()(input_ids=ids).logits

    def on_checkpoint(record: Any) -> None:
        seen.append(look(session.model))
        raise Killed

    with pytest.raises(Killed):
        session.train(lambda m: None, on_checkpoint, lambda: "")
    again: Any = open_session(dataclasses.replace(work, resume_step=4))
    torch.testing.assert_close(look(again.model), seen[0], rtol=0, atol=0)
    with again.starting_weights():
        assert not torch.allclose(look(again.model), seen[0])


def test_nothing_is_trained_after_the_last_step(job: Build) -> None:
    import torch

    work = job(steps=[3, 5])
    first = dies(work, DiesAt(5, at_checkpoint=True))
    session: Any = open_session(dataclasses.replace(work, resume_step=5))
    weights = {name: p.detach().clone() for name, p in session.model.named_parameters() if p.requires_grad}
    again = run(session)
    assert (again.metrics, again.checkpoints) == ([], [])
    assert (again.outcome.state, again.outcome.last_step) == ("finished", 5)  # type: ignore[attr-defined]
    assert resume_point(work.run_dir).sha256 == first.checkpoints[-1].sha256  # type: ignore[union-attr]
    for name, p in session.model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p, weights[name], rtol=0, atol=0)


def test_a_damaged_state_is_passed_over_for_the_one_before(job: Build, tmp_path: Path) -> None:
    whole = run(open_session(job(steps=[2, 4, 6, 8], run_dir=tmp_path / "whole")))
    work = job(steps=[2, 4, 6, 8])
    dies(work, DiesAt(7))
    states = work.run_dir / RESUME
    assert sorted(p.name for p in states.iterdir()) == ["step-4", "step-6"]
    weights = states / "step-6" / "state.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    again = resumed(work, 4)
    assert numbers(again) == numbers(whole)[4:]
    assert identity(again) == identity(whole)


def test_with_no_state_left_it_begins_at_the_beginning(job: Build, tmp_path: Path) -> None:
    whole = run(open_session(job(steps=[2, 4], run_dir=tmp_path / "whole")))
    work = job(steps=[2, 4])
    dies(work, DiesAt(3))
    shutil.rmtree(work.run_dir / RESUME)
    again = resumed(work, 0)
    assert numbers(again) == numbers(whole)
    assert identity(again) == identity(whole)


def test_only_what_a_resume_needs_is_kept(job: Build) -> None:
    work = job(steps=[1, 2, 3, 4])
    leftover = work.run_dir / RESUME / ".step-9.123.tmp"
    leftover.mkdir(parents=True)
    run(open_session(work))
    states = work.run_dir / RESUME
    assert sorted(p.name for p in states.iterdir()) == ["step-3", "step-4"]
    sizes = {p.name: (p / "state.safetensors").stat().st_size for p in states.iterdir()}
    assert sizes["step-4"] < 0.5 * sizes["step-3"]  # no moments: nothing is trained after the last step


def test_other_training_data_is_refused(job: Build) -> None:
    work = job(steps=[3, 6])
    dies(work, DiesAt(4))
    other = dataclasses.replace(work, rows=make_rows(64, seed=5), resume_step=3)
    with pytest.raises(BadInput, match="not what it was at step 3"):
        run(open_session(other))


def test_the_state_of_another_adapter_is_refused(job: Build) -> None:
    dies(job(steps=[3, 6]), DiesAt(4))
    with pytest.raises(BadInput, match="state of another adapter"):
        open_session(job(steps=[3, 6], changes={"lora": {"r": 8}}, resume_step=3))


def test_a_state_that_is_none_is_refused_with_its_place(job: Build) -> None:
    work = job(steps=[3, 6])
    dies(work, DiesAt(4))
    body = work.run_dir / RESUME / "step-3" / "state.json"
    text = body.read_text()
    body.write_text(text.replace('"adapter":', '"adopter":'))
    with pytest.raises(BadInput, match=r"resume/step-3: not a resume state") as caught:
        open_session(dataclasses.replace(work, resume_step=3))
    assert "remove" in caught.value.hint


def test_nothing_is_pickled(job: Build) -> None:
    work = job(steps=[2, 4])
    dies(work, DiesAt(3))
    files = {p.name for p in (work.run_dir / RESUME / "step-2").iterdir()}
    assert files == {"COMPLETE.json", "state.json", "state.safetensors", "trainer_state.json"}
    json.loads((work.run_dir / RESUME / "step-2" / "state.json").read_text())


def test_save_now_saves_and_goes_on(job: Build, tmp_path: Path) -> None:
    whole = run(open_session(job(steps=[8], run_dir=tmp_path / "whole")))
    work = job(steps=[8])
    listener = Listener()

    def request() -> Any:
        listener.asked += 1
        if listener.asked == 3:
            requests.ask(work.run_dir, "save")
        return requests.asked(work.run_dir)

    work.run_dir.mkdir()
    outcome = open_session(work).train(listener.metrics.append, listener.checkpoints.append, request)
    assert (outcome.state, outcome.last_step) == ("finished", 8)
    assert [c.step for c in listener.checkpoints] == [3, 8]
    assert requests.asked(work.run_dir) == ""
    assert numbers(listener) == numbers(whole)
    assert identity(listener) == identity(whole)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 8) as disk:
        yield disk


def fill(disk: Path, but: int) -> Path:
    """Fill a disk, but for some bytes."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free - but
    ballast.write_bytes(bytes(max(0, free)))
    return ballast


@pytest.mark.parametrize("what", ["the state", "the checkpoint"])
def test_a_full_disk_leaves_the_earlier_resume_point(job: Build, small: Path, tmp_path: Path, what: str) -> None:
    whole = run(open_session(job(steps=[2, 4, 6], run_dir=tmp_path / "whole")))
    state = tmp_path / "whole" / RESUME / "step-4"
    size = sum(-(-p.stat().st_size // 4096) * 4096 for p in state.iterdir())
    room = 20_000 if what == "the state" else size + 30_000
    work = job(steps=[2, 4, 6], run_dir=small / "run")
    listener = Listener()

    def on_checkpoint(record: Any) -> None:
        listener.checkpoints.append(record)
        fill(small, room)

    with pytest.raises(WorkFailed, match=r"step-4: not saved .*No space left") as caught:
        open_session(work).train(listener.metrics.append, on_checkpoint, listener.should_stop)
    assert caught.value.cause == "disk_full"
    assert str(small / "run" / (RESUME if what == "the state" else "checkpoints")) in caught.value.message
    (small / "ballast").unlink()
    assert [c.step for c in complete_checkpoints(work.run_dir)] == [2]
    assert not list(work.run_dir.glob("*/.*"))
    again = resumed(work, 2)
    assert numbers(listener)[:2] + numbers(again) == numbers(whole)
    assert identity(again) == identity(whole)
