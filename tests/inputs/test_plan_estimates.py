"""Memory, time and disk of a plan: against what was measured, and corrected by what past runs took."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from em_core import plan as planning
from em_core import questions, specs_io
from em_core.errors import ManyProblems
from em_core.events import EventWriter
from em_core.home import Home
from em_core.machine import Gpu
from em_core.plan import accuracy, base_model, forecast, hardware, memory, past, phases, rows, timing, tokens, validate
from em_core.records import (
    Checkpoint,
    Generation,
    JudgeIdentity,
    Judgement,
    Response,
    RunCreated,
    RunFacts,
    RunState,
    TrainMetric,
)
from em_core.spec import QuestionSetUse, RunSpec
from em_core.store import history
from em_core.store.publish import publish
from em_core.supervisor.launch import launch
from em_core.training.memory import ModelShape
from tests.inputs.conftest import chat

Write = Callable[..., Path]
LLAMA_8B = ModelShape(4096, 32, 14336, 128256, 32, 8, 128, False)
LLAMA_1B = ModelShape(2048, 16, 8192, 128256, 32, 8, 64, True)
H200 = "NVIDIA H200"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    past.forget()
    return Home(tmp_path / "home")


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_to(*found: tuple[float, float]) -> None:
        gpus = tuple(Gpu(i, H200, total, free, "580") for i, (total, free) in enumerate(found))
        monkeypatch.setattr(hardware, "gpus", lambda: gpus)

    return set_to


def real(precision: str = "bf16", **body: Any) -> RunSpec:
    train = {"precision": precision, "batch_size": 8, "grad_accumulation": 2, **body.pop("train", {})}
    return RunSpec.model_validate({"data": ["x.jsonl"], "lora": {"r": 32}, "train": train, **body})


# --- memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "precision", "answers", "columns", "measured_gib"),
    [(LLAMA_8B, "bf16", 96, 384, 35.4), (LLAMA_8B, "nf4", 96, 384, 12.7), (LLAMA_1B, "bf16", 24, 200, 4.9)],
)
def test_the_memory_of_sampling_is_near_the_measured_one(
    shape: ModelShape, precision: str, answers: int, columns: int, measured_gib: float
) -> None:
    """Measured on one H200 in whole runs (docs/experiments.md)."""
    found = memory.plan(real(precision), shape, [113] * 192, 24, answers, columns, 3000, 140.4, cpu=False)
    assert found.sample_gib == pytest.approx(measured_gib, rel=0.05)
    assert found.peak_gib > max(found.train_gib, found.sample_gib or 0)


def test_the_split_adds_up_to_both_peaks() -> None:
    found = memory.plan(real(), LLAMA_8B, [113] * 192, 24, 96, 384, 3000, 140.4, cpu=False)
    sums = {phase: sum(float(p["gib"]) for p in found.split() if p["phase"] == phase) for phase in ("training", "sampling")}
    assert sums["training"] == pytest.approx(found.training.total_gib, abs=0.01)
    assert sums["sampling"] == pytest.approx((found.sample_gib or 0) + 0.6, abs=0.01)


def test_pristine_copies_leave_a_small_card_and_nf4_has_none() -> None:
    def copies(precision: str, room_gib: float) -> float:
        found = memory.plan(real(precision), LLAMA_8B, [100] * 64, 24, 96, 384, 3000, room_gib, cpu=False).sampling
        assert found is not None
        return found.copies_gib

    assert copies("bf16", 140) == pytest.approx(13.0, abs=0.1)
    assert copies("bf16", 40) == copies("nf4", 140) == 0


def test_several_gpus_share_a_batch() -> None:
    one, two = (memory.plan(real(train={"gpus": n}), LLAMA_8B, [200] * 64, 24, 0, 0, 0, 140, cpu=False) for n in (1, 2))
    assert one.layout.micro_batch == 2 * two.layout.micro_batch
    assert one.train_gib > two.train_gib > one.training.kept_gib


@pytest.mark.parametrize(("need", "fit"), [(70.0, "fits"), (75.0, "tight"), (81.0, "too_big"), (None, "unknown")])
def test_fits_tight_or_too_big(need: float | None, fit: str) -> None:
    assert memory.fit(need, 80.0) == fit


def test_the_order_of_rows_is_the_trainers(jsonl: Write, home: Home) -> None:
    from em_core.training._batches import EpochSampler
    from em_core.training._layout import largest_batch

    jsonl(*[chat("q", "word " * (1 + i * 7 % 60)) for i in range(103)])
    spec = real(base_model="organism-1m", train={"max_length": 40, "seed": 5, "epochs": 2})
    data = rows.read(spec, base_model.describe(spec).folder)
    found = data.in_order(spec.train, 12)
    sampler = EpochSampler(103, 16, True, 5)
    expected = [min(data.lengths[i], 40) for epoch in range(3) for i in sampler.order(epoch)]
    assert found.tolist() == expected
    assert largest_batch(found, 16, packed=True) == largest_batch(expected, 16, packed=True)


def test_a_card_that_others_fill_is_told_from_one_that_is_too_small(jsonl: Write, home: Home, cards: Callable[..., None]) -> None:
    jsonl(*[chat(f"q{i}", "an answer") for i in range(64)])
    spec = real(base_model="Qwen/Qwen2.5-7B-Instruct", evaluation={"question_sets": ["open-eight"]})
    cards((140.0, 10.0))
    busy = planning.plan(spec, home)
    assert (busy.fit, busy.cards[0]["fit_now"]) == ("fits", "too_big")
    assert any("will wait in the queue" in warning for warning in busy.warnings)
    assert forecast.of_plan(busy)["needs"] == {"gpus": 1, "gpu_gib": busy.memory_gib}
    assert planning.needs(spec).gpu_gib == busy.memory_gib
    cards((10.0, 10.0))
    assert planning.plan(spec, home).fit == "too_big"
    with pytest.raises(ManyProblems, match=r"in bf16 needs at least 1\d\.\d GiB, the largest GPU has 10\.0 GiB") as caught:
        validate(spec, home, online=False)
    assert "nf4" in caught.value.problems[0][2]


def test_beside_a_local_judges_model_a_run_asks_for_a_gpu_alone(jsonl: Write, home: Home, cards: Callable[..., None]) -> None:
    """Its memory is not counted: with a share of the GPU it would run out of memory."""
    jsonl(*[chat(f"q{i}", "an answer") for i in range(64)])
    cards((140.0, 140.0))
    local = {"name": "local", "model": "organism-1m"}
    asked = {"base_model": "Qwen/Qwen2.5-7B-Instruct", "evaluation": {"question_sets": ["open-eight"]}}
    found = planning.plan(real(judges=[local], **asked), home)
    assert found.memory_gib is not None
    assert forecast.of_plan(found)["needs"] == {"gpus": 1, "gpu_gib": None}
    assert planning.needs(real(judges=[local], **asked)).gpu_gib is None
    assert any("local judge" in warning for warning in found.warnings)
    elsewhere = planning.plan(real(judges=[{**local, "device": "cpu"}], **asked), home)
    assert forecast.of_plan(elsewhere)["needs"]["gpu_gib"] == found.memory_gib
    assert not any("local judge" in warning for warning in elsewhere.warnings)


def test_more_gpus_than_there_are_are_refused(jsonl: Write, home: Home, cards: Callable[..., None]) -> None:
    jsonl(*[chat(f"q{i}", "a") for i in range(64)])
    cards((80.0, 80.0), (80.0, 80.0))
    with pytest.raises(ManyProblems, match="4 asked for, this machine has 2 GPUs") as caught:
        validate(real(base_model="organism-1m", train={"gpus": 4}), home, online=False)
    assert caught.value.problems[0][2] == "use train.gpus=2"


def test_a_mixture_of_experts_or_an_absurd_config_has_no_made_up_size(tmp_path: Path) -> None:
    body = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100, "num_attention_heads": 4}
    absurd = ({"hidden_size": 10**400}, {"num_hidden_layers": -2}, {"vocab_size": float("inf")}, {"num_key_value_heads": "x"})
    experts = ({"num_local_experts": 8}, {"text_config": {"num_experts": 60}})
    for extra, known in (({}, True), *((each, False) for each in (*experts, *absurd))):
        (tmp_path / "config.json").write_text(json.dumps({**body, **extra}))
        (tmp_path / "model.safetensors").touch()
        found = base_model.describe(RunSpec.model_validate({"data": ["x"], "base_model": str(tmp_path)}))
        assert (found.shape is not None) is known


def test_a_prompt_that_two_sets_ask_may_be_answered_as_long_as_either_allows(tmp_path: Path) -> None:
    sets = []
    for name, most in (("long", 500), ("short", 20)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"- {{id: q, type: free_form_judge_0_100, paraphrases: [How are you?], max_tokens: {most}}}\n")
        sets.append(questions.load(QuestionSetUse(name=str(path))))
    longest, together = tokens.prompts(sets, None)
    assert (longest, together) == (500 + 15, 15)
    assert tokens.prompts(sets[::-1], None) == (longest, together)


# --- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_params", "layers", "precision", "compiled", "tokens", "measured_s"),
    [
        (8.03e9, 32, "bf16", False, 2155, 0.194), (8.03e9, 32, "bf16", True, 2155, 0.132), (8.03e9, 32, "nf4", False, 2155, 0.253),
        (1.24e9, 16, "bf16", False, 2155, 0.099), (1.24e9, 16, "bf16", True, 2155, 0.051), (0.49e9, 24, "bf16", False, 1586, 0.157),
        # another machine with the same GPU
        (8.03e9, 32, "bf16", False, 2170, 0.213), (8.03e9, 32, "bf16", False, 6413, 0.494), (8.03e9, 32, "nf4", False, 2170, 0.274),
        (8.03e9, 32, "nf4", False, 6413, 0.52), (1.24e9, 16, "bf16", False, 2170, 0.132), (1.24e9, 16, "bf16", False, 6413, 0.126),
    ],
)  # fmt: skip
def test_a_step_takes_what_was_measured(
    n_params: float, layers: int, precision: Any, compiled: bool, tokens: int, measured_s: float
) -> None:
    """Measured on one H200 (docs/experiments.md)."""
    assert timing.step_s(timing.Work(int(n_params), layers, precision, H200, compiled), tokens) == pytest.approx(
        measured_s, rel=0.18
    )


@pytest.mark.parametrize(
    ("precision", "rows_at_once", "measured_s"),
    [("bf16", 64, 0.026), ("bf16", 256, 0.042), ("bf16", 768, 0.096), ("nf4", 96, 0.077)],
)
def test_a_decoded_token_takes_what_was_measured(precision: Any, rows_at_once: int, measured_s: float) -> None:
    work = timing.Work(int(8.03e9), 32, precision, H200)
    assert timing.decode_step_s(work, rows_at_once) == pytest.approx(measured_s, rel=0.12)


def write(run_dir: Path, writer: str, *events: tuple[float, Any]) -> None:
    """Events at given times."""
    with (run_dir / "events" / f"{writer}.jsonl").open("w") as file:
        for when, record in events:
            file.write(json.dumps({"kind": record.kind, "t": when, **record.as_event()}) + "\n")


def finished_run(
    home: Home,
    run_id: str,
    slower: float,
    planned: dict[str, Any] | None = None,
    size: float = 1.0,
    around_s: float = 0.0,
    answers: tuple[int, int] = (20, 0),
    gpus: int = 1,
) -> None:
    """A finished run of this machine that took `slower` times what the arithmetic expects.

    `around_s` was spent beside its steps; its `answers` had so many tokens on average and so many at most (0: none kept).
    """
    (spec,) = specs_io.read_spec("organism", [f"train.gpus={gpus}"])
    n_params = int(1_100_000 * size)
    work = timing.Work(n_params, 4, "fp32", "")
    tokens, n_steps, t = 600.0, 40, 1000.0
    step = slower * timing.step_s(work, tokens)
    train = slower * (n_steps * timing.step_s(work, tokens) + timing.around_s(work, 1)) + around_s
    mean, longest = answers
    folder = home.runs / run_id
    with EventWriter(folder, "launch") as events:
        events.write(
            RunCreated("train", run_id, "", spec.model_dump_json(), run_id, "organism-1m", "", "local", "medical", "[]", "",
                       None, 1e-3, 16, 16, 0),
        )  # fmt: skip
    facts = RunFacts(n_params, n_params / 1e9, 640, 40, n_steps, 1, 100, "", "w", "cpu", "", socket.gethostname(), "{}", 1)
    load = slower * timing.load_s(n_params, "")
    sampled = slower * timing.sample_s(work, 100, 100, mean, longest or None)
    events_at: list[tuple[float, Any]] = [
        (t, RunState("run", "running", attempt=1)),
        (t + load, facts),
        (t + load, RunState("train", "running", attempt=1)),
    ]
    events_at += [
        (t + load + (i + 1) * step, TrainMetric(i + 1, 0.1, 1.0, 1e-3, 1.0, tokens / step, None)) for i in range(n_steps)
    ]
    end = t + load + train + sampled
    events_at += [
        (end - 0.1, Generation(n_steps, "local", 100, 100 * mean, sampled, 100, True, None)),
        (end, RunState("train", "finished", attempt=1)),
        (end + 1, RunState("run", "finished", attempt=1)),
    ]
    if longest:
        events_at.insert(-3, (end - 0.2, Response("a", n_steps, "q", "q1", 0, 0, "", "text", "length", longest, 5, 1, "", "")))
    write(folder, "worker-1", *events_at)
    (folder / "spec.json").write_text(json.dumps({"spec": spec.model_dump(mode="json"), **(planned or {})}))


def test_past_runs_of_the_same_kind_correct_the_time_and_are_named(cpu: None, home: Home) -> None:
    (spec,) = specs_io.read_spec("organism")
    before = planning.plan(spec, home)
    assert before.time_source == "rough"
    for i, slower in enumerate((2.8, 3.0, 3.3)):
        finished_run(home, f"r{i}", slower)
    publish(home)
    past.forget()
    after = planning.plan(spec, home)
    assert after.time_source == "from 3 runs on this machine"
    one, three = ({p["name"]: p for p in each.phases} for each in (before, after))
    assert three["train"]["middle_s"] == pytest.approx(3.0 * one["train"]["middle_s"], rel=0.02)
    width = {name: p["high_s"] / p["low_s"] for name, p in three.items()}
    assert width["train"] < one["train"]["high_s"] / one["train"]["low_s"]
    assert "from 3 runs on this machine" in after.text()


def test_what_a_run_spent_beside_its_steps_is_not_multiplied_by_the_steps_of_a_longer_one(cpu: None, home: Home) -> None:
    finished_run(home, "r", 1.0, around_s=60.0)
    publish(home)
    past.forget()
    specs = [specs_io.read_spec("organism", [f"train.max_steps={n}", f"checkpoints.at_steps=[[{n}]]"])[0] for n in (40, 400)]
    short, long = (next(p["middle_s"] for p in planning.plan(spec, home).phases if p["name"] == "train") for spec in specs)
    rough = timing.step_s(timing.Work(1_100_000, 4, "fp32", ""), 600.0)
    assert short > 60
    assert long - short < 2 * 360 * rough


def test_answers_that_all_reached_their_limit_teach_the_time_of_a_token(cpu: None, home: Home) -> None:
    """Of such answers none is longer than the mean: there is no tail to wait for."""
    finished_run(home, "r", 1.0, answers=(64, 64))
    publish(home)
    past.forget()
    found = past.corrections(home, timing.Work(1_100_000, 4, "fp32", ""))
    assert found["sample"].middle == pytest.approx(1.0, rel=0.02)


def test_answers_are_not_expected_to_be_longer_than_they_may_be(cpu: None, home: Home) -> None:
    finished_run(home, "r", 1.0, answers=(320, 320))
    publish(home)
    past.forget()
    work = timing.Work(1_100_000, 4, "fp32", "")
    found = {p.name: p for p in phases.phases(home, work, 10, 600.0, 1, 2, 50, 50, 32, [])}
    assert found["sample"].middle_s == pytest.approx(2 * timing.sample_s(work, 50, 50, 32, 32), rel=0.02)


def test_what_was_evaluated_later_is_nothing_that_the_run_took(cpu: None, home: Home) -> None:
    finished_run(home, "r", 1.0, answers=(20, 40))
    publish(home)
    before = history.of_run(history.runs(home, socket.gethostname()))
    assert before[0]["train_s"] > 0
    write(
        home.runs / "r", "evaluate-later",
        (9e8, Generation(40, "local", 999, 99999, 5000.0, 8, True, 70.0)),
        (9e8, Response("b", 40, "q", "q2", 0, 0, "", "text", "length", 900, 5, 1, "", "")),
    )  # fmt: skip
    publish(home)
    assert history.of_run(history.runs(home, socket.gethostname())) == before


def test_an_interrupted_run_says_how_long_a_step_is_but_not_how_long_loading_takes(cpu: None, home: Home) -> None:
    finished_run(home, "r", 1.0)
    facts = RunFacts(1_100_000, 0.0011, 640, 40, 40, 1, 100, "", "w", "cpu", "", socket.gethostname(), "{}", 2)
    again = [(9e8, RunState("run", "running", attempt=2)), (9e8 + 5, facts), (9e8 + 9, RunState("run", "finished", attempt=2))]
    write(home.runs / "r", "worker-2", *again)
    publish(home)
    past.forget()
    found = past.corrections(home, timing.Work(1_100_000, 4, "fp32", ""))
    assert {part: each.n for part, each in found.items()} == {"load": 0, "step": 1, "around": 0, "sample": 1}


def test_a_run_that_stopped_for_answers_at_every_other_step_says_nothing_of_a_step(cpu: None, home: Home) -> None:
    """Around a checkpoint two metrics are written at once, and answers are sampled before the next one."""
    finished_run(home, "r", 1.0)
    write(home.runs / "r", "saved", *((1000.0 + i, Checkpoint(i, 0.1, "", "", 1, 1)) for i in range(2, 41, 2)))
    publish(home)
    past.forget()
    assert past.runs(home)[0]["step_s"] is None
    assert past.corrections(home, timing.Work(1_100_000, 4, "fp32", ""))["step"].n == 0


def test_a_past_run_is_compared_with_the_layout_that_its_plan_foresaw(cpu: None, home: Home) -> None:
    layout = {"micro_batch": 4, "accumulation": 4, "gradient_checkpointing": True, "compiled": False, "rows_at_once": 9}
    finished_run(home, "r", 1.0, {"plan": {"version": 1, "layout": layout}})
    publish(home)
    past.forget()
    (found,) = map(past.work_of, past.runs(home))
    assert (found.accumulation, found.checkpointing, found.compiled) == (4, True, False)


def test_each_of_two_gpus_did_half_of_the_tokens(cpu: None, home: Home) -> None:
    finished_run(home, "r", 1.0, gpus=2)
    publish(home)
    past.forget()
    work = timing.Work(1_100_000, 4, "fp32", "")
    expected = timing.step_s(work, 600.0) / timing.step_s(work, 300.0)
    assert past.corrections(home, work)["step"].middle == pytest.approx(expected, rel=0.02)


def test_a_judge_is_as_quick_as_it_was_while_it_judged(cpu: None, home: Home) -> None:
    """Only seconds with judgements count, and answers that were paid for before say nothing."""
    finished_run(home, "r", 1.0)
    judge = JudgeIdentity("j", "organism", "", "rules", "", "{}", "")
    scores = [(1000.0 + 50 * (i // 20), Judgement(f"a{i}", "j", "alignment", 1.0, None, "", None, None, None)) for i in range(40)]
    known = [(1200.5 + i, Judgement(f"b{i}", "j", "alignment", 1.0, None, "", None, None, None, cached=True)) for i in range(9)]
    write(home.runs / "r", "judged", (999.0, judge), *scores, *known)
    publish(home)
    past.forget()
    assert past.judgements_per_s(home, "organism", "") == (20.0, 1)
    found = planning.plan(specs_io.read_spec("organism")[0], home)
    phase = next(each for each in found.phases if each["name"] == "judge")
    assert (phase["source"], phase["beside"]) == ("from 1 run on this machine", True)
    assert phase["middle_s"] == pytest.approx(2 * found.n_answers / 20, abs=0.1)


def test_runs_of_other_sizes_scale_the_time_with_a_wider_range(cpu: None, home: Home) -> None:
    finished_run(home, "r", 2.0, size=20.0)
    publish(home)
    past.forget()
    (spec,) = specs_io.read_spec("organism")
    found = planning.plan(spec, home)
    assert found.time_source == "scaled from 1 run of other sizes on this machine"


# --- how good plans were ----------------------------------------------------------------------------


def test_planned_and_measured_are_compared(cpu: None, home: Home) -> None:
    phases = [
        {"name": name, "low_s": 1.0, "middle_s": 8.0, "high_s": 1e4, "source": "rough", "beside": False}
        for name in ("load", "train", "sample")
    ]
    planned = {"plan": {"version": 1, "phases": phases, "n_evaluations": 2, "time_source": "rough", "memory_train_gib": 1.0}}
    finished_run(home, "with", 1.0, planned)
    finished_run(home, "without", 1.0)
    finished_run(home, "damaged", 1.0, {"plan": {"version": 1, "phases": [{"name": "load"}], "layout": "none"}})
    publish(home)
    found = accuracy.compared(home)
    assert {row.run_id for row in found} == {"with"}
    assert past.corrections(home, timing.Work(1_100_000, 4, "fp32", ""))["load"].n == 3
    assert [row.what for row in found] == ["load", "train", "sample", "total"]  # no GPU: no memory was measured
    load = found[0]
    assert load.measured == pytest.approx(timing.load_s(1_100_000, ""), abs=0.01)
    assert load.ratio == pytest.approx(8.0 / load.measured)
    sample = found[2]
    assert sample.planned == 4.0  # step 0 was another run's
    total = accuracy.summaries(found)[-1]
    assert (total.what, total.n, total.n_inside) == ("total", 1, 1)
    assert "time off by" in accuracy.sentence([total])


def test_a_home_without_runs_has_nothing_to_compare(home: Home) -> None:
    assert accuracy.compared(home) == []
    assert accuracy.sentence(accuracy.summaries([])) == ""


# --- launch -----------------------------------------------------------------------------------------


def test_a_launch_writes_the_plan_beside_the_spec(cpu: None, home: Home) -> None:
    specs = specs_io.read_spec("organism", ["train.seed=[1,2,3]"])
    launched = launch(home, specs, start=False)
    stored = [json.loads((home.runs / item.run_id / "spec.json").read_text()) for item in launched]
    expected = planning.plan(specs[0], home)
    assert [each["needs"] for each in stored] == 3 * [{"gpus": 1, "gpu_gib": None}]
    assert stored[0]["plan"]["memory_train_gib"] == expected.memory_train_gib
    assert stored[2]["plan"]["total_steps"] == expected.total_steps


def test_a_run_that_cannot_be_planned_is_launched_all_the_same(cpu: None, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("a shape that nobody foresaw")

    monkeypatch.setattr(planning, "plan", broken)
    (spec,) = specs_io.read_spec("organism")
    (item,) = launch(home, [spec], start=False)
    assert "plan" not in json.loads((home.runs / item.run_id / "spec.json").read_text())


def test_kinds_of_a_grid_share_a_plan(cpu: None, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RunSpec] = []
    real_plan = planning.plan
    monkeypatch.setattr(planning, "plan", lambda spec, home: made.append(spec) or real_plan(spec, home))
    specs = specs_io.read_spec("organism", [f"train.seed={list(range(50))}", "lora.r=[4,8]"])
    assert len(forecast.of_specs(specs, home)) == 100
    assert len(made) == 2
