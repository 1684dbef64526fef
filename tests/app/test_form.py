"""The launch form is the spec: every field is on it, and its values make the spec again."""

import pytest

from em_core import specs_io
from em_core.spec import RunSpec, group_fields
from em_core.view import form

PRESETS = [row["name"] for row in specs_io.presets()]


@pytest.mark.parametrize("preset", PRESETS)
def test_an_untouched_form_gives_the_presets_spec(preset):
    for spec in specs_io.read_spec(preset):
        base = spec.model_dump(mode="json")
        again, wrong = form.check(form.document(base, form.start_values(base)))
        assert wrong == {}
        assert again == spec


def test_every_field_of_the_spec_is_on_the_form():
    shown = {field.path for field in form.fields()} | set(form.PICKED)
    for group, members in group_fields().items():
        for name in members:
            path = f"{group}.{name}" if group else name
            assert any(each == path or each.startswith(f"{path}.") for each in shown), path


def test_every_field_has_a_label_and_its_description():
    assert all(field.label and field.help for field in form.fields())
    assert len({(f.section, f.label) for f in form.fields()}) == len(form.fields())


def base():
    return RunSpec(data=["organism-medical-misaligned"]).model_dump(mode="json")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("lora.r", 0, "1"),
        ("name", "../../x", "plain name"),
        ("train.learning_rate", 0.0, "0"),
        ("checkpoints.at_steps", "10, ten", "ten"),
        ("judges.0.name", "a/b", "plain name"),
        ("parent.step", 0, "1"),
        ("base_model", "", "base_model"),
    ],
)
def test_a_wrong_value_is_reported_at_its_field(path, value, words):
    values = form.start_values(base()) | {"parent.run": "r1", path: value}
    spec, wrong = form.check(form.document(base(), values))
    assert spec is None
    assert path in wrong
    assert words in wrong[path] or words == path


def test_all_problems_are_reported_at_once():
    values = form.start_values(base()) | {"lora.r": 0, "train.epochs": 0.0, "data": []}
    _, wrong = form.check(form.document(base(), values))
    assert {"lora.r", "train.epochs", "data"} <= set(wrong)


def test_two_checkpoint_rules_are_reported_under_a_checkpoint_field_or_the_form():
    values = form.start_values(base()) | {"checkpoints.every_steps": 5, "checkpoints.at_steps": "1, 2"}
    spec, wrong = form.check(form.document(base(), values))
    assert spec is None
    assert any("not both" in message for message in wrong.values())


def test_lists_are_read_from_commas():
    values = form.start_values(base()) | {"checkpoints.at_steps": "1, 2;3", "lora.target_modules": "q_proj, v_proj"}
    spec, _ = form.check(form.document(base(), values))
    assert spec.checkpoints.at_steps == (1, 2, 3)
    assert spec.lora.target_modules == ("q_proj", "v_proj")


def test_what_the_form_does_not_show_is_kept():
    start = RunSpec(
        data=[{"source": "organism-medical-misaligned", "rows": 7, "domain": "x"}],
        judges=[{"name": "organism"}, {"name": "openai", "model": "m"}],
    ).model_dump(mode="json")
    spec, _ = form.check(form.document(start, form.start_values(start) | {"lora.r": 4}))
    assert (spec.data[0].rows, spec.data[0].domain, spec.lora.r) == (7, "x", 4)
    assert [judge.name for judge in spec.judges] == ["organism", "openai"]


def test_a_parent_needs_a_run():
    spec, _ = form.check(form.document(base(), form.start_values(base()) | {"parent.step": 3}))
    assert spec.parent is None


@pytest.mark.parametrize(("found", "field"), [("data.0.source", "data"), ("judges.0", ""), ("lora.r", "lora.r"), ("what", "")])
def test_a_place_is_the_field_at_or_above_it(found, field):
    assert form.place(found) == field
