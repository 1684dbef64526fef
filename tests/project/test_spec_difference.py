"""What sets two specs apart, in a table and in a sentence; and what a page may show of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from em_core.spec import RunSpec
from em_core.specs_io import nearest_preset, read_spec
from em_core.view import run_words, spec_difference
from em_core.view.spec_difference import NONE, Difference, beyond, differences, flat, read, sentence


def fields(**changes: object) -> dict[str, object]:
    return RunSpec.model_validate({"data": ["organism-medical-misaligned"], **changes}).model_dump(mode="json")


def test_two_seeds_differ_only_in_the_seed() -> None:
    found = differences(fields(), fields(train={"seed": 1}))
    assert [(row.field, row.first, row.second) for row in found] == [("train.seed", "0", "1")]
    assert found[0].about.startswith("Seed of data order")
    assert sentence(found) == "They differ only in train.seed (0 and 1)."


def test_labels_and_budgets_decide_nothing() -> None:
    found = differences(fields(), fields(name="mine", judges=[{"name": "organism", "max_calls": 5}]))
    assert {row.field: row.decides for row in found} == {"name": False, "judges.0.max_calls": False}
    assert "only labels or budgets differ" in sentence(found)
    assert "in every field" in sentence(differences(fields(), fields()))


@pytest.mark.parametrize("name", ["name", "train.seed", "judges.0.model", "judges.0.max_usd", "judges.0.temperature"])
def test_a_field_decides_exactly_when_it_is_part_of_the_hash(name: str) -> None:
    def spec(value: object) -> RunSpec:
        document: dict[str, object] = {"data": ["organism-medical-misaligned"]}
        place: dict[str, object] = document
        *groups, last = name.split(".")
        if groups[:1] == ["judges"]:
            place = {"name": "openai_compatible"}
            document["judges"] = [place]
        elif groups:
            place = {}
            document[groups[0]] = place
        place[last] = value
        return RunSpec.model_validate(document)

    a, b = ("x", "y") if name in ("name", "judges.0.model") else (1, 2)
    assert (spec(a).spec_hash() != spec(b).spec_hash()) == spec_difference.decides(name)


def test_a_group_that_one_of_them_leaves_empty_is_told_by_its_fields() -> None:
    found = differences(fields(), fields(parent={"run": "bad-1", "step": 180}))
    assert [(row.field, row.first, row.second) for row in found] == [("parent.run", NONE, "bad-1"), ("parent.step", NONE, "180")]


def test_many_differences_are_counted_and_few_are_named() -> None:
    few = [Difference(f"f{i}", "1", "2") for i in range(3)]
    assert sentence(few) == "They differ in f0, f1 and f2."
    assert sentence([*few, *few]).startswith("They differ in 6 fields, f0, f1, f2, f0 among them.")
    assert "not recorded" in sentence([], readable=False)


def test_an_older_spec_gets_the_present_defaults_and_a_foreign_one_keeps_its_fields() -> None:
    old = fields()
    judge = dict(old["judges"][0])  # type: ignore[index]
    for later in ("mode", "snapshot", "min_mass"):
        del judge[later]
    read_fields, spec = read(json.dumps({**old, "judges": [judge]}))
    assert spec is not None
    assert differences(read_fields, fields()) == []
    assert read('{"lora_rank": 8}') == ({"lora_rank": 8}, None)
    assert read("[1]") == read("no json") == read(None) == ({}, None)


def test_what_is_recorded_beside_the_specs_is_compared_too() -> None:
    data = [{"name": "m", "sha256": "a" * 64}]
    first = {"host": "one", "versions_json": '{"torch": "2.11", "trl": "1.15"}', "data_sources": json.dumps(data), "n_rows": 10}
    second = {**first, "versions_json": '{"torch": "2.13", "trl": "1.15"}', "host": "", "n_rows": float("nan")}
    second["data_sources"] = json.dumps([{"name": "m", "sha256": "b" * 64}])
    found = {row.field: row for row in beyond(first, second, ({"general": "x"}, {"general": "y", "more": "z"}), (["j1"], ["j2"]))}
    assert found["version of torch"].second == "2.13"
    assert "version of trl" not in found
    assert found["training data (sha256)"].known
    assert not found["host"].known
    assert not found["training rows"].known
    assert found["questions more"].first == "not asked"
    assert found["judges"].first == "j1"
    said = sentence([], list(found.values()))
    assert "these differ too" in said
    assert "Known of one of them only: training rows and host" in said


def test_the_nearest_preset_of_a_preset_is_itself() -> None:
    (spec,) = read_spec("organism", ["train.seed=3"])
    assert nearest_preset(spec)[0] == "organism"
    name, from_preset, from_default = spec_difference.from_preset(spec)
    assert name == "organism"
    assert [(row.field, row.first) for row in from_preset] == [("train.seed", "3")]
    assert "train.seed" in {row.field for row in from_default}


def test_lists_of_plain_values_stay_whole() -> None:
    assert flat({"a": {"b": [1, 2]}, "c": [{"d": 1}, {"d": 2}]}) == {"a.b": [1, 2], "c.0.d": 1, "c.1.d": 2}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/alice/data/x.jsonl", "~/data/x.jsonl"),
        ("read /Users/bob.s/x and '/root/y'", "read ~/x and '~/y'"),
        ("/homestead/x /data/home/x", "/homestead/x /data/home/x"),
        ("OPENAI sk-proj-abcdefghijklmnop0123 used", "OPENAI *** used"),
        ("https://user:secret@host/v1?api_key=abc123", "https://***@host/v1?***"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer ***"),
        ("hf_abcdefghijklmnopqrst", "***"),
        ("task-organism-medical-misaligned", "task-organism-medical-misaligned"),
    ],
)
def test_home_folders_are_shortened_and_keys_are_not_shown(text: str, shown: str) -> None:
    assert run_words.short(text) == shown


def test_this_persons_home_is_shortened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_words.short(f"{tmp_path}/runs {tmp_path}x") == f"~/runs {tmp_path}x"


def test_control_characters_and_direction_marks_are_written_out() -> None:
    assert spec_difference.as_text("a\x1b[31mb\x00\u202ec\nd\te é") == "a⟪U+001B⟫[31mb⟪U+0000 U+202E⟫c\nd\te é"
