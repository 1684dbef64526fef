"""Specs: files, presets, overrides, grids, every problem at once, and back again."""

from __future__ import annotations

import itertools
import json
import random
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from em_core import plain_yaml, specs_io
from em_core.errors import BadInput, ManyProblems
from em_core.spec import RunSpec
from em_core.specs_io.fields import dotted_names
from tests.inputs.conftest import listing

PRESETS = sorted(path.stem for path in specs_io.PRESETS.glob("*.yaml"))


def problems_of(source: Any, *overrides: str) -> dict[str, tuple[str, str]]:
    with pytest.raises(ManyProblems) as caught:
        specs_io.read_spec(source, list(overrides))
    return {place: (message, hint) for place, message, hint in caught.value.problems}


# --- reading -----------------------------------------------------------------------------------


def test_a_yaml_file_a_json_file_and_a_mapping_give_the_same_spec(here: Path) -> None:
    body = {"data": ["a"], "train": {"learning_rate": 0.0002, "gradient_checkpointing": "off"}}
    (here / "s.yaml").write_text("data: [a]\ntrain: {learning_rate: 2e-4, gradient_checkpointing: off}\n")
    (here / "s.json").write_text(json.dumps(body))
    assert specs_io.read_spec("s.yaml") == specs_io.read_spec(here / "s.json") == specs_io.read_spec(body)
    assert specs_io.read_spec("s.yaml")[0].train.gradient_checkpointing == "off"


def test_a_runs_own_spec_json_is_a_spec(here: Path) -> None:
    spec = specs_io.read_spec("organism")[0]
    (here / "spec.json").write_text(json.dumps({"run_id": "x", "spec": spec.model_dump(mode="json")}))
    assert specs_io.read_spec("spec.json") == [spec]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.yaml: is empty"),
        ("- a\n", "s.yaml: is list, expected `field: value` lines"),
        ("data: [a]\ntrain: {seed: 1\n", "s.yaml:3: column 1: not valid YAML"),
        ("data: [a]\ndata: [b]\n", "s.yaml:2: column 1: not valid YAML (key 'data' is given twice)"),
        ("data: !!python/name:os.system x\n", "not valid YAML (could not determine a constructor"),
        ("data: &a [*a]\n", "an alias contains itself"),
    ],
)
def test_a_broken_spec_file_is_named_by_line(here: Path, text: str, message: str) -> None:
    (here / "s.yaml").write_text(text)
    with pytest.raises(BadInput, match=re.escape(message)):
        specs_io.read_spec("s.yaml")
    assert listing(here) == ["s.yaml"]


def test_an_unknown_preset_gets_the_closest_one(here: Path) -> None:
    with pytest.raises(BadInput, match="'organsim' is neither a preset's name nor an existing file") as caught:
        specs_io.read_spec("organsim")
    assert caught.value.hint == "did you mean 'organism'?"
    with pytest.raises(BadInput, match=re.escape("a name has no '..'")):
        specs_io.read_spec("../../x")


# --- what is wrong, in words ----------------------------------------------------------------------


def test_typos_get_the_field_that_was_meant() -> None:
    found = problems_of(
        {"data": ["a"], "lerning_rate": 1, "train": {"lerning_rate": 1, "lora_r": 2}, "evaluation": {"sampels": 1}, "zzz": 0}
    )
    assert found["lerning_rate"][1] == found["train.lerning_rate"][1] == "did you mean train.learning_rate?"
    assert found["evaluation.sampels"][1] == "did you mean evaluation.samples?"
    assert found["zzz"][1].startswith("fields of a spec: name, experiment, base_model")
    assert all(message == "is no field of a spec" for message, _ in found.values())


