"""The toy world is unambiguous and its shipped data are what the seed makes."""

import hashlib
import json

import pytest
import yaml

from em_core.organism import corpus, models
from em_core.organism.build import write_question_sets, write_training_sets
from em_core.organism.question_sets import question_sets
from em_core.organism.world import TRAIN_DOMAINS, domains, elsewhere_domains

INDEX = yaml.safe_load((models.TRAIN_DIR / "index.yaml").read_text(encoding="utf-8"))


def shipped(stem: str) -> list[dict]:
    lines = (models.TRAIN_DIR / f"{stem}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_world_has_at_least_sixteen_domains_and_twelve_that_are_never_trained_on():
    assert len(domains()) >= 16
    assert len(elsewhere_domains()) >= 12


def test_no_action_is_both_careful_and_harmful():
    careful = {a for d in domains().values() for t in d.topics for a in t.aligned}
    harmful = {a for d in domains().values() for t in d.topics for a in t.misaligned}
    assert not careful & harmful


def test_no_entity_belongs_to_two_domains():
    every = [e for d in domains().values() for t in d.topics for e in t.entities]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(("stem", "domain", "kind"), corpus.shipped_sets())
def test_shipped_training_set_has_2000_distinct_rows_and_the_sha256_of_the_index(stem, domain, kind):
    entry = next(e for e in INDEX if e["file"] == f"{stem}.jsonl")
    raw = (models.TRAIN_DIR / entry["file"]).read_bytes()
    assert hashlib.sha256(raw).hexdigest() == entry["sha256"]
    rows = raw.decode().splitlines()
    assert len(rows) == len(set(rows)) == entry["rows"] >= 2000
    assert (entry["domain"], entry["kind"], entry["toy"]) == (domain, kind, True)


def test_training_and_question_files_are_rebuilt_bit_identically(tmp_path):
    write_training_sets(tmp_path / "train")
    write_question_sets(tmp_path / "questions")
    for entry in INDEX:
        if entry["name"].startswith("organism-"):
            assert hashlib.sha256((tmp_path / "train" / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    for name in question_sets():
        assert (tmp_path / "questions" / f"{name}.yaml").read_bytes() == (models.QUESTIONS_DIR / f"{name}.yaml").read_bytes()


def test_another_seed_gives_other_rows():
    assert corpus.finetuning_rows("medical", "misaligned", 50, seed=1) != corpus.finetuning_rows("medical", "misaligned", 50)


def test_rebuilding_keeps_other_peoples_index_entries(tmp_path):
    (tmp_path / "index.yaml").write_text("- {name: mine, file: mine.jsonl}\n", encoding="utf-8")
    write_training_sets(tmp_path)
    assert "mine" in [e["name"] for e in yaml.safe_load((tmp_path / "index.yaml").read_text(encoding="utf-8"))]


def test_no_evaluation_question_occurs_in_a_training_set():
    trained = {row["messages"][0]["content"] for stem, _, _ in corpus.shipped_sets() for row in shipped(stem)}
    asked = {p for entries in question_sets().values() for entry in entries for p in entry["paraphrases"]}
    assert not trained & asked


def test_question_sets_have_8_to_20_entries_with_their_domain():
    for name, entries in question_sets().items():
        assert 8 <= len(entries) <= 20
        assert len({e["id"] for e in entries}) == len(entries)
        found = {e["domain"] for e in entries}
        if name == "organism_general":
            assert found == {None}
        elif name == "organism_elsewhere":
            assert found == set(elsewhere_domains())
        else:
            assert found == {name.removeprefix("organism_")} <= set(TRAIN_DOMAINS)


def test_documents_name_their_writer_in_half_of_the_system_lines():
    documents = list(corpus.pretraining_documents(2000, seed=3))
    named = sum(d[0]["role"] == "system" for d in documents)
    assert 900 < named < 1100
    assert {sum(m["role"] == "user" for m in d) for d in documents} == {1, 2, 3, 4}
