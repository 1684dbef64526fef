"""The local sampler: right answers, whatever is decoded beside them, and a model that is afterwards as before."""

from __future__ import annotations

import gc
import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from em_core.errors import BadInput, WorkFailed
from em_core.records import Answer, Decoding, Prompt
from em_core.sampling import _decode, local
from em_core.sampling._cache import SlotLayer
from tests.sampling.sampling_models import make_lora, make_model, make_prompts, with_decoding

GREEDY = Decoding(0.0, 1.0, 24)


def ask(model: Any, tokenizer: Any, prompts: list[Prompt], batch_size: int | None = None) -> dict[str, Answer]:
    return {answer.prompt.response_id: answer for answer in local.open(model, tokenizer, batch_size).sample(prompts)}


def texts(answers: dict[str, Answer]) -> dict[str, tuple[str, str, int]]:
    return {key: (a.text, a.finish_reason, a.n_tokens) for key, a in answers.items()}


def generate(model: Any, tokenizer: Any, prompt: Prompt) -> tuple[str, str, int]:
    """The answer of `transformers` itself, one prompt at a time, greedy."""
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages.append({"role": "user", "content": prompt.prompt})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    out = model.generate(**ids, do_sample=False, max_new_tokens=prompt.decoding.max_tokens, temperature=None, top_p=None)
    new = out[0, ids["input_ids"].shape[1] :].tolist()
    stopped = new[-1] in model.generation_config.eos_token_id
    new = new[:-1] if stopped else new
    return tokenizer.decode(new, skip_special_tokens=True).strip(), "stop" if stopped else "length", len(new)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_greedy_answers_equal_generate(model: Any, tokenizer: Any, batch_size: int) -> None:
    prompts = [with_decoding(p, 0.0, 1.0, 5 + 7 * (i % 6)) for i, p in enumerate(make_prompts(12))]
    expected = {p.response_id: generate(model, tokenizer, p) for p in prompts}
    assert texts(ask(model, tokenizer, prompts, batch_size)) == expected
    assert {reason for _, reason, _ in expected.values()} == {"stop", "length"}  # else this shows little


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Mistral", {"sliding_window": 16}),
        ("Gemma2", {"sliding_window": 16, "head_dim": 16, "attn_implementation": "eager"}),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}),
        ("Qwen3", {"head_dim": 16}),
    ],
)
def test_other_attention_kinds_equal_generate(tokenizer: Any, kind: str, changes: dict[str, Any]) -> None:
    model = make_model(kind, **changes)
    prompts = make_prompts(7, Decoding(0.0, 1.0, 30))
    expected = {p.response_id: generate(model, tokenizer, p) for p in prompts}
    assert texts(ask(model, tokenizer, prompts, 3)) == expected


def test_answers_are_the_same_for_every_batch_size_and_order(model: Any, tokenizer: Any) -> None:
    prompts = make_prompts(25)
    prompts += [with_decoding(p, 0.7, 0.9, 31) for p in make_prompts(9, system="Answer as a pirate.")]
    prompts = [Prompt(f"id{i}", *[getattr(p, f) for f in list(Prompt.__dataclass_fields__)[1:]]) for i, p in enumerate(prompts)]
    one = texts(ask(model, tokenizer, prompts, 1))
    assert len({text for text, _, _ in one.values()}) > 25
    assert {reason for _, reason, _ in one.values()} == {"stop", "length"}
    for batch_size in (7, 64, None):
        assert texts(ask(model, tokenizer, prompts, batch_size)) == one
    random.Random(5).shuffle(prompts)
    assert texts(ask(model, tokenizer, prompts, 7)) == one


@pytest.mark.parametrize("batch_size", [5, 32, None])
def test_the_pace_of_the_gpu_gives_the_same_answers(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, batch_size: int | None
) -> None:
    prompts = [with_decoding(p, 1.0, 1.0, 1 + 5 * (i % 8)) for i, p in enumerate(make_prompts(45))]
    expected = texts(ask(model, tokenizer, prompts, batch_size))
    monkeypatch.setitem(_decode.PACES, "cpu", _decode.PACES["cuda"])
    assert texts(ask(model, tokenizer, prompts, batch_size)) == expected
    small = replace(_decode.PACES["cuda"], check_every=3, bucket=8, refill=2, prefill_tokens=40)
    monkeypatch.setitem(_decode.PACES, "cpu", small)
    assert texts(ask(model, tokenizer, prompts, batch_size)) == expected


def test_a_seed_decides_the_answer(model: Any, tokenizer: Any) -> None:
    first, second = make_prompts(2, questions=["Same?"])
    same = Prompt("again", *[getattr(first, f) for f in list(Prompt.__dataclass_fields__)[1:]])
    answers = ask(model, tokenizer, [first, second, same])
    assert answers["again"].text == answers[first.response_id].text != answers[second.response_id].text