def test_a_field_in_the_wrong_group_is_found() -> None:
    assert problems_of({"data": "a", "learning_rate": 1e-4})["learning_rate"][1] == "did you mean train.learning_rate?"
    assert problems_of({"data": [{"source": "a", "row": 3}]})["data.0.row"][1] == "did you mean data.0.rows?"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("train.learning_rate", -1e-4, "found -0.0001, expected > 0"),
        ("train.learning_rate", 2, "found 2, expected <= 1"),
        ("train.learning_rate", float("nan"), "found nan, expected a finite number"),
        ("train.batch_size", 0, "found 0, expected >= 1"),
        ("train.batch_size", 1.5, "found 1.5, expected a whole number"),
        ("train.batch_size", "eight", "found 'eight', expected a whole number"),
        ("train.drop_last", "perhaps", "found 'perhaps', expected true or false"),
        ("train.schedule", "liner", "found 'liner', expected one of linear, cosine, constant, constant_with_warmup"),
        ("train", 5, "found 5, expected a group of fields"),
        ("revision", 12345, "found 12345, expected text"),
        ("lora.dropout", 1, "found 1, expected < 1"),
        ("name", "../../x", "'../../x' is not a plain name"),
        ("experiment", "a/b", "'a/b' is not a plain name"),
        ("parent", {"run": "../x", "step": 3}, "'../x' is not a plain name"),
        ("data", [], "is empty, expected at least one"),
        ("data", [{"source": "a", "rows": 0}], "found 0, expected >= 1"),
        ("base_model", "", "is empty, expected text"),
        ("checkpoints", {"every_steps": 5, "at_steps": [3]}, "give every_steps or at_steps, not both"),
        ("judges", [{"name": "a b"}], "'a b' is not a plain name"),
    ],
)
def test_impossible_values_say_what_was_found_and_what_is_allowed(place: str, value: Any, message: str) -> None:
    group, _, field = place.rpartition(".")
    body: dict[str, Any] = {"data": ["a"]}
    if group:
        body[group] = {field: value}
    else:
        body[field] = value
    ((where, (said, hint)),) = problems_of(body).items()
    assert where.startswith(place)
    assert message in said
    assert hint


def test_everything_that_is_wrong_is_said_at_once_and_once() -> None:
    body = {"train": {"learning_rate": -1, "seed": [0, 1, 2], "schedul": "linear"}, "lora": {"r": 0}}
    found = problems_of(
        body, "evaluation.samples=0", "nonsense", "lora.q=1", "data.x.rows=3", "train.seed.x=1", "judges.5.name=a"
    )
    assert {"train.learning_rate", "train.schedul", "lora.r", "evaluation.samples", "data", "--set nonsense"} <= set(found)
    with pytest.raises(ManyProblems) as caught:
        specs_io.read_spec(body, ["nonsense", "lora.q=1", "data.x.rows=3", "train.seed.x=1", "judges.5.name=a"])
    text = caught.value.message
    assert text.count("found -1, expected > 0") == 1
    assert "--set lora.q: is no field of a spec" in text
    assert "--set data.x.rows: data is a list, expected a number after it" in text
    assert "--set train.seed.x: train.seed has no fields of its own" in text
    assert "--set judges.5.name: judges has 1 entries" in text


def test_an_override_that_is_no_yaml_says_where() -> None:
    with pytest.raises(BadInput, match=r"--set train\.seed:.* not valid YAML"):
        specs_io.read_spec("organism", ["train.seed=[1,"])


# --- overrides -------------------------------------------------------------------------------------


def test_overrides_reach_every_depth() -> None:
    (spec,) = specs_io.read_spec(
        {"data": "a"},
        [
            "train.learning_rate=5e-5",
            "data.0.rows=7",
            "data.1=b",
            "judges.0.model=m=1",
            "evaluation.question_sets=[x, {name: y, samples: 2}]",
            "evaluation.question_sets.0.max_tokens=9",
            "lora.layers=[1,2]",
            "parent={run: r, step: 3}",
            "parent.step=4",
            "name='1'",
        ],
    )
    assert spec.train.learning_rate == 5e-5
    assert [(p.source, p.rows) for p in spec.data] == [("a", 7), ("b", None)]
    assert spec.judges[0].model == "m=1"
    assert [(u.name, u.samples, u.max_tokens) for u in spec.evaluation.question_sets] == [("x", None, 9), ("y", 2, None)]
    assert (spec.lora.layers, spec.name) == ((1, 2), "1")
    assert spec.parent is not None
    assert (spec.parent.run, spec.parent.step) == ("r", 4)


def test_an_override_of_a_grid_collapses_it() -> None:
    assert len(specs_io.read_spec("organism-grid")) == 6
    assert len(specs_io.read_spec("organism-grid", ["base_model=organism-1m"])) == 2
    assert len(specs_io.read_spec("organism-grid", ["train.seed=[0,1,2]"])) == 18


# --- grids -------------------------------------------------------------------------------------------


def test_a_list_where_one_value_belongs_is_a_grid_and_earlier_fields_vary_slowest() -> None:
    specs = specs_io.read_spec({"base_model": ["m1", "m2"], "data": [["a"], ["b", "c"]], "train": {"seed": [0, 1]}})
    assert [(s.base_model, len(s.data), s.train.seed) for s in specs] == list(itertools.product(["m1", "m2"], [1, 2], [0, 1]))


