"""Adapters and models that were not trained here: read without running anything, answers of their own."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from em_core.adapters import CONFIG, STATE
from em_core.checkpoints import COMPLETE, WEIGHTS
from em_core.errors import BadInput
from em_core.evaluate_job import read_job
from em_core.evaluate_job.command import command, wanted_of
from em_core.evaluate_job.todo import Wanted, look
from em_core.evaluate_job.work import work
from em_core.home import PROJECT
from em_core.records import METRICS
from em_core.store.publish import publish
from em_core.store.reader import connect
from em_core.supervisor import evaluate
from em_core.supervisor.evidence import run_status
from tests.evaluate_job.conftest import Workbench, never, question_file


@pytest.fixture
def folder(bench: Workbench) -> Path:
    """The last checkpoint of the run, copied away, as somebody would hand it on."""
    path = bench.root / "handed-on"
    shutil.copytree(bench.run_dir / "checkpoints" / "step-4", path)
    return path


def change(folder: Path, **fields: Any) -> None:
    """Change the adapter's config; the folder is then somebody else's, without a COMPLETE.json."""
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | fields))
    (folder / COMPLETE).unlink(missing_ok=True)


def wanted(bench: Workbench, target: object, **fields: Any) -> Wanted:
    """General questions, weights in full precision."""
    sets = (str(question_file(bench.root, "general")),)
    return Wanted(str(target), sets, **{"precision": "fp32", "samples": 1} | fields)


def done(bench: Workbench, target: object, **fields: Any) -> str:
    """Queue it and do it; the job's id."""
    queued = evaluate.queue(bench.home, wanted(bench, target, **fields), start=False)
    work(bench.home.run_dir(queued.run_id), never)
    return queued.run_id


def test_an_adapter_answers_as_the_checkpoint_that_it_is_under_the_step_that_it_names(bench: Workbench, folder: Path) -> None:
    job = done(bench, folder, domain="medical")
    own = bench.events(job, "response")
    there = [e for e in bench.events(bench.run_id, "response") if e["step"] == 4]
    assert Counter(e["step"] for e in own) == {4: 4}
    assert {(e["question_id"], e["paraphrase"], e["text"]) for e in own} == {
        (e["question_id"], e["paraphrase"], e["text"]) for e in there
    }
    assert {e["weights_sha256"] for e in own} == {e["weights_sha256"] for e in there}
    assert run_status(bench.home.run_dir(job)).state == "finished"
    publish(bench.home)
    shown = connect(bench.home).frame(
        "SELECT step, count(*)::INT AS n, count(alignment)::INT AS scored FROM shown_scores WHERE run_id = $run GROUP BY step "
        "ORDER BY step",
        {"run": job},
    )
    assert shown.values.tolist() == [[0, 4, 4], [4, 4, 4]]  # its starting model's answers were there: the run's own step 0
    assert len({e["response_id"] for e in bench.events(bench.events(job, "run_facts")[0]["baseline_run_id"], "response")}) == 4
    (card,) = bench.events(job, "run_created")
    assert (card["run_kind"], card["domain"], card["base_model"]) == ("evaluate", "medical", "organism-0.3m")


def test_without_a_state_the_step_is_one(bench: Workbench, folder: Path) -> None:
    (folder / STATE).unlink()
    (folder / COMPLETE).unlink()
    job = done(bench, folder, judges=())
    assert {e["step"] for e in bench.events(job, "response")} == {1}
    assert not bench.events(job, "judgement")


