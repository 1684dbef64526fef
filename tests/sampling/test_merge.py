"""The merged adapter: the same function as base plus adapter, and no trace of it afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from em_core.sampling._merge import merged
from tests.sampling.sampling_models import make_lora, make_model


def logits(model: Any) -> Tensor:
    ids = torch.arange(10, 90).reshape(4, 20)
    with torch.no_grad():
        return model(input_ids=ids).logits.float()


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1e-4), (torch.bfloat16, 0.2), (torch.float16, 0.1)], ids=["fp32", "bf16", "fp16"]
)
@pytest.mark.parametrize("rslora", [False, True])
def test_merged_logits_equal_unmerged_and_the_weights_come_back_to_the_bit(
    dtype: torch.dtype, bound: float, rslora: bool
) -> None:
    lora = make_lora(make_model().to(dtype), use_rslora=rslora)
    before = {name: value.clone() for name, value in lora.state_dict().items()}
    apart = logits(lora)
    with lora.disable_adapter():
        start = logits(lora)
    with merged(lora) as done:
        assert done
        together = logits(lora)
        changed = [name for name, value in lora.state_dict().items() if not torch.equal(before[name], value)]
        assert len(changed) == 3 * 7
        assert all(".base_layer.weight" in name for name in changed)
    assert (together - apart).abs().max() < bound < 0.2 * (apart - start).abs().max()
    assert all(torch.equal(before[name], value) for name, value in lora.state_dict().items())
    assert torch.equal(logits(lora), apart)


def test_the_weights_come_back_after_an_error(lora: Any) -> None:
    before, apart = {name: value.clone() for name, value in lora.state_dict().items()}, logits(lora)
    with pytest.raises(KeyError), merged(lora):
        raise KeyError
    assert all(torch.equal(before[name], value) for name, value in lora.state_dict().items())
    assert torch.equal(logits(lora), apart)


def test_merging_at_many_checkpoints_adds_no_rounding() -> None:
    lora = make_lora(make_model().to(torch.bfloat16))
    with merged(lora):
        first = logits(lora)
    for _ in range(5):
        with merged(lora):
            assert torch.equal(logits(lora), first)


def test_an_adapter_that_is_off_stays_off(lora: Any) -> None:
    with lora.disable_adapter():
        start = logits(lora)
        with merged(lora) as done:
            assert done is False
            assert torch.equal(logits(lora), start)
    assert not torch.equal(logits(lora), start)


def test_only_the_active_adapters_are_merged(lora: Any) -> None:
    from peft import LoraConfig

    lora.add_adapter("other", LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    lora.set_adapter("other")
    apart = logits(lora)
    with merged(lora) as done:
        assert done
        assert (logits(lora) - apart).abs().max() < 1e-4
    assert lora.active_adapters == ["other"]


@pytest.mark.parametrize(
    ("changes", "tied"),
    [
        ({"use_dora": True}, False),
        ({"target_modules": ["q_proj", "embed_tokens"]}, False),
        ({"target_modules": ["q_proj", "lm_head"]}, True),
    ],
    ids=["dora", "embedding", "tied-head"],
)
@pytest.mark.filterwarnings("ignore:.*tied.*:UserWarning", "ignore:.*tie_word_embeddings.*:UserWarning")
def test_what_cannot_be_merged_exactly_is_left_unmerged(changes: dict[str, Any], tied: bool) -> None:
    lora = make_lora(make_model(tie_word_embeddings=tied), **changes)
    apart = logits(lora)
    with merged(lora) as done:
        assert done is False
        assert torch.equal(logits(lora), apart)


def test_a_plain_model_has_nothing_to_merge(model: Any) -> None:
    with merged(model) as done:
        assert done is False


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_weights_are_sampled_unmerged(bits: int, tokenizer: Any) -> None:
    bnb = pytest.importorskip("bitsandbytes")
    from em_core.sampling import local
    from tests.sampling.sampling_models import make_prompts

    model = make_model()
    for layer in model.model.layers:
        old = layer.mlp.up_proj
        new = (
            bnb.nn.Linear4bit(64, 96, bias=False)
            if bits == 4
            else bnb.nn.Linear8bitLt(64, 96, bias=False, has_fp16_weights=False)
        )
        new.load_state_dict({"weight": old.weight.data})
        layer.mlp.up_proj = new.to("cpu")
    lora = make_lora(model, target_modules=["up_proj", "q_proj"])
    with merged(lora) as done:
        assert done is False
    sampler = local.open(lora, tokenizer)
    assert len(list(sampler.sample(make_prompts(3)))) == 3
    assert sampler.merged is False
