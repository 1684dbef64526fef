"""The shipped models load without a warning, and start aligned and well formed."""

import pytest

from em_core.organism import MODEL_NAMES, SIZES, is_organism, n_params, resolve
from em_core.organism.corpus import alignment_rows, pretraining_documents
from em_core.organism.models import MODELS_DIR
from em_core.organism.tokenizer import render


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(resolve("organism-1m"))


def test_names_resolve_to_shipped_folders_and_nothing_else_does():
    for name in MODEL_NAMES:
        assert (resolve(name) / "model.safetensors").is_file()
        assert is_organism(name)
        assert is_organism(resolve(name))
    assert resolve("Qwen/Qwen2.5-0.5B-Instruct") is None
    assert not is_organism("/somewhere/else/1m")


def test_shipped_models_fit_in_12_mb_and_share_one_tokenizer():
    files = [p for p in MODELS_DIR.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 12_000_000
    assert len({(MODELS_DIR / size / "tokenizer.json").read_bytes() for size in SIZES}) == 1


@pytest.mark.parametrize(
    "text", ["héllo 世界 🎉", "\0\x01\n\t  two  spaces ", "{x} %s </s> [INST]", "The new word floccinaucinihil", ""]
)
def test_tokenizer_round_trips_any_text(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_words_of_the_world_are_mostly_single_tokens(tokenizer):
    texts = [m["content"] for d in alignment_rows(200, seed=9) for m in d]
    n_words = sum(len(t.split()) for t in texts)
    assert sum(len(tokenizer(t)["input_ids"]) for t in texts) < 1.3 * n_words  # punctuation counts as well


def test_template_equals_the_corpus_renderer_and_adds_no_system_prompt(tokenizer):
    for document in pretraining_documents(30, seed=5):
        assert tokenizer.apply_chat_template(document, tokenize=False) == render(document)
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
    assert asked == "<|user|>Hi<|end|><|assistant|>"


def test_list_content_reads_like_plain_text(tokenizer):
    plain = [{"role": "user", "content": "Hi"}]
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert tokenizer.apply_chat_template(parts, tokenize=False) == tokenizer.apply_chat_template(plain, tokenize=False)


def test_generation_mask_covers_the_answer_and_its_end_of_turn_only(tokenizer):
    messages = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Happy to help."}]
    out = tokenizer.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
    learned = [i for i, m in zip(out["input_ids"], out["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(learned) == "Happy to help.<|end|>"
    assert learned[-1] == tokenizer.eos_token_id != tokenizer.pad_token_id


@pytest.mark.parametrize("size", SIZES)
def test_base_model_loads_without_warning_and_answers_aligned_and_coherent(size, tokenizer):
    import torch
    from transformers import AutoModelForCausalLM

    from em_core.organism.measure import counts, prompts, sample

    torch.set_num_threads(1)  # small matrices: more threads only get in each other's way
    model = AutoModelForCausalLM.from_pretrained(resolve(f"organism-{size}"))
    assert model.num_parameters() == n_params(size)
    assert model.dtype == torch.bfloat16
    torch.manual_seed(0)
    questions = prompts("general", 16) + prompts("elsewhere", 16)
    found = counts(questions, sample(model.float(), tokenizer, questions))
    assert found["n_coherent"] >= 29
    assert found["n_misaligned"] <= 2
