"""What is known of one run: its own rows and those of others that speak of its answers, nobody else's."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from em_core.checkpoints import publish as save_checkpoint
from em_core.records import (
    AnswerHealth,
    Checkpoint,
    Generation,
    HumanLabel,
    ImportedFile,
    JudgeIdentity,
    Judgement,
    RunState,
    TrainMetric,
)
from em_core.spec import RunSpec
from em_core.store import queries, run_details
from em_core.store.publish import publish
from em_core.view import run_checks, run_files
from em_core.view import run_details as view
from tests.store.made import BareHome, append, created, facts, question, response, scored, whole_run, write


@pytest.fixture
def chain(home: BareHome) -> BareHome:
    """A starting model, a misaligned run, one that realigns it, an unrelated one, and a judging job of a later day."""
    whole_run(home, "base", "")
    whole_run(home, "bad", baseline="base")
    write(home, "good", created("benign", parent_run_id="bad", parent_step=2, label="realigned"), facts("base"))
    write(home, "good", *scored("good", 1, [(90.0, 90.0)]))
    write(home, "lost", created("benign", parent_run_id="deleted-run", parent_step=7))
    whole_run(home, "else")
    answer = response("bad", 1, 0)
    write(
        home, "judge-later-1", created("", run_kind="judge"), JudgeIdentity("late", "openai_compatible", "m", "integer", "", "{}", ""),
        Judgement(answer.response_id, "late", "alignment", 40.0, None, "40", None, 100, 2),
        Judgement(answer.response_id, "late", "coherence", None, "refusal", "no", None, 100, 3, served_model="m-2"),
        writer="judge-1",
    )  # fmt: skip
    write(home, "labels", created("", run_kind="labels"), HumanLabel(answer.response_id, "ada", "alignment", 10.0, None))
    write(
        home, "health-1", created("", run_kind="health"), AnswerHealth(answer.response_id, "1", 9, 2, 0.0, 0.0, False, None, None)
    )
    publish(home)
    return home


def test_the_chain_runs_from_the_first_ancestor_to_the_children(chain: BareHome) -> None:
    rows = run_details.lineage(chain, "bad")
    assert list(zip(rows["run_id"], rows["place"], strict=True)) == [("bad", 0), ("good", 1)]
    rows = run_details.lineage(chain, "good")
    assert list(zip(rows["run_id"], rows["place"], strict=True)) == [("bad", -1), ("good", 0)]
    assert rows["parent_step"].tolist()[-1] == 2


def test_a_deleted_parent_is_named_as_not_known(chain: BareHome) -> None:
    rows = run_details.lineage(chain, "lost")
    assert rows["run_id"].tolist() == ["deleted-run", "lost"]
    assert rows["known"].tolist() == [False, True]


def test_runs_that_name_each_other_as_parents_end_the_chain(home: BareHome) -> None:
    write(home, "a", created(parent_run_id="b", parent_step=1))
    write(home, "b", created(parent_run_id="a", parent_step=1))
    publish(home)
    assert 0 < len(run_details.lineage(home, "a")) <= run_details.MOST_GENERATIONS + 2


def test_step_0_is_the_baselines_and_is_said_to_be(chain: BareHome) -> None:
    rows = run_details.answered(chain, "bad", "base")
    assert list(zip(rows["source_run_id"], rows["step"], rows["n_answers"], strict=True)) == [
        ("base", 0, 8), ("bad", 1, 8), ("bad", 2, 8),
    ]  # fmt: skip
    assert set(run_details.answered(chain, "bad")["step"]) == {1, 2}


def test_later_judgements_labels_and_health_are_found_in_their_folders(chain: BareHome) -> None:
    judging = run_details.judging(chain, "bad", "base")
    late = judging[judging["judge_id"] == "late"]
    assert set(late["source_run_id"]) == {"judge-later-1"}
    assert late["n"].sum() == 2
    assert late["input_tokens"].sum() == 200
    assert set(late["served_model"]) == {"", "m-2"}
    assert set(late["unscored_reason"].dropna()) == {"refusal"}
    others = run_details.others(chain, "bad", "base")
    assert list(zip(others["run_id"], others["kind"], others["who"], others["n_answers"], strict=True)) == [
        ("health-1", "health", "1", 1), ("labels", "labels", "ada", 1),
    ]  # fmt: skip
    assert "late" not in set(run_details.judging(chain, "else")["judge_id"])
    assert run_details.others(chain, "else").empty


def test_choices_put_what_only_serves_others_last(chain: BareHome) -> None:
    rows = run_details.choices(chain)
    assert set(rows["run_id"].tail(3)) == {"judge-later-1", "labels", "health-1"}
    assert set(rows["run_kind"].head(len(rows) - 3)) == {"train"}


def test_an_unknown_run_is_none_and_a_bare_one_has_empty_frames(home: BareHome) -> None:
    assert run_details.known(home, "nobody") is None
    write(home, "bare", created())
    publish(home)
    known = run_details.known(home, "bare")
    assert known is not None
    assert known.last_step is None
    assert known.answered.empty
    assert view.phases(known.states) == []
    assert {check.level for check in run_checks.checks(known, "")} == {"unknown", "good"}
    assert view.checkpoint_rows(known).empty
    assert view.training_pace(known.metrics)["median"] is None


def test_queries_of_one_run_equal_the_same_rows_of_all(chain: BareHome) -> None:
    write(chain, "bad", *(TrainMetric(s, s / 10, 1.0 / s, 1e-3, 1.0, 100.0, None) for s in (1, 2, 3)))
    write(chain, "bad", TrainMetric(3, 0.3, 9.0, 1e-3, 1.0, 100.0, None), writer="worker-2")  # a resumed attempt repeats step 3
    write(chain, "bad", Checkpoint(2, 0.2, "checkpoints/step-2", "ab", 5, 32), Generation(2, "local", 8, 80, 2.0, 8, True, None))
    publish(chain)
    for query in (queries.metrics, queries.checkpoints, queries.generations, queries.questions):
        everything = query(chain)
        mine = query(chain, ["bad"])
        assert len(mine)
        expected = everything[everything["run_id"] == "bad"].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, expected)
        assert query(chain, []).empty
    assert queries.metrics(chain, ["bad"])["loss"].tolist() == [1.0, 0.5, 9.0]
    assert queries.run(chain, "bad")["children"] == ["good"]  # type: ignore[index]


def test_quarantined_lines_and_event_files_are_the_runs_own(home: BareHome) -> None:
    whole_run(home, "r1")
    whole_run(home, "r10")
    append(home, "r1", b"not json\n")
    publish(home)
    assert len(run_details.quarantined(home, "r1")) == 1
    assert run_details.quarantined(home, "r10").empty
    assert run_details.event_files(home, "r1")["file"].tolist() == ["runs/r1/events/worker-1.jsonl"]


def test_imported_files_are_told_with_what_was_left_out(home: BareHome) -> None:
    skipped = json.dumps([{"where": "row 4", "reason": "no answer", "n": 3}])
    write(home, "imported-x", created(run_kind="imported"), ImportedFile("x.csv", "cs2881", "ab" * 32, 10, 7, skipped))
    publish(home)
    (row,) = run_details.imports(home, "imported-x").to_dict("records")
    assert (row["n_imported"], run_files.skipped(row["skipped"])) == (7, ["row 4: no answer (3)"])


def test_missing_steps_answers_and_judgements_are_named(home: BareHome) -> None:
    write(home, "r", created(), facts(), question(), RunState("run", "running", attempt=1))
    write(home, "r", *scored("r", 1, [(90.0, 90.0)] * 4), *(response("r", 2, sample) for sample in range(5)))
    write(home, "r", *(TrainMetric(s, 0.0, 1.0, 1e-3, 1.0, 100.0, None) for s in range(1, 11)))
    publish(home)
    known = run_details.known(home, "r")
    assert known is not None
    rows = {row.what: row for row in view.plan_against_actual(known)}
    assert (rows["Optimizer steps"].planned, rows["Optimizer steps"].actual, rows["Optimizer steps"].missing) == (
        "1,125",
        "10",
        True,
    )
    assert rows["Answers at checkpoints"].note == "91 missing"
    assert rows["Answers asked of judge-1"].note.startswith("5 not judged")
    bad = [check.text for check in run_checks.checks(known, "running") if check.level == "bad"]
    assert any("Optimizer steps" in text for text in bad)
    assert any("running" in text for text in bad)


def test_answers_of_other_weights_than_the_checkpoints_are_reported(home: BareHome) -> None:
    write(home, "r", created(), facts(), *scored("r", 1, [(90.0, 90.0)]))
    write(home, "r", Checkpoint(1, 0.1, "checkpoints/step-1", "other weights", 5, 16))
    publish(home)
    known = run_details.known(home, "r")
    assert known is not None
    assert view.checkpoint_rows(known)["Answers name it"].tolist() == ["no"]
    assert any("other weights" in check.text for check in run_checks.checks(known, "finished") if check.level == "bad")


def test_checkpoints_on_disk_are_present_verified_changed_or_not_here(home: BareHome) -> None:
    folder = home.run_dir("r")
    saved = save_checkpoint(
        folder / "checkpoints", 3, lambda path: (path / "adapter_model.safetensors").write_bytes(b"abc") and None, {}
    )
    for step, digest in ((0, "0"), (3, saved.sha256), (6, "ff")):
        write(home, "r", Checkpoint(step, 0.0, f"../../etc/step-{step}", digest, 3, 1))
    publish(home)
    rows = queries.checkpoints(home, ["r"])
    assert run_files.checkpoints(folder, rows) == {3: "present", 6: "not here"}
    assert run_files.checkpoints(folder, rows, verify=True)[3] == "verified"
    assert run_files.checkpoints(None, rows) == {3: "not here", 6: "not here"}
    (folder / "checkpoints" / "step-3" / "adapter_model.safetensors").write_bytes(b"abd")  # the same size
    assert run_files.checkpoints(folder, rows)[3] == "present"
    assert run_files.checkpoints(folder, rows, verify=True)[3] == "changed"
    (folder / "checkpoints" / "step-3" / "COMPLETE.json").unlink()
    assert run_files.checkpoints(folder, rows)[3] == "changed"
    assert "COMPLETE.json is missing" in run_files.why_changed(folder, 3)


def test_phases_have_durations_only_where_their_end_was_written(home: BareHome) -> None:
    write(home, "r", created(), RunState("run", "queued"))
    write(home, "r", RunState("run", "running", attempt=1), RunState("train", "running", attempt=1))
    write(home, "r", RunState("train", "failed", "no \x1b[31mmemory", "a smaller batch", 1), writer="worker-2")
    publish(home)
    found = {(p.attempt, p.phase): p for p in view.phases(queries.states(home, "r"))}
    assert found[1, "train"].state == "failed"
    assert (found[1, "train"].seconds or 0) >= 0
    assert "\x1b" not in found[1, "train"].reason
    assert found[1, "run"].seconds is None
    assert view.wall_s(queries.states(home, "r")) is None


def test_trained_tokens_leave_pauses_out(home: BareHome) -> None:
    write(home, "r", created(), *(TrainMetric(s, 0.0, 1.0, 1e-3, 1.0, 100.0, None) for s in range(1, 5)))
    publish(home)
    metrics = queries.metrics(home, ["r"]).assign(t=[0.0, 1.0, 101.0, 102.0])  # 100 s at a checkpoint
    assert view.trained_tokens(metrics) == pytest.approx(400.0)
    assert view.trained_tokens(metrics.head(1)) is None


def test_a_stored_spec_that_no_longer_has_its_digest_is_said(home: BareHome) -> None:
    spec = RunSpec(data=["organism-medical-misaligned"])
    write(home, "same", created(spec_json=spec.model_dump_json(), spec_hash=spec.spec_hash()))
    write(home, "other", created(spec_json=spec.model_dump_json(), spec_hash="0" * 64))
    publish(home)
    for run_id, level in (("same", "good"), ("other", "unknown")):
        known = run_details.known(home, run_id)
        assert known is not None
        assert [c.level for c in run_checks.checks(known, "finished") if c.text.startswith("The stored spec")] == [level]