def test_a_plain_model_is_the_shared_step_0(bench: Workbench) -> None:
    before = len(bench.events(bench.events(bench.run_id, "run_facts")[0]["baseline_run_id"], "response"))
    job = done(bench, "organism-0.3m")
    facts = bench.events(job, "run_facts")[0]
    assert facts["baseline_run_id"] == bench.events(bench.run_id, "run_facts")[0]["baseline_run_id"]
    assert len(bench.events(facts["baseline_run_id"], "response")) == before  # another run had asked it before
    by_folder = done(bench, PROJECT / "data" / "organism" / "0.3m", samples=2)
    shared = bench.events(bench.events(by_folder, "run_facts")[0]["baseline_run_id"], "response", "judgement")
    assert Counter(e["kind"] for e in shared) == {"response": 8, "judgement": 8 * len(METRICS)}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"bias": "all"}, "bias"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"lora_alpha": "much"}, "lora_alpha"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "alpha_pattern"),
    ],
)
def test_more_than_plain_lora_is_refused(bench: Workbench, folder: Path, fields: dict[str, Any], said: str) -> None:
    change(folder, **fields)
    with pytest.raises(BadInput, match=said):
        done(bench, folder)


def test_a_pickle_is_never_read(bench: Workbench, folder: Path) -> None:
    (folder / COMPLETE).unlink()
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(BadInput, match="pickle"):
        look(bench.home, wanted(bench, folder))
    model = bench.root / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(BadInput, match="safetensors"):
        look(bench.home, wanted(bench, model, judges=()))


def test_weights_that_do_not_fit_or_are_damaged_are_named(bench: Workbench, folder: Path) -> None:
    with pytest.raises(BadInput, match="does not fit the base model"):
        done(bench, folder, base="organism-1m")
    (folder / WEIGHTS).write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00notjson!")
    with pytest.raises(BadInput, match=COMPLETE):
        look(bench.home, wanted(bench, folder))
    (folder / COMPLETE).unlink()
    with pytest.raises(BadInput, match="cannot be read"):
        done(bench, folder)


def test_weights_that_changed_after_queueing_are_not_asked(bench: Workbench, folder: Path) -> None:
    queued = evaluate.queue(bench.home, wanted(bench, folder), start=False)
    (folder / COMPLETE).unlink()
    shutil.copy(bench.run_dir / "checkpoints" / "step-2" / WEIGHTS, folder / WEIGHTS)
    with pytest.raises(BadInput, match="others than when it was queued"):
        work(bench.home.run_dir(queued.run_id), never)
    assert not bench.events(queued.run_id, "response")


def test_a_job_gives_the_command_that_queues_it_again(bench: Workbench, folder: Path) -> None:
    asked = wanted(bench, folder, domain="medical", experiment="elsewhere")
    queued = evaluate.queue(bench.home, asked, start=False)
    job = read_job(bench.home.run_dir(queued.run_id))
    again = wanted_of(job.told, job.domain)
    assert again is not None
    assert look(bench.home, again).job.digest == job.digest
    assert "--precision fp32" in command(again)


def test_what_is_left_open_is_asked_for(bench: Workbench, folder: Path) -> None:
    with pytest.raises(BadInput, match="which questions"):
        look(bench.home, Wanted(str(folder)))
    change(folder, base_model_name_or_path="")
    with pytest.raises(BadInput, match="does not name its base model"):
        look(bench.home, wanted(bench, folder))
    change(folder, base_model_name_or_path="nowhere/at-all")
    with pytest.raises(BadInput, match="who should judge"):
        look(bench.home, wanted(bench, folder))
    assert look(bench.home, wanted(bench, folder, base="organism-0.3m")).n_answers == 8
    with pytest.raises(BadInput, match="neither an adapter"):
        look(bench.home, wanted(bench, bench.root))


def test_a_target_that_is_nothing_says_what_it_could_be(bench: Workbench) -> None:
    with pytest.raises(BadInput, match="neither a run") as caught:
        look(bench.home, wanted(bench, bench.run_id[:-1]))
    assert bench.run_id in caught.value.hint
    with pytest.raises(BadInput, match="no such folder"):
        look(bench.home, wanted(bench, "./nowhere"))
    (bench.home.runs / "imported-x" / "events").mkdir(parents=True)
    with pytest.raises(BadInput, match="weights are not here"):
        look(bench.home, wanted(bench, "imported-x"))
