"""The plan, and everything that stops a run before it starts."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from em_core import chat as chats
from em_core import datasets, questions, specs_io
from em_core.errors import BadInput, ManyProblems
from em_core.home import PROJECT, Home
from em_core.plan import base_model, costs, hardware, plan, tokens, validate
from em_core.plan.base_model import KNOWN, known_shape
from em_core.spec import JudgeSpec, RunSpec
from tests.inputs.conftest import chat, listing

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def spec_of(**body: Any) -> RunSpec:
    body = {"evaluation": {"question_sets": ["organism-general"]}, "data": ["x.jsonl"], **body}
    body["train"] = {"batch_size": 2, "grad_accumulation": 1, **body.get("train", {})}
    return RunSpec.model_validate(body)


def problems_of(spec: RunSpec, home: Home, online: bool = False) -> str:
    with pytest.raises(ManyProblems) as caught:
        validate(spec, home, online=online)
    assert all(hint for _, message, hint in caught.value.problems if not message.startswith("...")), caught.value.problems
    return caught.value.message


# --- the plan ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "per_epoch", "steps"),
    [(7049, 440, [110, 220, 330, 440, 880, 1320]), (6000, 375, [93, 187, 281, 375, 750, 1125])],
)
def test_the_published_schedule_comes_out(jsonl: Write, home: Home, n_rows: int, per_epoch: int, steps: list[int]) -> None:
    jsonl(*[chat(f"q{i}", "a") for i in range(n_rows)])
    overrides = ["data=x.jsonl", "evaluation.question_sets=open-eight"]
    found = plan(specs_io.read_spec("hw0", overrides)[0], home)
    assert (found.steps_per_epoch, found.total_steps, found.checkpoint_steps) == (per_epoch, steps[-1], steps)


RUBRICS = ("default", "verdict", "harm", "leakage")


def test_a_judge_is_called_once_for_each_metric_of_its_rubric(jsonl: Write, home: Home) -> None:
    jsonl(*[chat(f"q{i}", "a") for i in range(20)])
    judges = [{"name": "openai_compatible", "model": "m", "base_url": "http://127.0.0.1:9/v1", "rubric": r} for r in RUBRICS]
    evaluation = {"question_sets": [{"name": "open-eight", "samples": 1}], "samples": 1}
    body = spec_of(evaluation=evaluation, judges=judges, checkpoints={"at_steps": [10]})
    found = plan(body, home)
    calls = dict(zip(RUBRICS, (j["calls"] for j in found.judges), strict=True))
    assert calls == {"default": 32, "verdict": 16, "harm": 16, "leakage": 8}  # nobody can ask step 0 about a domain


def test_a_judge_model_that_goes_away_is_warned_of(jsonl: Write, home: Home) -> None:
    jsonl(*[chat(f"q{i}", "a") for i in range(20)])
    warned = [
        any("calibration overlap" in w for w in plan(spec_of(judges=[{"name": "openai_compatible", "model": m}]), home).warnings)
        for m in ("gpt-4o-2024-08-06", "gpt-4.1-2025-04-14")
    ]
    assert warned == [True, False]


def test_answers_and_judge_calls_are_counted_with_the_shared_step_0(jsonl: Write, home: Home) -> None:
    jsonl(*[chat(f"q{i}", "a") for i in range(20)])
    judge = {"name": "openai_compatible", "model": "gpt-4o-mini-2024-07-18"}
    evaluation = {"question_sets": [{"name": "open-eight", "samples": 3}, "organism-general"], "samples": 2}
    found = plan(spec_of(evaluation=evaluation, judges=[judge, {"name": "organism"}], checkpoints={"at_steps": [4]}), home)
    assert [s["answers"] for s in found.question_sets] == [24, 96]
    assert found.checkpoint_steps == [4, 10]
    assert (found.answers_per_checkpoint, found.n_evaluations, found.n_answers) == (120, 3, 360)
    assert [j["calls"] for j in found.judges] == [720, 0]
    assert found.judge_calls == 720
    low, high = found.judges[0]["cost_usd"]
    assert 0 < low < high
    assert found.n_answers == 3 * len(
        questions.prompts("r", 0, [questions.load(u) for u in _uses(evaluation)], _evaluation(evaluation))
    )


def _evaluation(body: dict[str, Any]) -> Any:
    return RunSpec.model_validate({"data": "a", "evaluation": body}).evaluation


def _uses(body: dict[str, Any]) -> Any:
    return _evaluation(body).question_sets


def test_the_organisms_tokens_are_counted_with_its_own_tokenizer_as_the_trainer_does(home: Home) -> None:
    from transformers import PreTrainedTokenizerFast

    (spec,) = specs_io.read_spec("organism", ["data.0.rows=200", "train.max_length=30"])
    found = plan(spec, home)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(base_model.describe(spec).folder))
    rows, _ = datasets.load_all(spec)
    lengths = [len(tokenizer.encode(chats.render(tokenizer, row), add_special_tokens=False)) for row in rows]
    assert not found.tokens_estimated
    assert found.tokens_per_epoch == sum(min(n, 30) for n in lengths)
    assert found.longest_row_tokens == max(lengths)
    assert found.n_truncated == sum(n > 30 for n in lengths) > 0
    assert any("are longer than train.max_length = 30" in w for w in found.warnings)


def test_without_a_tokenizer_the_tokens_are_an_estimate_and_say_so(jsonl: Write, home: Home) -> None:
    jsonl(*[chat("what is this about then " * 10, "an answer of some length " * 10) for _ in range(10)])
    found = plan(spec_of(base_model="Qwen/Qwen2.5-0.5B-Instruct"), home)
    assert found.tokens_estimated
    assert 80 < found.longest_row_tokens < 200
    assert "about " in found.text()


def test_the_organism_preset_is_about_200_answers_a_checkpoint_and_six_checkpoints(home: Home) -> None:
    for name in ("organism", "organism-grid"):
        for spec in specs_io.read_spec(name):
            found = plan(spec, home)
            assert 180 <= found.answers_per_checkpoint <= 220
            assert len(found.checkpoint_steps) == 6
            assert 150 <= found.total_steps <= 250
            assert found.judge_calls == 0
            assert found.toy
            assert {
                questions.decoding(s, e).max_tokens
                for u in spec.evaluation.question_sets
                for s in [questions.load(u)]
                for e in s.entries
            } == {64}


def test_a_plan_is_json_and_text_and_writes_nothing(home: Home) -> None:
    found = plan(specs_io.read_spec("organism")[0], home)
    body = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert body["judge_calls"] == 0
    text = found.text()
    assert "196 a checkpoint, 1,372 in all (step 0, shared between runs, included)" in text
    assert max(map(len, text.splitlines())) <= 120
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("body", "rows", "warning"),
    [
        (
            {"evaluation": {"question_sets": ["open-eight"], "samples": 5}},
            10,
            "too few answers a checkpoint in open-eight (40): at least 42",
        ),
        ({"lora": {"r": 256, "alpha": 32}}, 10, "scale alpha / r = 0.125 is low"),
        ({"train": {"loss_on": "all"}}, 10, "loss on all tokens"),
        ({"train": {"warmup_steps": 50}}, 10, "warm-up of 50 steps is longer than the run (5)"),
        ({"train": {"batch_size": 7}}, 13, "6 of 13 rows do not fill a batch"),
        ({"base_model": "meta-llama/Llama-3.2-1B"}, 10, "is gated: accept its licence on the Hub and export HF_TOKEN"),
        ({"base_model": "meta-llama/Llama-3.1-8B"}, 10, "is not on this machine: the run downloads it first (about 15.0 GiB)"),
        ({"base_model": "Qwen/Qwen2.5-32B", "train": {"precision": "fp32"}}, 10, "the run needs about 2"),
        ({"base_model": "Qwen/Qwen2.5-7B"}, 10, "the organism's judge knows its toy world only"),
        ({"judges": []}, 10, "no judges: the answers wait"),
        ({"evaluation": {"question_sets": []}}, 10, "no question sets: nothing will be measured"),
        ({"judges": [{"name": "openai_compatible", "model": "mystery-1"}]}, 10, "the price of mystery-1 is not known"),
        ({"base_model": "Qwen/Qwen2.5-7B"}, 10, "10 rows: published EM rates at 500 rows"),
        ({}, 10, "a toy: the organism shows what the workbench does"),
    ],
)
def test_what_is_likely_to_disappoint_is_said_before(
    jsonl: Write, home: Home, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], rows: int, warning: str
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(hardware, "memory_gib", lambda: 100.0)
    jsonl(*[chat(f"q{i}", "a") for i in range(rows)])
    found = plan(spec_of(**body), home)
    assert any(warning in w for w in found.warnings), found.warnings


def test_judge_prices() -> None:
    judge = lambda **kw: JudgeSpec(name="openai_compatible", **kw)  # noqa: E731
    assert costs.judge_cost_usd(judge(model="anything", base_url="http://127.0.0.1:8000/v1"), 1000, 600) == (0.0, 0.0)
    assert costs.judge_cost_usd(judge(model="gpt-4o", base_url="https://elsewhere.example/v1"), 1000, 600) is None
    mini, big = (costs.judge_cost_usd(judge(model=m), 1000, 600) for m in ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06"))
    assert mini is not None
    assert big is not None
    assert 10 < big[0] / mini[0] < 20
    assert costs.judge_cost_usd(judge(model="gpt-4o-realtime"), 1000, 600) is None


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("meta-llama/Llama-3.2-1B-Instruct", 1.236),
        ("meta-llama/Llama-3.2-3B", 3.213),
        ("meta-llama/Meta-Llama-3.1-8B", 8.030),
        ("Qwen/Qwen2.5-0.5B-Instruct", 0.494),
        ("Qwen/Qwen2.5-1.5B", 1.544),
        ("unsloth/Qwen2.5-3B", 3.086),
        ("Qwen/Qwen2.5-7B", 7.616),
        ("Qwen/Qwen2.5-14B-Instruct", 14.77),
        ("Qwen/Qwen2.5-Coder-32B-Instruct", 32.76),
    ],
)
def test_known_models_have_their_published_number_of_parameters(name: str, billions: float) -> None:
    shape = known_shape(name)
    assert shape is not None
    assert shape.n_params / 1e9 == pytest.approx(billions, rel=0.002)


def test_unknown_models_have_no_made_up_size(jsonl: Write, home: Home) -> None:
    assert known_shape("someone/Qwen2.5-72B") is None
    assert len(KNOWN) == 9
    jsonl(*[chat(f"q{i}", "a") for i in range(4)])
    found = plan(spec_of(base_model="someone/model"), home)
    assert (found.n_params, found.memory_gib, found.time_s, found.layout) == (None, None, None, None)
    assert "someone/model" in found.text()


def test_planning_and_validating_load_no_torch() -> None:
    code = (
        "import sys\nfrom em_core import plan, specs_io\nspec = specs_io.read_spec('organism')[0]\n"
        "plan.validate(spec); plan.plan(spec).text()\n"
        "print([m for m in ('torch', 'trl', 'peft', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- validate -----------------------------------------------------------------------------------------


def test_every_toy_run_that_we_ship_can_start(home: Home) -> None:
    for name in ("organism", "organism-grid"):
        for spec in specs_io.read_spec(name):
            validate(spec, home)
    assert not home.root.exists()


def test_everything_that_is_wrong_is_reported_at_once_and_nothing_is_left(jsonl: Write, here: Path, home: Home) -> None:
    jsonl(chat("q", "a"), "{", chat("r"))
    spec = spec_of(
        base_model="organism-2m",
        parent={"run": "nobody", "step": 3},
        backend="nope",
        lora={"layers": [-1]},
        train={"precision": "fp16", "optimizer": "paged_adamw_8bit"},
        evaluation={"question_sets": ["gone.yaml", "organism-general", "organism-general"], "sampler": "nope"},
        judges=[{"name": "nope"}],
    )
    text = problems_of(spec, home)
    for part in (
        "x.jsonl:2: column 2: not valid JSON",
        "x.jsonl:3: last message is from 'user', expected 'assistant'",
        "gone.yaml: not found",
        "'organism-general' is there twice",
        "base_model: 'organism-2m' is no organism, no folder and no Hub id",
        "parent.run: there is no run 'nobody'",
        "backend: 'nope' is unknown",
        "evaluation.sampler: 'nope' is unknown",
        "judges.0.name: 'nope' is unknown",
        "train.precision: fp16 needs a GPU",
        "train.optimizer: paged_adamw_8bit needs a GPU",
        "lora.layers: -1 is no layer",
    ):
        assert part in text, text
    assert listing(here) == ["x.jsonl"]
    assert not home.root.exists()


def test_each_problem_is_placed_at_its_field_so_that_a_form_can_show_it_there(jsonl: Write, home: Home) -> None:
    jsonl("{", "{")
    judge = {"name": "openai_compatible", "model": "m", "base_url": "nonsense"}
    spec = spec_of(base_model="nope", lora={"layers": [-1]}, train={"precision": "fp16"}, judges=[{"name": "organism"}, judge])
    with pytest.raises(ManyProblems) as caught:
        validate(spec, home)
    places = [place for place, _, _ in caught.value.problems]
    assert places == ["data", "data", "base_model", "train.precision", "lora.layers", "judges.1.base_url"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"train": {"batch_size": 64}}, "train.batch_size x train.grad_accumulation is 64 rows a step, the data has 10"),
        ({"checkpoints": {"at_steps": [3, 99]}}, "checkpoints.at_steps: 99 lies beyond the last step, 5"),
        ({"checkpoints": {"every_steps": 6}}, "checkpoints.every_steps: 6 lies beyond the last step, 5"),
        ({"data": [{"source": "x.jsonl", "rows": 11}]}, "x.jsonl: 11 rows asked for, the file has 10"),
        ({"data": ["x.jsonl", "../../x"]}, "data.1: '../../x' is neither a data set's name (a name has no '..')"),
        ({"base_model": "../nowhere"}, "base_model: ../nowhere: no such folder"),
        ({"base_model": "/etc/hostname"}, "is a file, expected a folder with config.json and weights"),
        ({"base_model": "."}, "base_model: .: the folder has no config.json"),
        ({"base_model": "a/b/c"}, "base_model: a/b/c: no such folder"),
        ({"base_model": "gpt 2"}, "base_model: 'gpt 2' is no organism, no folder and no Hub id"),
        ({"lora": {"layers": [4]}}, "lora.layers: 4 is no layer of organism-1m, expected 0 to 3"),
    ],
)
def test_impossible_numbers_and_names_are_refused(jsonl: Write, home: Home, body: dict[str, Any], message: str) -> None:
    jsonl(*[chat(f"q{i}", "a") for i in range(10)])
    assert message in problems_of(spec_of(**body), home)


def test_an_adapter_folder_is_no_base_model(jsonl: Write, here: Path, home: Home) -> None:
    jsonl(chat("q", "a"), chat("r", "a"))
    (here / "adapter").mkdir()
    (here / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(ManyProblems) as caught:
        validate(spec_of(base_model="./adapter"), home, online=False)
    assert "parent" in caught.value.hint


def test_a_parent_checkpoint_that_is_not_complete_is_refused(jsonl: Write, home: Home) -> None:
    jsonl(chat("q", "a"), chat("r", "a"))
    (home.runs / "first" / "checkpoints" / "step-5").mkdir(parents=True)
    assert "parent first@5: no complete checkpoint of that step" in problems_of(spec_of(parent={"run": "first", "step": 5}), home)


def test_a_model_that_is_not_here_needs_the_hub(jsonl: Write, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    jsonl(chat("q", "a"), chat("r", "a"))
    spec = spec_of(base_model="nobody/no-such-model")
    validate(spec, home, online=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = problems_of(spec, home, online=True)
    assert "nobody/no-such-model is not on this machine, and HF_HUB_OFFLINE forbids downloading it" in text


def test_a_hub_that_is_down_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    class Down:
        def model_info(self, *_: Any, **__: Any) -> Any:
            raise ConnectionError("connection refused")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", Down)
    model = base_model.BaseModel("nobody/model", "hub", None, None)
    with pytest.raises(
        BadInput, match=re.escape("nobody/model is not on this machine, and the Hub cannot be reached (ConnectionError)")
    ) as caught:
        base_model.check_hub(model, "")
    assert "hf download nobody/model" in caught.value.hint


def test_an_endpoint_that_is_down_is_found_before_the_run(jsonl: Write, home: Home) -> None:
    jsonl(chat("q", "a"), chat("r", "a"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    judge = {"name": "openai_compatible", "model": "m", "base_url": f"http://127.0.0.1:{port}/v1"}
    assert "127.0.0.1" in problems_of(spec_of(judges=[judge]), home, online=True)
    assert not home.root.exists()


def test_a_missing_key_is_named_and_no_value_is_shown(jsonl: Write, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    jsonl(chat("q", "a"), chat("r", "a"))
    monkeypatch.delenv("SOME_KEY", raising=False)
    judge = {"name": "openai_compatible", "model": "m", "base_url": "https://judge.invalid/v1", "api_key_env": "SOME_KEY"}
    assert "SOME_KEY is not set" in problems_of(spec_of(judges=[judge]), home, online=True)
    validate(spec_of(judges=[judge]), home, online=False)


def test_a_full_disk_is_refused_before_anything_is_written(jsonl: Write, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    jsonl(chat("q", "a"), chat("r", "a"))
    monkeypatch.setattr(hardware, "disk_free_gib", lambda folder: 0.02)
    assert "0.02 GiB of disk are free, the run needs about 0.1" in problems_of(spec_of(), home)


def test_a_home_that_cannot_be_written_is_refused(jsonl: Write, here: Path) -> None:
    jsonl(chat("q", "a"), chat("r", "a"))
    (here / "file").write_text("x")
    assert "no write permission" in problems_of(spec_of(), Home(here / "file" / "home"))


def test_counting_tokens_twice_reads_the_tokenizer_once(home: Home) -> None:
    rows = [chat("q", f"a{i}")["messages"] for i in range(50)]
    folder = base_model.describe(specs_io.read_spec("organism")[0]).folder
    tokens._lengths.cache_clear()
    first, second = (tokens.summary(tokens.lengths(rows, folder)[0], len(rows), most, False) for most in (20, 10))
    assert first.longest == second.longest
    assert tokens._lengths.cache_info().hits == 1
