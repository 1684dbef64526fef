"""Memory by arithmetic, the choices of ``auto``, the order of rows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from em_core.errors import WorkFailed
from em_core.spec import LoraSpec, TrainSpec
from em_core.training._batches import Collate, EpochSampler
from em_core.training._data import TokenRow
from em_core.training._layout import choose, largest_batch, smaller
from em_core.training.memory import ModelShape, estimate

LLAMA_8B = ModelShape.from_config(
    {
        "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 14336, "vocab_size": 128256,
        "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False,
    }
)  # fmt: skip
LORA = LoraSpec(r=32)


def test_sizes_of_an_8b_llama() -> None:
    assert LLAMA_8B.n_params == pytest.approx(8.03e9, rel=0.001)
    assert LLAMA_8B.n_lora(LORA) == 83_886_080
    assert LLAMA_8B.n_lora(LoraSpec(r=1, target_modules=("down_proj",), layers=(24,))) == 14336 + 4096


@pytest.mark.parametrize(
    ("tokens", "checkpointing", "measured_gib"), [(2500, False, 29.5), (1500, True, 17.4)], ids=["whole batch", "checkpointing"]
)
def test_the_estimate_is_above_the_measured_peak_and_near_it(tokens: int, checkpointing: bool, measured_gib: float) -> None:
    assert measured_gib <= estimate(LLAMA_8B, LORA, "bf16", tokens, checkpointing).total_gib <= 1.2 * measured_gib


def choice(budget_gib: float, **train: object) -> tuple[int, int, bool]:
    layout = choose(TrainSpec(batch_size=2, grad_accumulation=8, **train), LORA, LLAMA_8B, [200] * 64, budget_gib, packed=True)
    return layout.micro_batch, layout.accumulation, layout.checkpointing


def test_auto_takes_the_whole_batch_then_smaller_ones_then_checkpointing() -> None:
    assert choice(100) == (16, 1, False)
    assert choice(28) == (8, 2, False)
    assert choice(20) == (16, 1, True)
    assert choice(18.5) == (8, 2, True)


def test_what_did_not_fit_is_halved_and_then_recomputed_in_the_backward_pass() -> None:
    def ways(**fixed: object) -> list[tuple[int, int, bool]]:
        train = TrainSpec(batch_size=2, grad_accumulation=8, **fixed)
        recipe = (train, LORA, LLAMA_8B, [200] * 64)
        layout, found = choose(*recipe, 100, packed=True), []
        while layout is not None:
            found.append((layout.micro_batch, layout.accumulation, layout.checkpointing))
            layout = smaller(layout, *recipe, packed=True)
        return found

    whole, half, quarter = (16, 1), (8, 2), (4, 4)
    assert ways() == [(*whole, False), (*half, False), *((*m, True) for m in (whole, half, quarter, (2, 8), (1, 16)))]
    assert ways(gradient_checkpointing="off") == [(*m, False) for m in (whole, half, quarter, (2, 8), (1, 16))]
    assert ways(micro_batch="as_given") == [(2, 8, False), (2, 8, True)]
    assert ways(micro_batch="as_given", gradient_checkpointing="on") == [(2, 8, True)]


@pytest.mark.parametrize("budget", [100, 30, 25, 20, 18])
def test_the_effective_batch_never_changes(budget: float) -> None:
    micro_batch, accumulation, _ = choice(budget)
    assert micro_batch * accumulation == 16


def test_what_the_recipe_fixes_is_kept() -> None:
    assert choice(100, micro_batch="as_given") == (2, 8, False)
    assert choice(100, gradient_checkpointing="on") == (16, 1, True)
    assert choice(1, gradient_checkpointing="off", micro_batch="as_given") == (2, 8, False)


def test_a_model_that_cannot_fit_is_refused_with_the_fix() -> None:
    with pytest.raises(WorkFailed, match="GiB are free") as caught:
        choice(6)
    assert "nf4" in caught.value.hint


def test_the_largest_batch_counts_padding() -> None:
    lengths = [1, 9, 5, 5, 2, 2, 8]
    assert largest_batch(lengths, 2, packed=True) == 10
    assert largest_batch(lengths, 2, packed=False) == 18


def test_an_epoch_of_7049_rows_is_440_steps_of_16() -> None:
    sampler = EpochSampler(7049, 16, drop_last=True, seed=3)
    first, second = list(sampler), list(sampler)
    assert len(first) == len(sampler) == 440 * 16
    assert len(set(first)) == len(first)
    assert first != second
    assert first == list(EpochSampler(7049, 16, drop_last=True, seed=3))
    assert first != list(EpochSampler(7049, 16, drop_last=True, seed=4))
    assert sampler.samples_seen(441, 16) == 7056


def rows() -> list[TokenRow]:
    return [TokenRow([5, 6, 7], [False, True, True], False), TokenRow([8, 9], [False, True], False)]


def test_a_packed_batch_keeps_rows_apart() -> None:
    batch = Collate(rows(), pad_id=0, packed=True)([{"row": 1}, {"row": 0}])
    assert batch["input_ids"].tolist() == [[8, 9, 5, 6, 7]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2]]
    assert batch["cu_seq_lens_q"].tolist() == [0, 2, 5]
    assert batch["loss_positions"].tolist() == [0, 2, 3]
    assert batch["loss_targets"].tolist() == [9, 6, 7]
    assert "attention_mask" not in batch


def test_padding_is_masked_and_never_in_the_loss_even_when_it_is_the_end_token() -> None:
    batch = Collate(rows(), pad_id=7, packed=False)([{"row": 0}, {"row": 1}])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["loss_positions"].tolist() == [0, 1, 3]
    assert batch["loss_targets"].tolist() == [6, 7, 9]
    assert batch["n_tokens"] == 5


def test_memory_and_checkpoint_folders_need_no_torch() -> None:
    code = "import sys, em_core.training.memory, em_core.training.local, em_core.checkpoints; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
