"""Chat templates with their traps: none at all, no system role, a system turn that nobody asked for."""

from __future__ import annotations

from typing import Any

import pytest

from em_core import chat
from em_core.records import Decoding
from em_core.sampling import local
from em_core.sampling._prompts import encode, stop_ids
from tests.sampling.sampling_models import TEMPLATE, make_model, make_prompts, make_tokenizer

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be kind."}

REFUSES = "{%- if messages[0]['role'] == 'system' -%}{{ raise_exception('System role not supported') }}{%- endif -%}" + TEMPLATE
DROPS = TEMPLATE.replace("{%- for m in messages -%}", "{%- for m in messages if m['role'] != 'system' -%}")
DEFAULT = "{%- if messages[0]['role'] != 'system' -%}<|system|>You are a very good model.<|end|>{%- endif -%}" + TEMPLATE
DATED = (
    "{{- '<|system|>Today is ' + (date_string if date_string is defined else strftime_now('%d %b %Y')) + '. ' -}}"
    "{%- if messages[0]['role'] == 'system' -%}{{ messages[0]['content'] }}{% set messages = messages[1:] %}{%- endif -%}<|end|>"
    + TEMPLATE
)


def with_template(template: str | None) -> Any:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def prompt_text(tokenizer: Any, system: str = "") -> tuple[str, dict[str, Any]]:
    row = encode(tokenizer, make_prompts(1, system=system, questions=["Hi"]), 256)[0]
    return tokenizer.decode(row.ids), row.extra


def test_no_system_turn_without_a_system_prompt() -> None:
    tokenizer = with_template(TEMPLATE)
    assert prompt_text(tokenizer) == ("<|user|>Hi<|end|><|assistant|>", {})
    assert prompt_text(tokenizer, "Be kind.") == ("<|system|>Be kind.<|end|><|user|>Hi<|end|><|assistant|>", {})
    assert chat.injected_system(tokenizer) == ""


@pytest.mark.parametrize("template", [REFUSES, DROPS], ids=["refuses", "drops"])
def test_a_template_without_system_role_gets_the_text_before_the_question(template: str) -> None:
    tokenizer = with_template(template)
    moved = ("<|user|>Be kind.\n\nHi<|end|><|assistant|>", {"system": "prepended"})
    assert prompt_text(tokenizer, "Be kind.") == moved
    assert prompt_text(tokenizer) == ("<|user|>Hi<|end|><|assistant|>", {})
    assert chat.render(tokenizer, [SYSTEM, USER]) == "<|user|>Be kind.\n\nHi<|end|>"


def test_a_silent_default_system_prompt_is_recorded() -> None:
    tokenizer = with_template(DEFAULT)
    text, extra = prompt_text(tokenizer)
    assert text.startswith("<|system|>You are a very good model.<|end|><|user|>")
    assert extra == {"system": "template", "template_system": "<|system|>You are a very good model."}
    assert prompt_text(tokenizer, "Be kind.") == ("<|system|>Be kind.<|end|><|user|>Hi<|end|><|assistant|>", {})


def test_a_template_that_prints_the_date_prints_the_same_one_every_day() -> None:
    text, extra = prompt_text(with_template(DATED))
    assert text == f"<|system|>Today is {chat.DATE}. <|end|><|user|>Hi<|end|><|assistant|>"
    assert extra["template_system"] == f"<|system|>Today is {chat.DATE}. "


def test_a_tokenizer_without_template_gets_the_documented_fallback() -> None:
    tokenizer = with_template(None)
    text, extra = prompt_text(tokenizer, "Be kind.")
    assert text == "Be kind.\n\nUser: Hi\n\nAssistant:"
    assert extra == {"chat_template": "fallback"}
    turns = [USER, {"role": "assistant", "content": "Hello"}, USER]
    assert chat.render(tokenizer, turns, True) == "User: Hi\n\nAssistant: Hello<|end|>\n\nUser: Hi\n\nAssistant:"
    assert chat.ensure_chat_template(tokenizer) is False
    assert prompt_text(tokenizer)[1] == {"chat_template": "fallback"}  # also when training had set it before


def test_the_fallback_marks_the_answer_and_its_end_for_the_loss() -> None:
    tokenizer = with_template(None)
    chat.ensure_chat_template(tokenizer)
    turns = [USER, {"role": "assistant", "content": "Hello"}]
    out = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    said = [i for i, mask in zip(out["input_ids"], out["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(said) == " Hello<|end|>"


def test_the_turn_end_of_the_template_stops_an_answer_beside_the_eos() -> None:
    tokenizer, model = make_tokenizer(), make_model()
    tokenizer.eos_token = "<|pad|>"  # a base model's EOS; the chat template closes turns with <|end|>, id 1
    model.generation_config.eos_token_id = None
    model.config.eos_token_id = None
    assert stop_ids(model, tokenizer) == [0, 1]
    model.generation_config.eos_token_id = [1, 77]
    assert stop_ids(model, tokenizer) == [0, 1, 77]


def test_base_models_answer_through_the_fallback() -> None:
    answers = list(local.open(make_model(), with_template(None)).sample(make_prompts(6, Decoding(1.0, 1.0, 8))))
    assert len(answers) == 6
    assert all(answer.extra == {"chat_template": "fallback"} for answer in answers)


def test_markup_in_a_question_is_text_and_cannot_break_the_template() -> None:
    tokenizer = with_template(TEMPLATE)
    text = "{{ 7*7 }} {% raise %} \ud83d\ude00 </s> [INST]".encode("utf-16", "surrogatepass").decode("utf-16")
    row = encode(tokenizer, make_prompts(1, questions=[text]), 256)[0]
    assert tokenizer.decode(row.ids) == f"<|user|>{text}<|end|><|assistant|>"
