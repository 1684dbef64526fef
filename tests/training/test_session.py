"""The session: parity of all ways to compute a step, checkpoints, stops, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from em_core.checkpoints import complete_checkpoints, read_complete
from em_core.errors import BadInput, EMError, WorkFailed
from em_core.training import TrainJob, open_session
from tests.training.conftest import Listener, make_rows, read_json, run

Build = Callable[..., TrainJob]
# PEFT 0.21 reads a name that transformers 5.23 calls old; the session keeps that quiet, these tests call PEFT themselves
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def trained(job: TrainJob, listener: Listener | None = None) -> Any:
    return run(open_session(job), listener)


WAYS = {
    "whole batch, padded": {},
    "given micro-batches": {"micro_batch": "as_given"},
    "one row at a time": {"micro_batch": "as_given", "batch_size": 1, "grad_accumulation": 8},
    "padding-free": {"padding_free": "on"},
    "padding-free micro-batches": {"padding_free": "on", "micro_batch": "as_given"},
    "gradient checkpointing": {"gradient_checkpointing": "on"},
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    return {}


@pytest.mark.parametrize("way", list(WAYS))
def test_every_way_to_compute_a_step_gives_the_same_loss_curve(job: Build, way: str, reference: dict[str, list[float]]) -> None:
    losses = trained(job(changes={"train": WAYS[way]}, steps=[30])).losses
    expected = reference.setdefault("losses", losses)
    assert len(losses) == 30
    assert losses[0] == pytest.approx(expected[0], abs=1e-5)
    assert losses == pytest.approx(expected, abs=2e-3)
    assert losses[-1] < losses[0] - 0.5


def test_the_loss_is_that_of_transformers_over_the_same_tokens(job: Build) -> None:
    import torch

    session: Any = open_session(job(rows=make_rows(8), steps=[1]))
    nll, count = 0.0, 0
    with torch.no_grad():
        for row in session.rows.rows:
            labels = torch.tensor([[i if on else -100 for i, on in zip(row.ids, row.loss, strict=True)]])
            nll += float(session.model(input_ids=torch.tensor([row.ids]), labels=labels).loss) * row.n_loss
            count += row.n_loss
    assert run(session).losses[0] == pytest.approx(nll / count, abs=1e-5)


def test_evaluating_at_checkpoints_does_not_change_the_training(job: Build) -> None:
    import torch

    changes = {"lora": {"dropout": 0.3}}
    quiet = trained(job(changes=changes, steps=[2, 4, 8]))

    session: Any = open_session(job(changes=changes, steps=[2, 4, 8]))
    seen: list[float] = []

    def evaluate(record: Any) -> None:
        session.model.eval()
        ids = torch.tensor([session.rows.rows[0].ids])
        with torch.no_grad():
            seen.append(float(session.model(input_ids=ids).logits.sum()))
        session.model.generate(input_ids=ids, max_new_tokens=3, do_sample=True)
        torch.rand(10)

    metrics: list[Any] = []
    session.train(metrics.append, evaluate, lambda: "")
    assert [m.loss for m in metrics] == quiet.losses
    assert len(set(seen)) == 3


def test_an_epoch_is_whole_effective_batches(job: Build) -> None:
    listener = trained(job(rows=make_rows(61), changes={"train": {"epochs": 2}}, steps=[7, 14]))
    assert [c.epoch for c in listener.checkpoints] == [1.0, 2.0]
    assert [c.samples_seen for c in listener.checkpoints] == [56, 112]


def test_drop_last_off_keeps_the_incomplete_batch(job: Build) -> None:
    listener = trained(job(rows=make_rows(61), changes={"train": {"drop_last": False}}, steps=[8]))
    assert listener.checkpoints[0].epoch == 1.0
    assert listener.checkpoints[0].samples_seen == 61


def test_checkpoints_are_complete_and_tell_no_path(job: Build, base_path: Path) -> None:
    work = job(steps=[2, 4], changes={"base_model": str(base_path)}, base_path=None)
    listener = trained(work)
    found = complete_checkpoints(work.run_dir)
    assert [c.step for c in found] == [2, 4] == [c.step for c in listener.checkpoints]
    for record, checkpoint in zip(listener.checkpoints, found, strict=True):
        assert read_complete(checkpoint.path, verify_sha256=True) is not None
        assert (record.sha256, record.path) == (checkpoint.sha256, f"checkpoints/step-{record.step}")
        assert record.size_bytes == checkpoint.size_bytes
        config = read_json(checkpoint.path / "adapter_config.json")
        assert config["base_model_name_or_path"] == base_path.name
        assert str(base_path.parent) not in (checkpoint.path / "COMPLETE.json").read_text()
        state = read_json(checkpoint.path / "training_state.json")
        assert (state["step"], state["seed"], state["spec_hash"]) == (record.step, 0, work.spec.spec_hash())
    assert not list((work.run_dir / "checkpoints").glob(".*"))


def test_a_saved_adapter_gives_the_weights_that_were_in_memory(job: Build, base_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    session: Any = open_session(job(steps=[6]))
    run(session)
    ids = torch.tensor([session.rows.rows[0].ids])
    base = AutoModelForCausalLM.from_pretrained(base_path, dtype=torch.float32)
    again = PeftModel.from_pretrained(base, str(session.job.run_dir / "checkpoints" / "step-6")).eval()
    with torch.no_grad():
        torch.testing.assert_close(session.model.eval()(input_ids=ids).logits, again(input_ids=ids).logits)


def test_stop_saves_a_checkpoint_first(job: Build) -> None:
    work = job(steps=[10])
    listener = trained(work, Listener(stop_at=3))
    assert (listener.outcome.state, listener.outcome.last_step) == ("stopped", 3)
    assert [c.step for c in complete_checkpoints(work.run_dir)] == [3] == [c.step for c in listener.checkpoints]
    assert len(listener.metrics) == 3


def test_discard_saves_nothing(job: Build) -> None:
    work = job(steps=[3, 10])
    listener = trained(work, Listener(stop_at=3, how="discard"))
    assert (listener.outcome.state, listener.outcome.last_step) == ("stopped", 3)
    assert complete_checkpoints(work.run_dir) == []


def test_a_diverged_run_fails_with_a_plain_message(job: Build) -> None:
    session: Any = open_session(job(steps=[5]))
    for name, p in session.model.named_parameters():
        if "lora_B" in name:
            p.data.fill_(float("nan"))
    with pytest.raises(WorkFailed, match="loss at step 1 is not a number"):
        run(session)
    assert complete_checkpoints(session.job.run_dir) == []


def test_a_full_disk_fails_and_leaves_no_half_checkpoint(job: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch

    def full(tensors: Any, path: Path, metadata: Any = None) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    work = job(steps=[2])
    session = open_session(work)
    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(WorkFailed, match="No space left on device"):
        run(session)
    assert list((work.run_dir / "checkpoints").iterdir()) == []


def test_the_starting_weights_are_the_base_model(job: Build) -> None:
    import torch

    session: Any = open_session(job(steps=[4]))
    ids = torch.tensor([session.rows.rows[0].ids])
    with torch.no_grad():
        before = session.model.eval()(input_ids=ids).logits
        run(session)
        session.model.eval()
        assert not torch.allclose(session.model(input_ids=ids).logits, before)
        with session.starting_weights():
            torch.testing.assert_close(session.model(input_ids=ids).logits, before)


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_a_run_with_a_parent_starts_there_and_saves_the_sum_of_both(
    job: Build, base_path: Path, tmp_path: Path, precision: str
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    first = job(steps=[8], run_dir=tmp_path / "first", changes={"train": {"precision": precision}})
    parent = trained(first)
    folder = tmp_path / "first" / "checkpoints" / "step-8"
    changes = {"train": {"precision": precision}, "lora": {"r": 2, "rslora": True, "target_modules": ["q_proj", "down_proj"]}}
    session: Any = open_session(job(rows=make_rows(64, seed=1), changes=changes, steps=[4], parent_adapter=folder))
    plain: Any = open_session(job(changes={"train": {"precision": precision}}))
    assert session.weights_sha256 != plain.weights_sha256
    ids = torch.tensor([session.rows.rows[0].ids])
    with torch.no_grad():
        model = PeftModel.from_pretrained(plain.model.unload(), str(folder))
        start = model.eval()(input_ids=ids).logits
        with session.starting_weights():
            torch.testing.assert_close(session.model.eval()(input_ids=ids).logits, start, atol=1e-4, rtol=1e-4)
        second = run(session)
        assert second.losses[0] < parent.losses[0] - 0.3
        now = session.model.eval()(input_ids=ids).logits
        assert not torch.allclose(now, start, atol=1e-3)
        base = model.unload() if precision == "nf4" else AutoModelForCausalLM.from_pretrained(base_path, dtype=torch.float32)
        alone = PeftModel.from_pretrained(base, str(session.job.run_dir / "checkpoints" / "step-4")).eval()
        torch.testing.assert_close(alone(input_ids=ids).logits, now, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "train",
    [
        {"precision": "bf16"},
        {"precision": "nf4"},
        {"optimizer": "adamw_8bit"},
        {"optimizer": "adamw_torch"},
        {"schedule": "cosine"},
    ],
    ids=lambda d: "-".join(d.values()),
)
def test_every_precision_and_optimizer_learns_on_a_cpu(job: Build, train: dict[str, Any]) -> None:
    lora = {"r": 64, "alpha": 64} if "optimizer" in train else {}
    losses = trained(job(changes={"train": train, "lora": lora}, steps=[12])).losses
    assert losses[-1] < losses[0] - 0.3


def test_warm_up_and_schedule_are_those_of_the_spec(job: Build) -> None:
    metrics = trained(job(changes={"train": {"warmup_steps": 4, "learning_rate": 0.01}}, steps=[8])).metrics
    rates = [m.learning_rate for m in metrics]
    assert rates == pytest.approx([0, 0.0025, 0.005, 0.0075, 0.01, 0.0075, 0.005, 0.0025])


def test_only_the_chosen_layers_and_modules_get_an_adapter(job: Build) -> None:
    session: Any = open_session(job(changes={"lora": {"layers": [1], "target_modules": ["down_proj"], "r": 1}}))
    names = [name for name, p in session.model.named_parameters() if p.requires_grad]
    assert len(names) == 2
    assert all("layers.1.mlp.down_proj" in name for name in names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"precision": "fp16"}}, "fp16 needs a GPU"),
        ({"lora": {"layers": [99]}}, "99 is not a layer"),
        ({"lora": {"target_modules": ["c_attn"]}}, "no linear module 'c_attn'"),
        ({"lora": {"target_modules": ["lm_head"]}}, "no linear module 'lm_head'"),
        ({"base_model": "/nowhere/model"}, "could not be loaded"),
    ],
)
def test_what_cannot_run_here_is_said_before_anything_starts(job: Build, changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"base_path": None} if "base_model" in changes else {}
    work = job(changes=changes, **fields)
    with pytest.raises(BadInput, match=message) as caught:
        open_session(work)
    assert caught.value.hint
    assert not work.run_dir.exists()


def test_an_unknown_backend_is_named(job: Build) -> None:
    with pytest.raises(EMError, match="backend 'nonesuch' is unknown"):
        open_session(job(changes={"backend": "nonesuch"}))


def test_the_preview_shows_tokens_with_their_mask(job: Build) -> None:
    row = open_session(job()).preview(2)[0]
    assert len(row.tokens) == len(row.loss)
    assert row.tokens[0] == "<|user|>"
    assert not row.loss[0]
    assert row.loss[-1]
    assert row.tokens[-1] == "<|end|>"
