"""What sets runs apart, names of sweeps, and one plan for many runs."""

from __future__ import annotations

import pytest

from em_core import plan as planning
from em_core.errors import ManyProblems, Refused
from em_core.home import Home
from em_core.plan import many
from em_core.spec import RunSpec
from em_core.specs_io import read_spec, varied

GRID = ["train.seed=[0,1,2]", "lora.r=[4,8]"]


def _dumps(*overrides: str) -> list[dict]:
    return [spec.model_dump(mode="json") for spec in read_spec("organism", list(overrides))]


def test_only_what_differs_varies_in_order_of_the_spec():
    assert varied.varied(_dumps(*GRID)) == {"lora.r": (4, 8), "train.seed": (0, 1, 2)}
    assert varied.varied(_dumps()) == {}


def test_data_questions_and_judges_are_told_in_words():
    dumps = _dumps(
        "data=[[organism-medical-misaligned],[{source: organism-sports-misaligned, rows: 7}, organism-medical-misaligned]]"
    )
    assert varied.varied(dumps)["data"] == (
        "organism-medical-misaligned", "organism-sports-misaligned (rows 7) + organism-medical-misaligned",
    )  # fmt: skip
    assert varied.varied(_dumps("judges.0.temperature=[0,1]")) == {"judges.0.temperature": (0.0, 1.0)}
    assert varied.varied(_dumps("evaluation.question_sets=[[organism-general],[organism-medical]]")) == {
        "evaluation.question_sets": ("organism-general", "organism-medical")
    }


def test_names_count_only_where_nothing_else_differs():
    assert varied.varied(_dumps("name=[a,b]")) == {"name": ("a", "b")}
    assert list(varied.varied(_dumps("name=[a,b]", "train.seed=[0,1]"))) == ["train.seed"]


def test_equal_numbers_are_one_value_and_true_is_not_one():
    assert varied.varied([{"train": {"a": 1}}, {"train": {"a": 1.0}}]) == {}
    assert varied.varied([{"train": {"a": 1}}, {"train": {"a": True}}]) == {"train.a": (1, True)}


def test_damaged_specs_are_told_as_far_as_they_go():
    assert varied.varied([{"train": 3, "parent": "x", "judges": [1], "data": None}, {}])["train"] == (3, None)


def test_what_cannot_be_a_field_is_no_knob():
    hostile = {"train": {"[x](http://y)": 1, "seed": 2}, "<b>": 1, "judges": [{"name": "a", "\x1b[31m": 1}]}
    assert varied.fields(hostile) == {"train.seed": 2, "judges.0.name": "a"}


def test_a_sweep_without_a_name_gets_one_of_its_own_and_the_same_every_time():
    specs = read_spec("organism", GRID)
    named = varied.named(specs)
    (name,) = {spec.experiment for spec in named}
    assert name.startswith("r-seed-6-runs-")
    assert varied.own_name(list(reversed(specs))).endswith(name[-6:])
    assert [spec.spec_hash() for spec in named] == [spec.spec_hash() for spec in specs]
    assert varied.own_name(read_spec("organism", ["train.seed=[0,1]"])) != name


def test_single_runs_and_given_names_are_left_as_they_are():
    one = read_spec("organism")
    assert varied.named(one) == one
    mine = read_spec("organism", [*GRID, "experiment=mine"])
    assert varied.named(mine) == mine


def test_a_very_long_name_is_still_a_name():
    fields = ["train.gradient_checkpointing=[on,off]", "checkpoints.first_epoch=[1,2]", "evaluation.batch_size=[1,2]"]
    RunSpec(data="x", experiment=varied.own_name(read_spec("organism", fields)))


def test_runs_that_differ_in_a_seed_are_one_kind(tmp_path):
    assert [len(group) for group in many.kinds(read_spec("organism", [*GRID, "train.learning_rate=[1e-3,1e-4]"]))] == [6, 6]


def test_the_sum_is_the_sum_of_the_plans(tmp_path):
    specs, home = read_spec("organism", [*GRID, "train.max_steps=[20,40]", "checkpoints.at_steps=[[10]]"]), Home(tmp_path)
    plans = [planning.plan(spec, home) for spec in specs]
    total = many.total(specs, home)
    assert (total.n_runs, total.n_kinds, total.n_planned, total.scaled) == (12, 4, 4, False)
    assert total.n_steps == sum(plan.total_steps for plan in plans) == 6 * 60
    assert total.n_answers == sum(plan.n_answers for plan in plans)
    assert total.n_checkpoints == sum(len(plan.checkpoint_steps) for plan in plans)
    assert total.disk_gib == pytest.approx(sum(plan.disk_gib for plan in plans), rel=0.02)
    assert total.cost_usd == (0.0, 0.0)
    assert "12 runs" in total.text()
    assert total.n_too_big == 0


def test_many_kinds_are_estimated_from_some_and_it_says_so(tmp_path):
    specs = read_spec(
        "organism", ["train.max_steps=[" + ",".join(str(10 + i) for i in range(30)) + "]", "checkpoints.at_steps=[[5]]"]
    )
    total = many.total(specs, Home(tmp_path), most=5)
    assert (total.n_planned, total.n_kinds, total.scaled) == (5, 30, True)
    assert total.n_steps == pytest.approx(sum(10 + i for i in range(30)), rel=0.02)
    assert "5 of 30 kinds" in total.text()


def test_an_unknown_price_makes_the_sum_unknown(tmp_path):
    judges = "judges=[[{name: openai_compatible, model: nobody-knows, base_url: 'https://judge.example.org/v1'}],[organism]]"
    total = many.total(read_spec("organism", [judges]), Home(tmp_path))
    assert total.cost_usd is None
    assert "unknown price" in total.text()


def test_problems_of_any_kind_are_found_once_each(tmp_path):
    specs = read_spec(
        "organism", ["train.seed=[0,1]", "train.batch_size=[16,4096]", "data=[[organism-medical-misaligned],[nowhere]]"]
    )
    with pytest.raises(ManyProblems) as found:
        many.validate(specs, Home(tmp_path), online=False)
    places = [place for place, _, _ in found.value.problems]
    assert {"data", "train.batch_size"} <= set(places)
    assert len(set(found.value.problems)) == len(found.value.problems)


def test_a_read_only_demonstration_refuses(tmp_path, monkeypatch):
    monkeypatch.setenv("EM_READONLY", "1")
    with pytest.raises(Refused):
        many.validate(read_spec("organism"), Home(tmp_path), online=False)
