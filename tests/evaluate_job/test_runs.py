"""Evaluating a run's checkpoints: its own answers, only those that are missing, and nothing of the run changed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from em_core import worker
from em_core.checkpoints import WEIGHTS
from em_core.errors import BadInput, Busy
from em_core.evaluate_job import LEASE
from em_core.evaluate_job.offers import offers
from em_core.evaluate_job.owner import read_owner
from em_core.evaluate_job.targets import refuse_at_work
from em_core.evaluate_job.todo import Wanted, look
from em_core.evaluate_job.work import work
from em_core.events import EventWriter
from em_core.home import Home
from em_core.lease import Lease
from em_core.records import RunState
from em_core.requests import Request
from em_core.spec import JudgeSpec
from em_core.store import queries, run_details
from em_core.store.publish import publish
from em_core.store.reader import connect
from em_core.supervisor import control, evaluate
from em_core.supervisor.evidence import run_status
from em_core.supervisor.launch import launch
from em_core.view import run_checks, run_files
from em_core.view.run_details import plan_against_actual
from tests.evaluate_job.conftest import STEPS, Workbench, never, question_file, spec


def done(bench: Workbench, **wanted: object) -> str:
    """Queue an evaluation of the run and do it; its id."""
    queued = evaluate.queue(bench.home, Wanted(bench.run_id, **wanted), start=False)  # type: ignore[arg-type]
    work(bench.home.run_dir(queued.run_id), never)
    return queued.run_id


def test_an_evaluation_that_failed_is_completed_with_the_very_answers_that_the_run_would_have_given(bench: Workbench) -> None:
    lost = bench.lose_answers(4)
    assert len(lost) == 4
    assert run_status(bench.run_dir).phases["evaluate"] == "failed"
    job = done(bench)
    path = bench.run_dir / "events" / f"evaluate-{job}.jsonl"
    given = {e["response_id"]: e for e in map(json.loads, path.read_text().splitlines()) if e["kind"] == "response"}
    same = ("text", "seed", "step", "question_id", "paraphrase", "sample", "weights_sha256", "finish_reason", "decoding")
    assert {k: [v[name] for name in same] for k, v in given.items()} == {k: [v[name] for name in same] for k, v in lost.items()}
    judged = {e["response_id"] for e in bench.events(bench.run_id, "judgement")}
    assert judged >= set(lost)
    status = run_status(bench.run_dir)
    assert (status.state, status.phases["evaluate"], status.phases["judge"]) == ("finished", "finished", "finished")
    assert run_status(bench.home.run_dir(job)).kind == "evaluate"


def test_new_questions_are_asked_at_every_checkpoint_and_at_the_shared_start(bench: Workbench) -> None:
    asked = str(question_file(bench.root, "medical"))
    before = len(bench.events(bench.run_id, "response"))
    job = done(bench, question_sets=(asked,), samples=2)
    new = [e for e in bench.events(bench.run_id, "response") if e["question_set"] == "medical-short"]
    assert Counter(e["step"] for e in new) == {2: 8, 4: 8}
    assert len(bench.events(bench.run_id, "response")) == before + 16
    baseline = bench.events(bench.run_id, "run_facts")[-1]["baseline_run_id"]
    start = [e for e in bench.events(baseline, "response") if e["question_set"] == "medical-short"]
    assert len(start) == 8
    assert [p.name for p in bench.home.runs.iterdir() if p.name.startswith("base-")] == [baseline]
    publish(bench.home)
    rates = connect(bench.home).frame(
        "SELECT run_id, step, count(*)::INT AS n, count(alignment)::INT AS scored FROM shown_scores "
        "WHERE question_set = 'medical-short' GROUP BY ALL ORDER BY ALL"
    )
    assert rates.values.tolist() == [[baseline, 0, 8, 8], *([bench.run_id, step, 8, 8] for step in (0, *STEPS))]
    assert queries.run(bench.home, job)["run_kind"] == "evaluate"  # type: ignore[index]
    assert not bench.events(job, "response")


def test_what_was_asked_later_is_no_fault_of_the_run_and_not_counted_as_planned(bench: Workbench) -> None:
    job = done(bench, question_sets=(str(question_file(bench.root, "medical", max_tokens=16)),), samples=2)
    publish(bench.home)
    known = run_details.known(bench.home, bench.run_id)
    assert known is not None
    rows = {row.what: (row.planned, row.actual) for row in plan_against_actual(known)}
    assert rows["Answers at checkpoints"] == ("8", "8")
    assert rows["Answers of the starting model"] == ("4", "4")
    assert rows["Answers asked later"] == (None, "16")
    wrong = [check.text for check in run_checks.checks(known, "finished") if check.level == "bad"]
    assert [text for text in wrong if "cut off" not in text] == []  # 16 tokens are few
    assert run_files.evaluations(known.event_files["file"]) == [job]
    its = run_details.known(bench.home, job)
    assert its is not None
    assert not [row for row in plan_against_actual(its) if row.missing]


def test_more_samples_ask_only_the_additional_ones(bench: Workbench) -> None:
    todo = look(bench.home, Wanted(bench.run_id, samples=3))
    assert dict(todo.n_missing) == {0: 8, 2: 8, 4: 8}
    assert todo.n_there == 12
    texts = {e["response_id"]: e["text"] for e in bench.events(bench.run_id, "response")}
    done(bench, samples=3)
    counted = Counter(e["response_id"] for e in bench.events(bench.run_id, "response"))
    assert set(counted.values()) == {1}
    assert Counter(e["sample"] for e in bench.events(bench.run_id, "response")) == {0: 8, 1: 8, 2: 8}
    assert {e["response_id"]: e["text"] for e in bench.events(bench.run_id, "response")}.items() >= texts.items()
    judged = Counter((e["response_id"], e["metric"]) for e in bench.events(bench.run_id, "judgement"))
    assert set(judged.values()) == {1}


def test_a_database_made_anew_equals_the_one_that_followed(bench: Workbench) -> None:
    publish(bench.home)
    done(bench, question_sets=(str(question_file(bench.root, "medical")),))
    publish(bench.home)
    tables = ("runs", "scores", "contents", "appearances", "responses", "run_totals")
    followed = [connect(bench.home).frame(f"SELECT * FROM {name} ORDER BY ALL") for name in tables]
    bench.home.database.unlink()
    publish(bench.home)
    for name, frame in zip(tables, followed, strict=True):
        assert frame.astype(str).equals(connect(bench.home).frame(f"SELECT * FROM {name} ORDER BY ALL").astype(str)), name


def test_nothing_is_queued_when_every_answer_is_there(bench: Workbench) -> None:
    before = sorted(bench.home.runs.iterdir())
    queued = evaluate.queue(bench.home, Wanted(bench.run_id), start=False)
    assert (queued.run_id, queued.todo.n_answers, queued.todo.n_there) == ("", 0, 12)
    assert sorted(bench.home.runs.iterdir()) == before


def test_an_identical_evaluation_is_noticed(bench: Workbench) -> None:
    first = evaluate.queue(bench.home, Wanted(bench.run_id, samples=2), start=False)
    with pytest.raises(Busy, match=first.run_id):
        evaluate.queue(bench.home, Wanted(bench.run_id, samples=2), start=False)
    assert evaluate.queue(bench.home, Wanted(f"{bench.run_id}@4", samples=2), start=False).run_id != first.run_id


def test_one_checkpoint_or_the_starting_model_alone(bench: Workbench) -> None:
    asked = (str(question_file(bench.root, "medical")),)

    assert dict(look(bench.home, Wanted(f"{bench.run_id}@last", question_sets=asked)).n_missing) == {4: 4}
    assert dict(look(bench.home, Wanted(f"{bench.run_id}@0", question_sets=asked)).n_missing) == {0: 4}
    assert dict(look(bench.home, Wanted(f"{bench.run_id}@4,2", question_sets=asked)).n_missing) == {2: 4, 4: 4}
    folder = bench.run_dir / "checkpoints" / "step-2"
    assert dict(look(bench.home, Wanted(str(folder), question_sets=asked)).n_missing) == {2: 4}
    for wrong in ("3", "", "two", "-2"):
        with pytest.raises(BadInput, match="no complete checkpoint") as caught:
            look(bench.home, Wanted(f"{bench.run_id}@{wrong}", question_sets=asked))
        assert "2, 4" in caught.value.hint


def test_stopped_it_keeps_what_it_has_and_resumed_it_asks_the_rest(bench: Workbench) -> None:
    queued = evaluate.queue(bench.home, Wanted(bench.run_id, samples=6), start=False)
    folder = bench.home.run_dir(queued.run_id)
    path = bench.run_dir / "events" / f"evaluate-{queued.run_id}.jsonl"

    def impatient(_: Path) -> Request:
        return "stop" if path.exists() and path.read_text().count('"kind": "response"') >= 1 else ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("em_core.evaluation.STOP_POLL_S", 0.0)
        outcome = work(folder, impatient)
    first = {e["response_id"]: e["text"] for e in bench.events(bench.run_id, "response")}
    assert outcome.state == run_status(folder).state == "stopped"
    assert 8 < len(first) < 48
    assert "missing are sampled" in control.resume(bench.home, queued.run_id, start=False)
    assert run_status(folder).state == "queued"
    assert work(folder, never).state == "finished"
    counted = Counter(e["response_id"] for e in bench.events(bench.run_id, "response"))
    assert len(counted) == 48
    assert set(counted.values()) == {1}
    assert {e["response_id"]: e["text"] for e in bench.events(bench.run_id, "response")}.items() >= first.items()
    assert run_status(folder).phases == {"evaluate": "finished", "judge": "finished"}


def test_a_run_at_work_or_in_the_queue_is_refused_and_one_being_evaluated_is_not_resumed(bench: Workbench) -> None:
    with Lease(bench.run_dir / "lease") as lease:
        assert lease.acquire()
        with pytest.raises(Busy, match="at work") as caught:
            look(bench.home, Wanted(bench.run_id, samples=2))
        assert "stop" in caught.value.hint
    (waiting,) = launch(bench.home, [spec(bench.root, name="waiting", train={"seed": 7})], start=False)
    with pytest.raises(Busy, match="waits in the queue"):
        look(bench.home, Wanted(waiting.run_id, samples=2))
    control.stop(bench.home, waiting.run_id)
    with Lease(bench.home.run_dir(waiting.run_id) / LEASE) as lease:
        assert lease.acquire()
        with pytest.raises(Busy, match="being evaluated"):
            control.resume(bench.home, waiting.run_id, start=False)
    queued = evaluate.queue(bench.home, Wanted(bench.run_id, samples=2), start=False)
    with Lease(bench.run_dir / "lease") as lease:  # it was started by hand after the evaluation was queued
        assert lease.acquire()
        with pytest.raises(Busy, match="at work"):
            work(bench.home.run_dir(queued.run_id), never)
    assert run_status(bench.home.run_dir(queued.run_id)).state == "failed"


def test_a_run_whose_clock_was_set_back_does_not_wait_in_the_queue(tmp_path: Path) -> None:
    home = Home(tmp_path)
    folder = home.run_dir("resumed")
    for name, state, t in (("queued-2", "queued", 1000.0), ("worker-2", "running", 500.0), ("worker-2", "finished", 600.0)):
        with EventWriter(folder, name) as events:
            events.write(RunState("run", state, "", "", 2), RunState("judge", state, "", "", 2), t=t)  # type: ignore[arg-type]
    (folder / "spec.json").write_text("{}")
    refuse_at_work(folder)
    assert read_owner(home, "resumed").phases == {"run": "finished", "judge": "finished"}
    with EventWriter(folder, "queued-3") as events:
        events.write(RunState("run", "queued", "", "", 3), t=100.0)
    with pytest.raises(Busy, match="waits in the queue"):
        refuse_at_work(folder)


def test_weights_that_are_not_what_was_saved_are_not_asked(bench: Workbench) -> None:
    queued = evaluate.queue(bench.home, Wanted(bench.run_id, samples=2), start=False)
    path = bench.run_dir / "checkpoints" / "step-4" / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    before = len(bench.events(bench.run_id, "response"))
    with pytest.raises(BadInput, match="COMPLETE"):
        work(bench.home.run_dir(queued.run_id), never)
    assert len(bench.events(bench.run_id, "response")) == before
    path.unlink()
    with pytest.raises(BadInput, match="no complete checkpoint of that step"):
        look(bench.home, Wanted(f"{bench.run_id}@4", samples=2))


def test_a_question_file_that_changed_is_not_taken_for_the_one_that_was_asked(bench: Workbench) -> None:
    path = question_file(bench.root, "general")
    other = path.read_text().replace("?", "? Say it plainly.")
    changed = bench.root / "other"
    changed.mkdir()
    (changed / path.name).write_text(other)
    with pytest.raises(BadInput, match="is not what"):
        look(bench.home, Wanted(bench.run_id, question_sets=(str(changed / path.name),)))


def test_other_questions_can_be_asked_of_a_run_whose_own_file_is_gone(bench: Workbench) -> None:
    asked = str(question_file(bench.root, "medical"))
    own = bench.root / "general-short.yaml"
    spec_file = bench.run_dir / "spec.json"
    stored = json.loads(spec_file.read_text())
    stored["spec"]["evaluation"]["question_sets"][0]["name"] = str(own)  # not the file of the home that is copied
    spec_file.write_text(json.dumps(stored))
    own.unlink()
    assert "general-short" in offers(bench.home, bench.run_id).own
    with pytest.raises(BadInput, match="general-short"):
        look(bench.home, Wanted(bench.run_id, samples=2))
    job = done(bench, question_sets=(asked,))
    assert run_status(bench.home.run_dir(job)).state == "finished"


def test_what_a_run_says_itself_is_refused(bench: Workbench) -> None:
    for option in ("base", "revision", "precision", "domain", "experiment"):
        with pytest.raises(BadInput, match=f"^--{option}"):
            look(bench.home, Wanted(bench.run_id, **{option: "x"}))  # type: ignore[arg-type]


def test_another_judge_or_none(bench: Workbench) -> None:
    job = done(bench, samples=2, judges=())
    assert run_status(bench.home.run_dir(job)).phases == {"evaluate": "finished", "judge": "skipped"}
    judged = {e["response_id"] for e in bench.events(bench.run_id, "judgement")}
    assert len({e["response_id"] for e in bench.events(bench.run_id, "response")} - judged) == 8
    todo = look(bench.home, Wanted(bench.run_id, samples=4, judges=(JudgeSpec(name="openai_compatible", model="m"),)))
    assert (todo.n_answers, todo.judge_calls) == (24, 48)


def test_a_run_without_questions_of_its_own_gets_a_starting_model(bench: Workbench) -> None:
    run_id = bench.train(name="silent", evaluation={"question_sets": []}, train={"max_steps": 2, "precision": "fp32"})
    with pytest.raises(BadInput, match="was asked no questions"):
        look(bench.home, Wanted(run_id))
    queued = evaluate.queue(bench.home, Wanted(run_id, question_sets=(str(question_file(bench.root, "general")),)), start=False)
    assert worker.main([str(bench.home.run_dir(queued.run_id))]) == 0  # as the supervisor starts it
    publish(bench.home)
    shown = connect(bench.home).frame("SELECT DISTINCT step FROM shown_scores WHERE run_id = $run ORDER BY step", {"run": run_id})
    assert shown["step"].tolist() == [0, 2]
    assert run_status(bench.home.run_dir(run_id)).state == "finished"
    loaded, told = sorted(bench.events(run_id, "run_facts"), key=lambda event: float(event["t"]))
    assert (loaded["baseline_run_id"], told["baseline_run_id"] != "") == ("", True)
    assert told["t"] - loaded["t"] < 0.01, "its model was loaded when it was loaded"


def test_a_chain_answers_with_the_weights_that_it_had(bench: Workbench) -> None:
    parent = {"run": bench.run_id, "step": 4}
    asked = {"samples": 2, "question_sets": [str(question_file(bench.root, "general"))]}
    child = bench.train(name="child", parent=parent, evaluation=asked, train={"max_steps": 2, "precision": "fp32", "seed": 1})
    bench.run_id = child
    lost = bench.lose_answers(2)
    assert len(lost) == 8
    done(bench)
    given = {e["response_id"]: e["text"] for e in bench.events(child, "response")}
    assert {key: given.get(key) for key in lost} == {key: event["text"] for key, event in lost.items()}
