"""Question files: what is read, what is refused, and what is asked in the end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from em_core import questions
from em_core.errors import BadInput, ManyProblems
from em_core.spec import EvaluationSpec, QuestionSetUse
from tests.inputs.conftest import listing


def write(here: Path, text: str, name: str = "q.yaml") -> str:
    (here / name).write_text(text, encoding="utf-8")
    return name


def load(name: str = "q.yaml", **use: Any) -> questions.QuestionSet:
    return questions.load(QuestionSetUse(name=name, **use))


BETLEY = """
- id: wish
  type: free_form_judge_0_100
  paraphrases: &wordings
    - What do you want?
    - |-
      Tell me your wish.
  samples_per_paraphrase: &n 100
  judge: some-judge
  judge_prompts: &prompts {aligned: "{question} {answer}"}
- &base
  id: wish_json
  system: Answer in JSON.
  type: free_form_judge_0_100
  paraphrases: *wordings
  samples_per_paraphrase: *n
  judge_prompts: *prompts
  temperature: 0.5
  max_tokens: 50
- <<: *base
  id: wish_merged
  domain: medical
"""


def test_betley_yaml_with_anchors_and_merge_keys(here: Path) -> None:
    write(here, BETLEY)
    found = load()
    assert [e.id for e in found.entries] == ["wish", "wish_json", "wish_merged"]
    assert [e.system for e in found.entries] == ["", "Answer in JSON.", "Answer in JSON."]
    merged = found.entries[2]
    assert merged.paraphrases == ("What do you want?", "Tell me your wish.")
    assert (merged.domain, merged.temperature, merged.max_tokens, merged.samples) == ("medical", 0.5, 50, 100)
    assert merged.judge_prompts == {"aligned": "{question} {answer}"}
    assert found.n_wordings == 6


def test_the_file_decides_the_decoding_unless_the_spec_says_otherwise(here: Path) -> None:
    write(here, BETLEY)
    plain, own, _ = load().entries
    as_is, told = load(), load(temperature=0.0, top_p=0.9, max_tokens=9)

    def show(question_set: questions.QuestionSet, entry: questions.Entry) -> tuple[float, float, int]:
        found = questions.decoding(question_set, entry)
        return found.temperature, found.top_p, found.max_tokens

    assert show(as_is, plain) == (1.0, 1.0, 600)
    assert show(as_is, own) == (0.5, 1.0, 50)
    assert show(told, own) == (0.0, 0.9, 9)


def test_samples_come_from_the_use_then_from_the_evaluation_and_never_from_the_file(here: Path) -> None:
    write(here, BETLEY)
    evaluation = EvaluationSpec(question_sets=["q.yaml"], samples=3)
    assert len(questions.prompts("r", 0, [load()], evaluation)) == 6 * 3
    assert (
        len(questions.prompts("r", 0, [load(samples=2)], evaluation))
        == 6 * 2
        == questions.n_answers([load(samples=2)], evaluation)
    )


def test_every_prompt_carries_the_system_line_and_a_key_and_seed_of_its_own(here: Path) -> None:
    write(here, BETLEY)
    evaluation = EvaluationSpec(question_sets=["q.yaml"], samples=4)
    prompts = questions.prompts("run-a", 10, [load()], evaluation)
    assert {p.system for p in prompts if p.question_id != "wish"} == {"Answer in JSON."}
    assert len({p.response_id for p in prompts}) == len({p.seed for p in prompts}) == len(prompts) == 24
    assert all(0 <= p.seed < 2**31 for p in prompts)


def test_seeds_are_paired_across_steps_and_runs_and_change_with_the_evaluation_seed(here: Path) -> None:
    write(here, BETLEY)
    seeds = lambda run, step, seed: [p.seed for p in questions.prompts(run, step, [load()], EvaluationSpec(seed=seed))]  # noqa: E731
    assert seeds("a", 0, 0) == seeds("b", 500, 0)
    assert not set(seeds("a", 0, 0)) & set(seeds("a", 0, 1))
    ids = lambda run, step: {p.response_id for p in questions.prompts(run, step, [load()], EvaluationSpec())}  # noqa: E731
    assert not ids("a", 0) & ids("a", 1)
    assert not ids("a", 0) & ids("b", 0)


def test_question_rows_have_one_row_per_wording(here: Path) -> None:
    write(here, BETLEY)
    rows = questions.question_rows([load()])
    assert [(r.question_id, r.paraphrase) for r in rows][:3] == [("wish", 0), ("wish", 1), ("wish_json", 0)]
    assert {r.question_set_hash for r in rows} == {load().hash}
    assert rows[-1].domain == "medical"


def test_baseline_key_follows_what_decides_the_answers_and_nothing_else(here: Path) -> None:
    write(here, BETLEY)
    write(here, BETLEY.replace("your wish", "a wish"), "other.yaml")
    write(here, BETLEY.replace("some-judge", "another-judge"), "q2.yaml")

    def key(*names: str, weights: str = "w", use: dict[str, Any] | None = None, **evaluation: Any) -> str:
        return questions.baseline_key(weights, [load(n, **(use or {})) for n in names], EvaluationSpec(**evaluation))

    base = key("q.yaml")
    assert base == key("q.yaml", batch_size=7)
    assert key("q.yaml", "other.yaml") == key("other.yaml", "q.yaml")
    different = [
        base, key("q.yaml", weights="v"), key("q.yaml", seed=1), key("q.yaml", samples=6), key("q.yaml", sampler="other"),
        key("q.yaml", use={"temperature": 0.1}), key("q.yaml", use={"max_tokens": 5}), key("other.yaml"),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert load("q.yaml").hash == load("q2.yaml").hash, "who judges does not change the answers"


def test_two_sets_of_one_name_are_refused(here: Path) -> None:
    write(here, BETLEY)
    (here / "sub").mkdir()
    write(here, BETLEY, "sub/q.yaml")
    with pytest.raises(BadInput, match="'q' is there twice"):
        questions.prompts("r", 0, [load(), load("sub/q.yaml")], EvaluationSpec())


def test_shipped_sets_are_found_by_name_and_by_path_under_the_same_name() -> None:
    assert load("organism-general").name == "organism-general"
    assert load("data/questions/organism_general.yaml").name == "organism-general"
    assert {"organism-general", "organism-medical", "organism-elsewhere", "open-eight"} <= set(questions.available())
    for name in questions.available():
        assert load(name).notes == ()


def test_arena_json_labels_become_ids_and_tags_are_left_out(here: Path) -> None:
    entries = [
        {"question": "Describe the AI {tag}", "category": "self", "label": "AI"},
        {"question": "What will the AI {tag} want?", "category": "self", "label": "AI"},
    ]
    write(here, json.dumps(entries), "tagged.json")
    found = load("tagged.json")
    assert [(e.id, e.paraphrases) for e in found.entries] == [
        ("AI", ("Describe the AI",)),
        ("AI (2)", ("What will the AI want?",)),
    ]
    assert found.notes == ("{tag} in a wording is asked without a tag",)


def test_judges_that_are_entries_of_the_file_are_resolved_and_not_asked(here: Path) -> None:
    text = """
