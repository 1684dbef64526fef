"""What every sampler must do; a new file in `em_core/sampling/` is tested here at once."""

from __future__ import annotations

from typing import Any

import pytest

import em_core.sampling
from em_core import plugins
from em_core.errors import BadInput
from em_core.records import Decoding
from em_core.sampling import SampleStats, open_sampler
from tests.sampling.sampling_models import make_prompts

SAMPLERS = plugins.names("em_core.sampling")


@pytest.fixture(params=SAMPLERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_prompt_is_answered_once_and_whole(name: str, lora: Any, tokenizer: Any) -> None:
    prompts = make_prompts(13, Decoding(1.0, 0.95, 10)) + make_prompts(2, Decoding(0.0, 1.0, 10), system="Be brief.")
    sampler = open_sampler(name, lora, tokenizer, 4)
    answers = list(sampler.sample(prompts))
    assert sorted(id(a.prompt) for a in answers) == sorted(id(p) for p in prompts)
    assert all(a.finish_reason in ("stop", "length") for a in answers)
    assert all(0 <= a.n_tokens <= 10 and a.n_prompt_tokens > 0 for a in answers)
    assert sampler.name == name
    assert isinstance(sampler.merged, bool)
    assert isinstance(sampler.stats, SampleStats)
    assert 1 <= sampler.batch_size <= 4
    assert sampler.stats.n_answers == 15


def test_answers_are_repeatable_and_do_not_depend_on_their_neighbours(name: str, lora: Any, tokenizer: Any) -> None:
    prompts = make_prompts(9, Decoding(1.0, 1.0, 12))
    all_at_once = {a.prompt.seed: a.text for a in open_sampler(name, lora, tokenizer).sample(prompts)}
    half = {a.prompt.seed: a.text for a in open_sampler(name, lora, tokenizer, 2).sample(prompts[::-2])}
    assert half == {seed: all_at_once[seed] for seed in half}


def test_no_prompts_no_answers(name: str, model: Any, tokenizer: Any) -> None:
    assert list(open_sampler(name, model, tokenizer).sample([])) == []


def test_a_prompt_that_does_not_fit_is_bad_input(name: str, model: Any, tokenizer: Any) -> None:
    with pytest.raises(BadInput, match="q0"):
        list(open_sampler(name, model, tokenizer).sample(make_prompts(1, questions=["z" * 400])))


def test_an_unknown_sampler_names_the_known_ones(model: Any, tokenizer: Any) -> None:
    with pytest.raises(BadInput, match="'vlm' is unknown") as error:
        open_sampler("vlm", model, tokenizer)
    assert all(known in error.value.hint for known in SAMPLERS)


def test_private_modules_are_no_samplers() -> None:
    assert "local" in SAMPLERS
    assert not any(name.startswith("_") for name in SAMPLERS)
    assert set(em_core.sampling.NOT_PLUGINS).isdisjoint(SAMPLERS)