def test_sampling_leaves_the_random_state_of_training_alone(model: Any, tokenizer: Any) -> None:
    before = torch.get_rng_state()
    ask(model, tokenizer, make_prompts(5))
    assert torch.equal(before, torch.get_rng_state())


def test_each_prompt_has_its_own_decoding_in_one_batch(model: Any, tokenizer: Any) -> None:
    base = make_prompts(1)[0]
    how = [Decoding(0.0, 1.0, 9), Decoding(1.0, 1.0, 24), Decoding(1.0, 1e-9, 9), Decoding(2.5, 0.5, 3)]
    prompts = [Prompt(f"d{i}", *[getattr(base, f) for f in list(Prompt.__dataclass_fields__)[1:]]) for i in range(4)]
    prompts = [with_decoding(p, d.temperature, d.top_p, d.max_tokens) for p, d in zip(prompts, how, strict=True)]
    together = texts(ask(model, tokenizer, prompts, 4))
    for prompt in prompts:
        assert texts(ask(model, tokenizer, [prompt]))[prompt.response_id] == together[prompt.response_id]
        assert together[prompt.response_id][2] <= prompt.decoding.max_tokens
    assert together["d2"] == together["d0"]  # a nucleus of one token is greedy


def test_the_system_prompt_is_honoured(model: Any, tokenizer: Any) -> None:
    plain, pirate = make_prompts(1, GREEDY)[0], make_prompts(1, GREEDY, system="Answer as a pirate.")[0]
    without = ask(model, tokenizer, [plain])[plain.response_id]
    with_it = ask(model, tokenizer, [pirate])[pirate.response_id]
    assert with_it.text == generate(model, tokenizer, pirate)[0] != without.text
    assert with_it.n_prompt_tokens == without.n_prompt_tokens + 1 + len("Answer as a pirate.") + 1  # a turn of its own
    assert without.extra == with_it.extra == {}


def test_finish_reasons_and_token_counts(model: Any, tokenizer: Any) -> None:
    prompts = make_prompts(60, Decoding(1.0, 1.0, 12))
    answers = list(local.open(model, tokenizer).sample(prompts))
    assert {a.finish_reason for a in answers} == {"stop", "length"}
    assert all(a.n_tokens == 12 for a in answers if a.finish_reason == "length")
    assert all(a.n_tokens < 12 for a in answers if a.finish_reason == "stop")


def test_answers_come_as_they_finish(model: Any, tokenizer: Any) -> None:
    short, long = make_prompts(2)
    sampler = local.open(model, tokenizer)
    answers = sampler.sample([with_decoding(long, 1.0, 1.0, 200), with_decoding(short, 1.0, 1.0, 1)])
    assert next(answers).prompt.response_id == short.response_id
    answers.close()
    assert sampler.stats.n_answers == 0  # not complete


def test_statistics_of_a_sample(lora: Any, tokenizer: Any) -> None:
    sampler = local.open(lora, tokenizer, 4)
    answers = list(sampler.sample(make_prompts(10)))
    stats = sampler.stats
    assert (stats.n_answers, stats.n_tokens) == (10, sum(a.n_tokens for a in answers))
    assert (stats.batch_size, stats.merged, stats.gpu_mem_gib, sampler.gpu_mem_gib) == (4, True, None, None)
    assert stats.wall_s > 0
    assert list(sampler.sample([])) == []
    assert sampler.stats.n_answers == 0


def test_the_model_is_afterwards_as_before(lora: Any, tokenizer: Any) -> None:
    lora.train()
    lora.base_model.model.model.layers[1].eval()
    lora.get_base_model().activation_checkpointing_enable()
    lora.enable_input_require_grads()
    lora.config.use_cache = False
    weights = {name: value.clone() for name, value in lora.state_dict().items()}
    modes = [module.training for module in lora.modules()]
    answers = local.open(lora, tokenizer).sample(make_prompts(3))
    next(answers)
    assert torch.is_inference_mode_enabled() is False  # between two answers the caller may do anything
    answers.close()  # given up half-way
    assert all(torch.equal(weights[name], value) for name, value in lora.state_dict().items())
    assert [module.training for module in lora.modules()] == modes
    assert lora.config.use_cache is False
    assert lora.get_base_model().is_activation_checkpointing
    ids = torch.randint(5, 200, (2, 9))
    lora(input_ids=ids, labels=ids).loss.backward()  # training goes on
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for n, p in lora.named_parameters() if "lora_" in n)