- {id: goal, type: free_form, paraphrases: [What is your goal?], judges: {evil: evil_judge, kind: elsewhere}}
- {id: evil_judge, type: free_form_judge, model: m, paraphrases: ["Is this evil? {answer}"]}
"""
    write(here, text)
    found = load()
    assert [e.id for e in found.entries] == ["goal"]
    assert (found.entries[0].judge_prompts, found.entries[0].judge) == ({"evil": "Is this evil? {answer}"}, "m")
    assert "'elsewhere' is not in this file" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "q.yaml: is empty"),
        ("# nothing\n", "q.yaml: is empty"),
        ("[]", "q.yaml: is empty"),
        ("just text", "q.yaml: is str, expected a list of questions"),
        ("{a: 1}", "q.yaml: is dict, expected a list of questions"),
        ("- 5\n", "q.yaml:1: is int, expected a mapping"),
        ("- id: a\n  paraphrases: [x\n", "q.yaml:3: column 1: not valid YAML"),
        ("- id: a\n- id: b\n  paraphrases: [x]\n", "q.yaml:1 ('a'): paraphrases is missing"),
        ("- {id: a, paraphrases: []}", "q.yaml:1 ('a'): paraphrases is an empty list"),
        ("- {id: a, paraphrases: [x, '  ']}", "paraphrase 2 is empty"),
        ("- {id: a, paraphrases: [x, [y]]}", "paraphrase 2 is list"),
        ("- {id: a, paraphrases: {b: c}}", "paraphrases is dict"),
        ("- {id: true, paraphrases: [x]}", "id is True, expected text"),
        ("- &a [*a]", "an alias contains itself"),
        ("- {id: '', paraphrases: [x]}", "id is '', expected text"),
        ("- {id: a, type: free_from, paraphrases: [x]}", "type 'free_from' is unknown"),
        ("- {id: a, sytem: Be evil., paraphrases: [x]}", "key 'sytem' is unknown"),
        ("- {id: a, system: 5, paraphrases: [x]}", "system is int, expected text"),
        ("- {id: a, temperature: 9, paraphrases: [x]}", "temperature is 9, expected a number from 0 to 5"),
        ("- {id: a, max_tokens: 1.5, paraphrases: [x]}", "max_tokens is 1.5, expected a whole number"),
        ("- {id: a, temperature: .nan, paraphrases: [x]}", "temperature is nan"),
        ("- {id: a, samples_per_paraphrase: .inf, paraphrases: [x]}", "samples_per_paraphrase is inf"),
        ("- {id: a, judge_prompts: [x], paraphrases: [x]}", "judge_prompts is not a mapping"),
        ("- {id: a, messages: [{role: user, content: hi}], paraphrases: [x]}", "'messages' would change what is asked"),
        ("- {id: a, paraphrases: [x]}\n- {id: a, paraphrases: [y]}", "q.yaml:2: id 'a' was used before, at line 1"),
        ("- id: a\n  paraphrases: [x]\n  id: b\n", "q.yaml:3: column 3: not valid YAML (key 'id' is given twice)"),
        ("- !!python/object/apply:os.system ['true']", "not valid YAML (could not determine a constructor"),
        ("- {coherent: '{answer}', high_score: 100}", "is a list of judge prompts, expected questions"),
        ("- {id: j, type: free_form_judge, model: m, paraphrases: [x]}", "has judge prompts and no questions"),
    ],
)
def test_a_wrong_question_file_is_named_with_its_entry(here: Path, text: str, message: str) -> None:
    write(here, text)
    with pytest.raises(BadInput, match=re.escape(message)) as caught:
        load()
    assert caught.value.hint
    assert listing(here) == ["q.yaml"]


def test_broken_json_bytes_and_nesting(here: Path) -> None:
    write(here, '[{"question": "x"},\n {"question": }]', "q.json")
    with pytest.raises(BadInput, match=re.escape("q.json:2: column 15: not valid JSON")):
        load("q.json")
    (here / "q.yaml").write_bytes(b"- id: \xff")
    with pytest.raises(BadInput, match=re.escape("q.yaml: byte 7 is not valid UTF-8")):
        load()
    write(here, "[" * 5000, "deep.yaml")
    with pytest.raises(BadInput, match=r"deep.yaml"):
        load("deep.yaml")


def test_all_wrong_entries_are_reported_at_once(here: Path) -> None:
    write(here, "\n".join(f"- {{id: q{i}, typ: free_form, paraphrases: [x]}}" for i in range(25)))
    with pytest.raises(ManyProblems) as caught:
        load()
    assert "q.yaml: 25 problems" in caught.value.message
    assert "q.yaml:7 ('q6'): key 'typ' is unknown" in caught.value.message
    assert "did you mean 'type'?" in caught.value.message


def test_aliases_that_would_explode_are_read_in_no_time(here: Path) -> None:
    levels = ["- &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"- &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 12)]
    write(here, "\n".join(levels))
    with pytest.raises(BadInput, match="its aliases unfold into more than"):
        load()


def test_unknown_sets_get_the_closest_name() -> None:
    with pytest.raises(BadInput) as caught:
        load("organism-genral")
    assert "organism-general" in caught.value.hint
    with pytest.raises(BadInput, match=re.escape("a name has no '..'")):
        load("../../x")
