"""Named judge configurations: shipped ones are whole, a user's own win, keys are refused, everything wrong is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core.errors import BadInput, ManyProblems
from em_core.home import Home
from em_core.judges import open_judge
from em_core.spec import JudgeSpec
from em_core.specs_io import judge_configs, read_spec

SECRET = "sk-proj-abc123def456ghi789"


@pytest.fixture
def own(tmp_path: Path) -> Home:
    (tmp_path / "judges").mkdir()
    return Home(tmp_path)


def write(home: Home, name: str, text: str) -> None:
    (home.root / "judges" / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize("name", sorted(judge_configs.available(Home(Path("/nonexistent")))))
def test_every_shipped_configuration_is_whole_and_says_how_to_use_it(name: str) -> None:
    config = judge_configs.available(Home(Path("/nonexistent")))[name]
    assert config.title
    assert f"--judge {name}" in config.path.read_text()
    label, spec = judge_configs.resolve(name)
    assert label == name
    assert spec.name == "local" or open_judge(spec).identity.plugin == spec.name


def test_the_shipped_organism_is_the_plain_plugin() -> None:
    assert judge_configs.resolve("organism")[1] == JudgeSpec(name="organism")


def test_a_users_own_file_wins_over_a_shipped_one(own: Home) -> None:
    write(own, "vllm", "# Ours.\nname: openai_compatible\nmodel: ours\n")
    assert judge_configs.resolve("vllm", (), own)[1].model == "ours"
    assert judge_configs.resolve("vllm")[1].model != "ours"
    assert judge_configs.available(own)["vllm"].own


def test_a_file_and_a_plugin_are_judges_too(tmp_path: Path) -> None:
    path = tmp_path / "my judge.yaml"
    path.write_text("name: openai_compatible\nmodel: m\n")
    assert judge_configs.resolve(str(path)) == ("my-judge", JudgeSpec(name="openai_compatible", model="m"))
    assert judge_configs.resolve("openai_compatible", ["model=x:1b"])[1] == JudgeSpec(name="openai_compatible", model="x:1b")


def test_everything_that_is_wrong_is_said_at_once_with_file_and_field(own: Home) -> None:
    write(own, "bad", "name: openai\nsnapshto: x\ntemperature: 9\nmode: guess\n")
    with pytest.raises(ManyProblems) as caught:
        judge_configs.resolve("bad", ["max_calls=0"], own)
    text = str(caught.value)
    for part in (
        "bad.yaml",
        "name: found 'openai'",
        "did you mean snapshot?",
        "temperature: found 9",
        "mode: found 'guess'",
        "max_calls",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    "line",
    [
        f"api_key: {SECRET}",
        f"api_key_env: {SECRET}",
        f"model: {SECRET}",
        "openai_token: x",
        "authorization: Bearer abcdefghijkl",
        "base_url: http://me:hunter2hunter2@127.0.0.1/v1",
        "api_key_env: export OPENAI_API_KEY",
    ],
)
def test_keys_in_a_file_or_spec_are_refused_and_never_shown(own: Home, line: str) -> None:
    write(own, "leaky", f"name: openai_compatible\n{line}\n")
    value = line.split(": ", 1)[1]
    with pytest.raises(BadInput) as caught:
        judge_configs.resolve("leaky", (), own)
    assert "looks like a key" in str(caught.value)
    assert len(value) < 4 or value not in str(caught.value)
    field, text = line.split(": ", 1)
    with pytest.raises(BadInput) as caught:
        read_spec({"data": ["organism-medical-misaligned"], "judges": [{"name": "openai_compatible", field: text}]})
    assert len(value) < 4 or value not in str(caught.value)


@pytest.mark.parametrize("line", ["max_tokens: 5000", "model: gpt-4.1-mini-2025-04-14", "base_url: http://127.0.0.1:8000/v1"])
def test_ordinary_values_are_no_keys(own: Home, line: str) -> None:
    write(own, "fine", f"name: openai_compatible\n{line}\n")
    judge_configs.resolve("fine", (), own)


def test_a_configuration_called_like_a_plugin_must_be_of_that_plugin(own: Home) -> None:
    write(own, "organism", "name: openai_compatible\nmodel: m\n")
    with pytest.raises(BadInput, match="another name"):
        judge_configs.resolve("organism", (), own)


def spec_with(judges: object, home: Home | None = None, *overrides: str) -> tuple[JudgeSpec, ...]:
    (spec,) = read_spec({"data": ["organism-medical-misaligned"], "judges": judges}, overrides, home=home)
    return spec.judges


def test_a_spec_may_name_configurations(own: Home) -> None:
    write(own, "mine", "name: openai_compatible\nmodel: ours\nmax_calls: 7\n")
    found = spec_with(["mine", "organism", {"name": "vllm", "model": "other"}], own)
    assert found[0] == JudgeSpec(name="openai_compatible", model="ours", max_calls=7)
    assert found[1] == JudgeSpec()
    assert (found[2].name, found[2].model, found[2].mode) == ("openai_compatible", "other", "integer")
    assert spec_with("mine", own) == found[:1]
    assert spec_with(["organism"], own, "judges.0=mine", "judges.0.max_calls=9")[0].max_calls == 9


def test_plugins_by_name_mean_what_they_meant(own: Home) -> None:
    given = [{"name": "openai_compatible", "model": "m"}, "organism", {"name": "local", "model": "x"}]
    assert spec_with(given, own) == (
        JudgeSpec(name="openai_compatible", model="m"), JudgeSpec(), JudgeSpec(name="local", model="x"),
    )  # fmt: skip


def test_a_grid_over_judges_takes_configurations(own: Home) -> None:
    write(own, "mine", "name: openai_compatible\nmodel: ours\n")
    runs = read_spec({"data": ["organism-medical-misaligned"], "judges": [["organism"], ["mine"]]}, home=own)
    assert [run.judges[0].name for run in runs] == ["organism", "openai_compatible"]


def test_a_broken_configuration_is_reported_beside_the_specs_other_problems(own: Home) -> None:
    write(own, "mine", "name: openai_compatible\ntemperature: 9\n")
    with pytest.raises(ManyProblems) as caught:
        read_spec({"data": ["organism-medical-misaligned"], "judges": ["mine"], "train": {"seed": -1}}, home=own)
    assert "temperature: found 9" in str(caught.value)
    assert "train.seed" in str(caught.value)