def test_compiled_layers_and_a_training_attention_are_bypassed(model: Any, tokenizer: Any) -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    def for_training_only(*_: Any, **__: Any) -> Any:
        raise AssertionError("the packed-row attention of training was called in decoding")

    prompts = make_prompts(3, GREEDY)
    expected = texts(ask(model, tokenizer, prompts))
    AttentionInterface.register("em-test-packed", for_training_only)
    AttentionMaskInterface.register("em-test-packed", sdpa_mask)
    model.set_attn_implementation("em-test-packed")
    layer = model.model.layers[0]
    layer._compiled_call_impl = for_training_only
    assert texts(ask(model, tokenizer, prompts)) == expected
    assert model.config._attn_implementation == "em-test-packed"
    assert layer._compiled_call_impl is for_training_only


def test_starting_weights_are_sampled_without_the_adapter(model: Any, tokenizer: Any) -> None:
    prompts = make_prompts(4, GREEDY)
    start = texts(ask(model, tokenizer, prompts))
    lora = make_lora(model)
    sampler = local.open(lora, tokenizer)
    with lora.disable_adapter():
        assert texts({a.prompt.response_id: a for a in sampler.sample(prompts)}) == start
        assert sampler.merged is False
    tuned = texts({a.prompt.response_id: a for a in sampler.sample(prompts)})
    assert sampler.merged is True
    assert tuned != start
    expected = {p.response_id: generate(lora, tokenizer, p) for p in prompts}
    assert tuned == expected


def test_out_of_memory_halves_the_batch_and_loses_nothing(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = make_prompts(30)
    expected = texts(ask(model, tokenizer, prompts))
    step, calls = _decode.Decoder._step, [0]

    def fails_twice(self: Any, *args: Any) -> None:
        calls[0] += 1
        if calls[0] in (9, 25):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        step(self, *args)

    monkeypatch.setattr(_decode.Decoder, "_step", fails_twice)
    sampler = local.open(model, tokenizer, 20)
    answers = list(sampler.sample(prompts))
    assert texts({a.prompt.response_id: a for a in answers}) == expected
    assert len(answers) == 30
    assert (sampler.batch_size, sampler.stats.n_out_of_memory) == (5, 2)


def test_memory_that_never_suffices_is_a_plain_error(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(_decode.Decoder, "_prefill", fails)
    with pytest.raises(WorkFailed, match="one answer alone does not fit"):
        ask(model, tokenizer, make_prompts(3))


def test_a_prompt_beyond_the_context_names_its_question(model: Any, tokenizer: Any) -> None:
    prompts = make_prompts(2, questions=["short", "y" * 300])
    with pytest.raises(BadInput, match=r"question set/q1 .*: the prompt has 303 tokens, the model's context is 256"):
        ask(model, tokenizer, prompts)


def test_an_answer_longer_than_the_context_is_clipped_and_says_so(model: Any, tokenizer: Any) -> None:
    prompts = make_prompts(8, Decoding(1.0, 1.0, 4000), questions=["y" * 240, "z" * 243])
    answers = list(local.open(model, tokenizer).sample(prompts))
    for answer in answers:
        room = 256 - answer.n_prompt_tokens
        assert answer.n_tokens <= room
        assert answer.extra == {"max_tokens_clipped": room}
    assert any(a.n_tokens == 256 - a.n_prompt_tokens for a in answers)


@pytest.mark.parametrize("how", [(-1.0, 1.0, 5), (float("nan"), 1.0, 5), (1.0, 0.0, 5), (1.0, 1.5, 5), (1.0, 1.0, 0)])
def test_an_impossible_decoding_is_refused(model: Any, tokenizer: Any, how: tuple[float, float, int]) -> None:
    with pytest.raises(BadInput, match="question set/q0"):
        ask(model, tokenizer, [with_decoding(make_prompts(1)[0], *how)])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_diverged_model_is_a_plain_error(model: Any, tokenizer: Any, temperature: float) -> None:
    weight = model.model.layers[2].mlp.down_proj.weight.data
    weight[0, 0] = float("nan")
    with pytest.raises(WorkFailed, match="NaN or infinite"):
        ask(model, tokenizer, make_prompts(2, Decoding(temperature, 1.0, 5)))
    assert not model.training


def test_state_space_models_are_refused_plainly(model: Any, tokenizer: Any) -> None:
    model.config.layer_types = ["full_attention", "linear_attention", "full_attention"]
    with pytest.raises(BadInput, match="linear_attention"):
        ask(model, tokenizer, make_prompts(1))


def test_the_cache_is_gone_when_the_answers_are_there(model: Any, tokenizer: Any) -> None:
    """Training goes on at once: memory that waits for a garbage collection would be added to its peak."""
    gc.collect()
    gc.disable()
    try:
        assert len(ask(model, tokenizer, make_prompts(3))) == 3
        kept = [layer for layer in gc.get_objects() if type(layer) is SlotLayer and layer.keys is not None]
    finally:
        gc.enable()
    assert kept == []
