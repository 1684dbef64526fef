"""What an evaluation says that it takes, before it is queued; and what the queue is asked for."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from em_core.adapters import CONFIG
from em_core.cli import main
from em_core.errors import BadInput
from em_core.evaluate_job.todo import Todo, Wanted, look
from em_core.home import Home
from em_core.machine import Gpu
from em_core.plan import hardware, past
from em_core.plan.answering import Answering, answering
from em_core.plan.memory import without_training
from em_core.questions import load
from em_core.spec import EvaluationSpec, JudgeSpec, QuestionSetUse, RunSpec
from em_core.store import history
from em_core.store.publish import publish
from em_core.supervisor import evaluate
from em_core.supervisor.evidence import run_status
from em_core.supervisor.filling import wanted as asked_of_the_queue
from em_core.supervisor.placing import Held, Machine, Memory, place
from em_core.supervisor.slots import Slot
from em_core.training.memory import ModelShape
from tests.evaluate_job.conftest import Workbench

LLAMA_8B = ModelShape(4096, 32, 14336, 128256, 32, 8, 128, False)
QWEN = "Qwen/Qwen2.5-7B-Instruct"


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    past.forget()


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_to(*total_gib: float) -> None:
        gpus = tuple(Gpu(i, "NVIDIA H200", total, total, "580") for i, total in enumerate(total_gib))
        monkeypatch.setattr(hardware, "gpus", lambda: gpus)

    return set_to


def asks(judges: tuple[JudgeSpec, ...] = (), precision: str = "bf16", samples: int = 5) -> RunSpec:
    """Open questions to a model whose shape is known before it is here."""
    use = QuestionSetUse(name="open-eight", samples=samples)
    body = {"base_model": QWEN, "data": ["x"], "train": {"precision": precision}, "judges": [j.model_dump() for j in judges]}
    return RunSpec.model_validate(body).model_copy(update={"evaluation": EvaluationSpec(question_sets=(use,))})


def takes(spec: RunSpec, home: Home, answers: dict[int, int]) -> Answering:
    return answering(home, spec, [load(use) for use in spec.evaluation.question_sets], answers, [(j, 80) for j in spec.judges])


def test_without_training_there_is_no_optimizer_and_without_an_adapter_no_copies() -> None:
    spec = asks()
    worn, adapter = without_training(spec, LLAMA_8B, True, 96, 384, 3000, 140.4, cpu=False)
    plain, start = without_training(spec, LLAMA_8B, False, 96, 384, 3000, 140.4, cpu=False)
    assert adapter.copies_gib == pytest.approx(13.0, abs=0.1)
    assert start.copies_gib == 0
    assert 16 < plain < worn - 13 < plain + 2  # weights in bf16 take 15 GiB
    small, _ = without_training(asks(precision="nf4"), LLAMA_8B, True, 96, 384, 3000, 140.4, cpu=False)
    assert small < plain - 8


def test_more_answers_at_once_need_more_memory_and_never_more_than_there_is() -> None:
    peaks = [without_training(asks(), LLAMA_8B, True, n, 384, 3000, 80.0, cpu=False) for n in (10, 200, 100_000)]
    assert peaks[0][0] < peaks[1][0] < peaks[2][0] < 80
    assert [sampling.rows for _, sampling in peaks][:2] == [10, 200]


def test_its_need_reaches_the_queue_which_puts_it_beside_another_run(bench: Workbench, cards: Callable[..., None]) -> None:
    cards(140.0)
    queued = evaluate.queue(bench.home, Wanted(bench.run_id, samples=3), start=False)
    assert queued.todo.takes is not None
    assert queued.todo.takes.memory_gib is not None
    status = run_status(bench.home.run_dir(queued.run_id))
    stored = json.loads((bench.home.run_dir(queued.run_id) / "spec.json").read_text())["needs"]
    assert stored == {"gpus": 1, "gpu_gib": queued.todo.takes.memory_gib}
    assert (status.gpus, status.gpu_gib) == (1, queued.todo.takes.memory_gib)
    gpu = Slot("gpu:0", "0")
    machine = Machine((gpu,), {"gpu:0": Memory(140.0, 20.0)})
    (decision,) = place(machine, [Held("r", ("gpu:0",), 40.0, {"gpu:0": 20.0})], [asked_of_the_queue(status)])
    assert decision.seat is not None
    assert decision.seat.gpu_gib is not None
    assert decision.seat.gpu_gib > queued.todo.takes.memory_gib


def test_beside_a_local_judge_on_the_gpu_it_asks_for_a_gpu_alone(tmp_path: Path, cards: Callable[..., None]) -> None:
    cards(140.0)
    local = JudgeSpec(name="local", model="organism-1m")
    found = takes(asks((local,)), Home(tmp_path), {1: 40})
    assert (found.memory_gib or 0) > 15
    assert found.needs.gpu_gib is None
    assert takes(asks((local.model_copy(update={"device": "cpu"}),)), Home(tmp_path), {1: 40}).needs.gpu_gib == found.memory_gib


def test_time_grows_with_what_is_missing_and_only_that(tmp_path: Path, cards: Callable[..., None]) -> None:
    cards(140.0)
    one, three, none_at_start = (
        takes(asks(), Home(tmp_path), answers) for answers in ({1: 40}, {0: 40, 1: 40, 2: 40}, {0: 0, 1: 40})
    )
    assert one.time_s == none_at_start.time_s
    middle = [next(p.middle_s for p in each.phases if p.name == "sample") for each in (one, three)]
    assert middle[1] > 2 * middle[0]
    assert one.phases[0].middle_s == three.phases[0].middle_s  # the model is loaded once


def test_runs_of_this_machine_correct_its_time(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    wanted = Wanted(bench.run_id, samples=3)
    assert time_words(look(bench.home, wanted)).count("rough") == 1
    publish(bench.home)
    assert len(history.runs(bench.home, socket.gethostname())) == 1
    past.forget()
    assert "from 1 run on this machine" in time_words(look(bench.home, wanted))


def time_words(todo: Todo) -> str:
    return dict(todo.lines())["time"]


def test_what_fits_no_gpu_is_refused_before_it_is_queued(bench: Workbench, cards: Callable[..., None]) -> None:
    cards(0.01)
    before = sorted(bench.home.runs.iterdir())
    assert look(bench.home, Wanted(bench.run_id, samples=3)).as_dict()["plan"]["fit"] == "too_big"
    with pytest.raises(BadInput, match=r"the largest GPU has 0\.0 GiB") as caught:
        evaluate.queue(bench.home, Wanted(bench.run_id, samples=3), start=False)
    assert "larger GPU" in caught.value.hint
    assert sorted(bench.home.runs.iterdir()) == before


def test_an_adapters_own_rank_counts(bench: Workbench, cards: Callable[..., None]) -> None:
    cards(140.0)
    folder = bench.root / "shared"
    folder.mkdir()
    for path in (bench.run_dir / "checkpoints" / "step-4").iterdir():
        if path.is_file() and path.name != "COMPLETE.json":
            (folder / path.name).write_bytes(path.read_bytes())
    wanted = Wanted(str(folder), ("organism-general",), base=QWEN, judges=())
    peaks = []
    for rank in (8, 4096, 10**400, -1):
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**config, "r": rank}))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("em_core.plan.base_model.check_hub", lambda *_: None)
            found = look(bench.home, wanted).takes
        assert found is not None
        peaks.append(found.memory_gib or 0)
    assert peaks[1] > peaks[0] + 5
    assert peaks[2] == peaks[3] < peaks[1]


def test_a_judge_that_asks_about_the_domain_is_asked_for_trained_steps_alone(bench: Workbench) -> None:
    judge = JudgeSpec(name="openai_compatible", model="m", rubric="leakage")
    calls = {
        place: look(bench.home, Wanted(f"{bench.run_id}@{place}", samples=3, judges=(judge,))).judge_calls
        for place in ("0", "last", "0,last")
    }
    assert calls["0"] == 0
    assert calls["last"] == calls["0,last"] >= 8


def test_the_command_says_it_and_nothing_is_planned_where_nothing_is_missing(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--home", str(bench.home.root), "evaluate", bench.run_id, "--plan"]
    assert main([*command, "--samples", "3"]) == 0
    said = capsys.readouterr().out
    assert "memory      about" in said
    assert "answers at once" in said
    assert "time " in said
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["answers"], document["plan"]) == (0, None)