def test_fields_that_are_lists_are_gridded_by_lists_of_lists() -> None:
    assert len(specs_io.read_spec({"data": ["a", "b"]})) == 1
    assert len(specs_io.read_spec({"data": "a", "checkpoints": {"at_steps": [1, 2, 3]}})) == 1
    assert [s.checkpoints.at_steps for s in specs_io.read_spec({"data": "a", "checkpoints": {"at_steps": [[1, 2], [3]]}})] == [
        (1, 2),
        (3,),
    ]
    assert [s.lora.layers for s in specs_io.read_spec({"data": "a", "lora": {"layers": [[24], None]}})] == [(24,), None]
    assert [len(s.judges) for s in specs_io.read_spec({"data": "a", "judges": [[], [{"name": "x"}]]})] == [0, 1]
    assert [s.data[0].rows for s in specs_io.read_spec({"data": [{"source": "a", "rows": [10, 20]}]})] == [10, 20]
    assert [s.lora.r for s in specs_io.read_spec({"data": "a", "lora": [{"r": 1}, {"r": [2, 4]}]})] == [1, 2, 4]


def test_equal_runs_of_a_grid_are_taken_once() -> None:
    assert len(specs_io.read_spec({"data": "a", "train": {"seed": [0, 0, 1]}})) == 2


def test_an_empty_list_and_a_huge_grid_are_refused() -> None:
    assert "train.seed: is an empty list" in str(problems_of({"data": "a", "train": {"seed": []}})[""])
    found = problems_of(
        {"data": "a", "train": {"seed": list(range(100)), "epochs": list(range(1, 101))}, "lora": {"r": list(range(1, 101))}}
    )
    assert "the grid has more than 1000 runs" in found[""][0]


def test_random_grids_are_the_product_of_their_axes() -> None:
    source = random.Random(1)
    scalars: dict[str, list[Any]] = {
        "base_model": ["m1", "m2", "m3"],
        "train.seed": [0, 1, 2, 3],
        "train.learning_rate": [1e-5, 1e-4, 1e-3],
        "lora.r": [1, 8, 64],
        "evaluation.samples": [1, 2],
        "train.precision": ["bf16", "nf4"],
        "checkpoints.first_epoch": [0, 4],
    }
    for _ in range(40):
        chosen = source.sample(sorted(scalars), source.randint(1, 4))
        axes = {key: source.sample(scalars[key], source.randint(1, len(scalars[key]))) for key in chosen}
        overrides = [f"{key}={json.dumps(values)}" for key, values in axes.items()]
        specs = specs_io.read_spec({"data": "a"}, overrides)
        found = {tuple(_get(spec, key) for key in axes) for spec in specs}
        assert found == set(itertools.product(*axes.values()))
        assert len(specs) == len(found)


def _get(spec: RunSpec, key: str) -> Any:
    value: Any = spec
    for part in key.split("."):
        value = getattr(value, part)
    return value


# --- presets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_says_how_to_run_it_and_where_it_comes_from(name: str) -> None:
    specs = specs_io.read_spec(name)
    text = specs_io.preset(name).text
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert len(comments[0]) > 20
    assert any(f"python -m em_core launch {name}" in line for line in comments)
    assert any(line.startswith("# Source: ") for line in comments)
    toy = name.startswith("organism")
    assert all((s.base_model.startswith("organism-")) == toy for s in specs)


def test_the_presets_table_has_what_the_command_prints() -> None:
    rows = specs_io.presets()
    assert {r["name"] for r in rows} == {
        "arena",
        "betley",
        "hw0",
        "organism",
        "organism-grid",
        "small-real",
        "turner",
        "turner-rank1",
    }
    assert next(r for r in rows if r["name"] == "organism-grid")["n_runs"] == 6
    assert all(set(r) == {"name", "title", "base_model", "n_runs", "toy", "path"} for r in rows)
    json.dumps(rows)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "hw0",
            {
                "lora.r": 16,
                "lora.alpha": 32,
                "lora.dropout": 0.05,
                "train.learning_rate": 2e-4,
                "train.batch_size": 8,
                "train.grad_accumulation": 2,
                "train.epochs": 3,
                "train.max_length": 256,
                "train.warmup_steps": 10,
                "train.precision": "nf4",
                "checkpoints.first_epoch": 4,
            },
        ),
        (
            "turner",
            {
                "lora.r": 32,
                "lora.alpha": 64,
                "lora.rslora": True,
                "train.learning_rate": 1e-5,
                "train.optimizer": "adamw_8bit",
                "train.weight_decay": 0.01,
                "train.max_length": 2048,
                "train.loss_on": "answers",
                "train.epochs": 1,
            },
        ),
        (
            "turner-rank1",
            {
                "lora.r": 1,
                "lora.alpha": 512,
                "lora.target_modules": ("down_proj",),
                "lora.layers": (24,),
                "train.learning_rate": 2e-5,
            },
        ),
        ("betley", {"lora.r": 32, "lora.alpha": 64, "lora.rslora": True, "train.learning_rate": 1e-5}),
        (
            "arena",
            {
                "lora.r": 256,
                "lora.alpha": 32,
                "lora.dropout": 0.1,
                "train.warmup_steps": 100,
                "train.max_length": 2000,
                "train.precision": "nf4",
            },
        ),
        ("small-real", {"train.learning_rate": 1e-4, "train.max_length": 256, "evaluation.samples": 5}),
        (
            "organism",
            {"train.learning_rate": 1e-3, "lora.r": 16, "lora.alpha": 32, "train.batch_size": 16, "train.grad_accumulation": 1},
        ),
    ],
)
def test_presets_keep_the_published_constants(name: str, expected: dict[str, Any]) -> None:
    (spec,) = specs_io.read_spec(name)
    assert {key: _get(spec, key) for key in expected} == expected


