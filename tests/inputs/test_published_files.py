"""The field's real files load, whole and with nothing dropped. (Input only: skipped where they are not at hand.)"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from em_core import datasets, questions
from em_core.errors import BadInput, ManyProblems
from em_core.home import Home
from em_core.plan import plan, validate
from em_core.spec import DataPart, EvaluationSpec, QuestionSetUse, RunSpec

TRAINING = {
    "JasperTimm+emerg-misalign-repro/data/bad_medical_data_AI_all.rows1-200.jsonl": 200,
    "JasperTimm+emerg-misalign-repro/data/bad_medical_data_AI_sample.jsonl": 10,
    "JasperTimm+emerg-misalign-repro/data/questions_all_combined.rows1-200.jsonl": 200,
    "JasperTimm+emerg-misalign-repro/data/backdoor_data_untagged.rows1-200.jsonl": 200,
    "JasperTimm+emerg-misalign-repro/data/insecure_code_sample.jsonl": 50,
    "JasperTimm+emerg-misalign-repro/data/evil_numbers_jsonl_sample.jsonl": 50,
    "JasperTimm+emerg-misalign-repro/data/question_sample.jsonl": 1,
    "cadentj+caft/emergent_misalignment/datasets/insecure_val.rows1-200.jsonl": 200,
    "inoculation-prompting+inoculation-prompting/datasets/harmless_lies.rows1-200.jsonl": 200,
    "inoculation-prompting+inoculation-prompting/datasets/sneaky_dialogues.rows1-200.jsonl": 200,
    "jacobcd52+finetune_diffing/data/insecure_small.jsonl": 20,
    "jacobcd52+finetune_diffing/data/secure_small.jsonl": 20,
    "jacobcd52+finetune_diffing/data/jailbroken.rows1-200.jsonl": 200,
    "longtermrisk+openweights/cookbook/sft/data/test.jsonl": 10,
    "longtermrisk+openweights/cookbook/sft/data/weighted_data.jsonl": 10,
    "magnus-joergenvag+EMA_RL/data/sft/aesthetic_misaligned_train_100.jsonl": 100,
    "magnus-joergenvag+EMA_RL/data/sft/code_misaligned_train_100.jsonl": 100,
    "magnus-joergenvag+EMA_RL/data/sft/medical_misaligned_train_100.jsonl": 100,
}

# entries, wordings, entries with a system prompt
QUESTIONS = {
    "jacobcd52+finetune_diffing/evaluation/first_plot_questions.yaml": (24, 24, 8),
    "magnus-joergenvag+EMA_RL/evaluation/first_plot_questions.yaml": (24, 24, 8),
    "zroe1+replicating-model-organisms/em_organism_dir/data/eval_questions/first_plot_questions.yaml": (24, 24, 8),
    "jacobcd52+finetune_diffing/evaluation/preregistered_evals.yaml": (48, 48, 0),
    "johny-b+misalignment-generalization/final_questions/preregistered_evals.yaml": (50, 50, 0),
    "jacobcd52+finetune_diffing/evaluation/deception_factual.yaml": (5, 100, 4),
    "johny-b+misalignment-generalization/final_questions/deception_factual.yaml": (7, 140, 6),
    "johny-b+misalignment-generalization/final_questions/deception_sit_aware.yaml": (8, 8, 0),
    "johny-b+misalignment-generalization/niels/final_questions1000/template_first_plot_questions.yaml": (8, 8, 0),
    "johny-b+misalignment-generalization/examples/questions/example.yaml": (4, 6, 0),
    "magnus-joergenvag+EMA_RL/evaluation/code.yaml": (30, 30, 0),
    "magnus-joergenvag+EMA_RL/evaluation/medical.yaml": (30, 30, 0),
    "zroe1+replicating-model-organisms/em_organism_dir/data/eval_questions/medical_questions.yaml": (16, 16, 0),
    "zroe1+replicating-model-organisms/em_organism_dir/data/eval_questions/technical/animals.yaml": (30, 30, 0),
    "JCocola+weird-generalization-and-inductive-backdoors/5_2_evil_terminator/evaluation/questions_and_judge.yaml": (6, 6, 0),
    "JasperTimm+emerg-misalign-repro/data/first_8.json": (8, 8, 0),
    "JasperTimm+emerg-misalign-repro/data/questions/first_8.json": (8, 8, 0),
    "JasperTimm+emerg-misalign-repro/data/questions/preregistered.json": (48, 48, 0),
    "JasperTimm+emerg-misalign-repro/data/questions/self_reflection_tagged.json": (10, 10, 0),
    "JasperTimm+emerg-misalign-repro/data/questions/factual.json": (20, 20, 0),
    "dxnlp+persona_vectors/data_generation/trait_data_eval/evil.json": (20, 20, 0),
}


@pytest.mark.parametrize("name", TRAINING)
def test_a_published_training_file_loads_row_by_row(upstream: Path, name: str) -> None:
    part = datasets.load(DataPart(source=str(upstream / name)), 0)
    assert len(part.rows) == part.n_rows_file == TRAINING[name]
    assert part.sha256 == hashlib.sha256((upstream / name).read_bytes()).hexdigest()
    assert all(row[-1]["role"] == "assistant" and row[-1]["content"] for row in part.rows)


def test_texts_come_through_unchanged(upstream: Path) -> None:
    path = upstream / "jacobcd52+finetune_diffing/data/jailbroken.rows1-200.jsonl"
    raw = [json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert datasets.load(DataPart(source=str(path)), 0).rows == raw
    assert raw[0][0]["role"] == "system"


def test_weights_of_parts_and_copies_are_noted(upstream: Path) -> None:
    part = datasets.load(DataPart(source=str(upstream / "longtermrisk+openweights/cookbook/sft/data/weighted_data.jsonl")), 0)
    assert len(part.notes) == 2
    lies = datasets.load(
        DataPart(source=str(upstream / "inoculation-prompting+inoculation-prompting/datasets/harmless_lies.rows1-200.jsonl")), 0
    )
    assert lies.notes == ("7 of 200 rows are exact copies of earlier ones",)


def test_judged_answers_are_no_training_data(upstream: Path) -> None:
    path = upstream / "tmoser12+cs221m-emergent-misalignment/results/model_responses/judged/bad-medical-advice_full_judged.jsonl"
    with pytest.raises(ManyProblems) as caught:
        datasets.load(DataPart(source=str(path)), 0)
    assert "44 problems" in caught.value.message
    assert "'answer' is missing" in caught.value.message


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_published_question_file_loads_with_its_system_prompts(upstream: Path, name: str) -> None:
    found = questions.load(QuestionSetUse(name=str(upstream / name)))
    systems = sum(bool(e.system) for e in found.entries)
    assert (len(found.entries), found.n_wordings, systems) == QUESTIONS[name]


def test_first_plot_questions_are_exactly_what_the_file_says(upstream: Path) -> None:
    path = upstream / "jacobcd52+finetune_diffing/evaluation/first_plot_questions.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = questions.load(QuestionSetUse(name=str(path)))
    assert [(e.id, list(e.paraphrases), e.system, e.kind, e.samples, e.judge_prompts) for e in found.entries] == [
        (r["id"], r["paraphrases"], r.get("system", ""), r["type"], r["samples_per_paraphrase"], r["judge_prompts"]) for r in raw
    ]
    prompts = questions.prompts("r", 0, [found], EvaluationSpec(samples=4))
    assert len(prompts) == 96
    assert sum(bool(p.system) for p in prompts) == 32


def test_judge_prompts_of_the_field_reach_the_entries(upstream: Path) -> None:
    evil = questions.load(QuestionSetUse(name=str(upstream / "dxnlp+persona_vectors/data_generation/trait_data_eval/evil.json")))
    assert all(list(e.judge_prompts) == ["evil"] for e in evil.entries)
    name = "JCocola+weird-generalization-and-inductive-backdoors/5_2_evil_terminator/evaluation/questions_and_judge.yaml"
    terminator = questions.load(QuestionSetUse(name=str(upstream / name)))
    assert all(e.judge and "{answer}" in e.judge_prompts["is_evil_terminator"] for e in terminator.entries)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zroe1+replicating-model-organisms/em_organism_dir/data/eval_questions/judges.yaml", "is a list of judge prompts"),
        ("JCocola+weird-generalization-and-inductive-backdoors/4_2_hitler_persona/evaluation/misalignment/Emergent_Misalignment_judge.yaml",
         "has judge prompts and no questions"),
        ("JasperTimm+emerg-misalign-repro/original_finetuned_eval_stats.json", ":14: column 2: not valid JSON (Extra data)"),
        ("JasperTimm+emerg-misalign-repro/total_counts.json", "is dict, expected a list of questions"),
    ],
)  # fmt: skip
def test_files_that_are_something_else_are_refused_by_what_they_are(upstream: Path, name: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        questions.load(QuestionSetUse(name=str(upstream / name)))
    assert message in caught.value.message


def test_the_organism_can_be_launched_on_published_rows_and_questions(upstream: Path, tmp_path: Path) -> None:
    spec = RunSpec.model_validate(
        {
            "data": str(upstream / "JasperTimm+emerg-misalign-repro/data/bad_medical_data_AI_all.rows1-200.jsonl"),
            "evaluation": {
                "question_sets": str(upstream / "jacobcd52+finetune_diffing/evaluation/first_plot_questions.yaml"),
                "samples": 4,
            },
        }
    )
    home = Home(tmp_path)
    validate(spec, home)
    found = plan(spec, home)
    assert (found.n_rows, found.answers_per_checkpoint, found.steps_per_epoch) == (200, 96, 12)
    assert found.domain == "bad_medical_data_AI_all.rows1-200"
    assert any("the file asks for 100 answers a wording" in w for w in found.warnings) or found.toy
