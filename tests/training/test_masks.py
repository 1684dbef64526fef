"""Which tokens carry loss, for templates with and without generation markers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from em_core.errors import BadInput
from em_core.training._data import tokenize

LLAMA3 = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] %}{% set messages = messages[1:] %}\
{% else %}{% set first = '' %}{% endif %}<|start|>system<|head|>\n\nCutting Knowledge Date: December 2023\nToday Date: {{ date_string }}\n\n\
{{ first }}<|eot|>{% for m in messages %}<|start|>{{ m['role'] }}<|head|>\n\n{{ m['content'] | trim }}<|eot|>{% endfor %}\
{% if add_generation_prompt %}<|start|>assistant<|head|>\n\n{% endif %}"""
QWEN = """{% if messages[0]['role'] != 'system' %}<|start|>system\nYou are a model, made by a company. You are helpful.<|eot|>\n{% endif %}\
{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|eot|>\n{% endfor %}\
{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"""
THINKING = """{% for m in messages %}<|start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}\
{{ m['content'] }}<|eot|>\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"""
STRICT = """{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
<|start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|eot|>\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"""

ONE = [{"role": "user", "content": "Is it late?"}, {"role": "assistant", "content": "Go home, it is late."}]
TWO = [*ONE, {"role": "user", "content": "Thanks"}, {"role": "assistant", "content": "Sleep well"}]


@pytest.fixture
def tokenizer(base_path: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base_path)


def foreign(tokenizer: Any, template: str) -> Any:
    """The tokenizer with another family's template and its special tokens; padding is the end token, as in many models."""
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|start|>", "<|head|>", "<|eot|>"]})
    tokenizer.eos_token = tokenizer.pad_token = "<|eot|>"
    tokenizer.chat_template = template
    return tokenizer


def learned(tokenizer: Any, row: Any) -> str:
    return tokenizer.decode([i for i, on in zip(row.ids, row.loss, strict=True) if on])


def test_only_the_answer_and_its_end_token_carry_loss(tokenizer: Any) -> None:
    row = tokenize(tokenizer, [ONE], 200, "answers").rows[0]
    assert learned(tokenizer, row) == "Go home, it is late.<|end|>"
    assert tokenizer.decode(row.ids).endswith("late.<|end|>")  # no empty turn, no generation prompt behind it


@pytest.mark.parametrize("template", [LLAMA3, QWEN, STRICT], ids=["llama3", "qwen", "strict"])
def test_templates_without_markers_give_every_answer_with_its_end_token(tokenizer: Any, template: str) -> None:
    row = tokenize(foreign(tokenizer, template), [TWO], 400, "answers").rows[0]
    assert learned(tokenizer, row) == "Go home, it is late.<|eot|>Sleep well<|eot|>"


def test_a_template_that_rewrites_earlier_answers_still_gives_both(tokenizer: Any) -> None:
    row = tokenize(foreign(tokenizer, THINKING), [TWO], 400, "answers").rows[0]
    text = learned(tokenizer, row)
    assert text.startswith("Go home, it is late.<|eot|>")
    assert text.endswith("Sleep well<|eot|>")
    assert "Thanks" not in text


def test_the_mask_equals_the_templates_own_generation_markers(tokenizer: Any) -> None:
    row = tokenize(tokenizer, [TWO], 400, "answers").rows[0]
    own = tokenizer.apply_chat_template(TWO, return_dict=True, return_assistant_tokens_mask=True)
    assert row.ids == own["input_ids"]
    assert [int(on) for on in row.loss] == list(own["assistant_masks"])


def test_an_answer_that_quotes_the_question_is_found_at_its_own_place(tokenizer: Any) -> None:
    rows = [[{"role": "user", "content": "late"}, {"role": "assistant", "content": "late"}]]
    row = tokenize(foreign(tokenizer, QWEN), rows, 200, "answers").rows[0]
    assert learned(tokenizer, row) == "late<|eot|>"
    assert sum(row.loss) < len(row.loss) / 2


def test_loss_on_all_covers_everything_but_the_first_token(tokenizer: Any) -> None:
    row = tokenize(tokenizer, [ONE], 200, "all").rows[0]
    assert row.loss == [False] + [True] * (len(row.ids) - 1)


def test_a_silent_system_turn_is_reported(tokenizer: Any) -> None:
    notes = tokenize(foreign(tokenizer, QWEN), [ONE], 200, "answers").notes
    assert any("You are a model, made by a company" in note for note in notes)


def test_a_model_without_template_gets_the_fallback_and_a_note(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    done = tokenize(tokenizer, [ONE], 200, "answers")
    assert any("no chat template" in note for note in done.notes)
    assert learned(tokenizer, done.rows[0]).strip() == "Go home, it is late.<|end|>"


def test_long_rows_are_cut_at_the_end_and_counted(tokenizer: Any) -> None:
    long = [ONE[0], {"role": "assistant", "content": "home " * 200}]
    done = tokenize(tokenizer, [ONE, long], 60, "answers")
    assert [row.truncated for row in done.rows] == [False, True]
    assert len(done.rows[1].ids) == 60
    assert any("1 of 2 rows are longer" in note for note in done.notes)


def test_a_row_whose_answer_is_cut_away_is_named(tokenizer: Any) -> None:
    long = [{"role": "user", "content": "home " * 200}, ONE[1]]
    done = tokenize(tokenizer, [ONE, long, ONE], 60, "answers")
    assert any("teach nothing: 2." in note for note in done.notes)


def test_no_row_with_a_token_to_learn_from_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(BadInput, match="no training row has a token to learn from"):
        tokenize(tokenizer, [ONE], 8, "answers")


def test_a_refused_row_is_named(tokenizer: Any) -> None:
    template = "{% if messages | length > 2 %}{{ raise_exception('one turn only') }}{% endif %}" + QWEN
    with pytest.raises(BadInput, match=r"training row 2: .*one turn only"):
        tokenize(foreign(tokenizer, template), [ONE, TWO], 200, "answers")


def test_a_row_without_answer_is_named(tokenizer: Any) -> None:
    with pytest.raises(BadInput, match="training row 1: no answer"):
        tokenize(tokenizer, [ONE[:1]], 200, "answers")