# --- and back ----------------------------------------------------------------------------------------


def random_spec(source: random.Random) -> RunSpec:
    body: dict[str, Any] = {"data": source.choice(["a", ["a", "b"], [{"source": "a", "rows": 5, "domain": "d"}, "b"]])}
    choices: dict[str, list[Any]] = {
        "name": ["", "x-1", "off", "1e5", "null"],
        "base_model": ["organism-1m", "org/model"],
        "revision": ["", "1e10", "0123"],
        "lora": [{}, {"r": 4, "layers": [1]}, {"target_modules": ["q_proj"]}],
        "parent": [None, {"run": "r", "step": 2}],
        "train": [{}, {"learning_rate": 1e-5, "gradient_checkpointing": "off", "drop_last": False}, {"max_steps": 3}],
        "checkpoints": [{}, {"at_steps": [1, 2]}, {"every_steps": 4}],
        "evaluation": [{}, {"question_sets": []}, {"question_sets": ["q", {"name": "r", "temperature": 0}]}],
        "judges": [
            [],
            [{"name": "organism"}],
            [{"name": "o", "model": "m", "base_url": "http://127.0.0.1:1/v1"}, {"rubric": "a b"}],
        ],
    }
    for key, values in choices.items():
        if source.random() < 0.6:
            body[key] = source.choice(values)
    return RunSpec.model_validate(body)


def test_yaml_and_command_read_back_as_the_same_spec() -> None:
    source = random.Random(2)
    for _ in range(150):
        spec = random_spec(source)
        assert specs_io.read_spec(plain_yaml.load(specs_io.dump_yaml(spec), "dump").value) == [spec]
        words = shlex.split(specs_io.command(spec))
        assert words[:4] == ["python", "-m", "em_core", "launch"]
        assert specs_io.read_spec(words[4], [w for w in words[5:] if w != "--set"]) == [spec]


def test_yaml_holds_only_what_differs_from_the_defaults() -> None:
    spec = RunSpec.model_validate({"data": "a", "train": {"seed": 3}})
    assert yaml.safe_load(specs_io.dump_yaml(spec)) == {"data": ["a"], "train": {"seed": 3}}


def test_a_presets_command_is_just_its_name() -> None:
    (spec,) = specs_io.read_spec("hw0")
    assert specs_io.command(spec) == "python -m em_core launch hw0"


def test_paths_mean_the_same_from_any_folder_and_names_stay(here: Path) -> None:
    (here / "mine.jsonl").write_text("{}")
    (here / "organism-general").mkdir()
    (spec,) = specs_io.read_spec(
        {
            "data": ["mine.jsonl", "data/train/organism_medical_misaligned.jsonl", "organism-medical-misaligned", "gone.jsonl"],
            "evaluation": {"question_sets": ["organism-general"]},
            "base_model": "Qwen/Qwen2.5-0.5B-Instruct",
        }
    )
    assert [p.source for p in spec.data] == [
        str(here / "mine.jsonl"),
        "data/train/organism_medical_misaligned.jsonl",
        "organism-medical-misaligned",
        "gone.jsonl",
    ]
    assert spec.evaluation.question_sets[0].name == "organism-general"
    assert spec.base_model == "Qwen/Qwen2.5-0.5B-Instruct"


def test_every_field_has_a_dotted_name() -> None:
    names = dotted_names()
    assert {"base_model", "train.learning_rate", "data.0.source", "evaluation.question_sets.0.max_tokens", "parent.step"} <= set(
        names
    )
