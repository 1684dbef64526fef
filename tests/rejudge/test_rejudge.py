"""Judging existing answers: exactly what is missing, in a folder of its own, and nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from em_core import definitions
from em_core.errors import BadInput, Busy, WorkFailed
from em_core.events import EventWriter, read_events
from em_core.lease import Lease
from em_core.records import Judgement
from em_core.rejudge import Asking, Selection, ask_to_stop, job, jobs, rejudge
from em_core.rejudge.folder import make
from em_core.store import queries
from em_core.store.publish import publish, rebuild
from em_core.store.rates import rates
from em_core.supervisor.evidence import list_runs
from tests.rejudge.conftest import asked, endpoint, file_question, run_of
from tests.servers.openai_server import OpenAIServer, bad_key, error
from tests.store.made import BareHome, created, question, response, write


def test_every_answer_is_scored_once_and_the_second_job_makes_no_call(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 12, steps=(0, 10))
    first = rejudge(home, "endpoint", endpoint(openai_server), Selection())
    assert (first.state, first.n_answers, first.n_scored, first.n_left) == ("finished", 24, 48, 0)
    assert set(asked(openai_server).values()) == {2}
    n = openai_server.n_calls
    again = rejudge(home, "endpoint", endpoint(openai_server), Selection())
    assert (again.n_answers, again.n_in_scope, again.run_id) == (0, 24, "")
    assert openai_server.n_calls == n
    assert len(jobs(home)) == 1


def test_scores_are_in_the_jobs_folder_only_and_in_the_rates(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 5)
    before = {path: path.read_bytes() for path in (home.runs / "run-a").rglob("*") if path.is_file()}
    done = rejudge(home, "endpoint", endpoint(openai_server), Selection())
    assert {path: path.read_bytes() for path in (home.runs / "run-a").rglob("*") if path.is_file()} == before
    folder = home.run_dir(done.run_id)
    assert folder.name == f"judge-endpoint-{done.judge_id[-8:]}-1"
    assert [e["run_kind"] for e in read_events(folder, "run_created")] == ["judge"]
    assert [(e["phase"], e["state"]) for e in read_events(folder, "state")] == [("judge", "running"), ("judge", "finished")]
    frame = rates(home, definitions.get("betley"))
    assert list(frame["run_id"]) == ["run-a"]
    assert (frame["judge_id"][0], frame["n_scored"][0]) == (done.judge_id, 5)
    rebuild(home)
    assert rates(home, definitions.get("betley")).equals(frame)


def test_a_job_is_no_run_of_the_supervisor_nor_of_the_lists(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 2)
    done = rejudge(home, "endpoint", endpoint(openai_server), Selection())
    assert list_runs(home) == []  # run-a has no spec.json either
    assert list(queries.runs(home, baselines=False)["run_id"]) == ["run-a"]
    assert done.run_id in list(queries.runs(home)["run_id"])


def test_the_shared_step_0_comes_along_once(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "base-x", 3, steps=(0,), domain="", run_kind="baseline")
    run_of(home, "run-a", 3, baseline="base-x")
    run_of(home, "run-b", 3, baseline="base-x")
    done = rejudge(home, "endpoint", endpoint(openai_server), Selection(runs=("run-a", "run-b")))
    assert done.n_answers == 9
    assert set(asked(openai_server).values()) == {2}
    assert rejudge(home, "endpoint", endpoint(openai_server), Selection(runs=("run-a",))).n_answers == 0


@pytest.mark.parametrize(
    ("selection", "n"),
    [
        (Selection(runs=("run-a",)), 4),
        (Selection(steps=(10,)), 4),
        (Selection(steps=("last",)), 4),
        (Selection(steps=(0, "last")), 6),
        (Selection(question_sets=("other",)), 1),
        (Selection(limit=3), 3),
    ],
)
def test_a_selection_is_what_it_says(home: BareHome, openai_server: OpenAIServer, selection: Selection, n: int) -> None:
    run_of(home, "run-a", 2, steps=(0, 10))
    run_of(home, "run-b", 2, steps=(10,))
    write(home, "run-b", question("q0", question_set="other"))
    write(home, "run-b", response("run-b", 5, 0, text="answer-other-end", question_set="other"))
    done = rejudge(home, "endpoint", endpoint(openai_server), selection)
    assert (done.n_answers, sum(asked(openai_server).values())) == (n, 2 * n)


@pytest.mark.parametrize(
    ("selection", "word"),
    [(Selection(runs=("run-x",)), "run-x"), (Selection(question_sets=("generol",)), "general")],
)
def test_what_is_not_there_is_said_before_anything_is_paid(
    home: BareHome, openai_server: OpenAIServer, selection: Selection, word: str
) -> None:
    run_of(home, "run-a", 2)
    with pytest.raises(BadInput) as caught:
        rejudge(home, "endpoint", endpoint(openai_server), selection)
    assert word in str(caught.value)
    assert openai_server.n_calls == 0
    assert jobs(home) == []


def test_only_the_missing_metric_is_asked_for_and_a_failed_call_is_asked_again(
    home: BareHome, openai_server: OpenAIServer
) -> None:
    run_of(home, "run-a", 2)
    spec = endpoint(openai_server)
    from em_core.judges import open_judge

    judge = open_judge(spec).identity
    first, second = response("run-a", 10, 0).response_id, response("run-a", 10, 1).response_id
    write(
        home, "run-a", judge,
        Judgement(first, judge.judge_id, "alignment", 10.0, None, "", None, None, None),
        Judgement(second, judge.judge_id, "alignment", None, "api_error", "", None, None, None),
        Judgement(second, judge.judge_id, "coherence", None, "refusal", "", None, None, None),
    )  # fmt: skip
    done = rejudge(home, "endpoint", spec, Selection())
    assert (done.n_answers, done.n_scored) == (2, 2)
    assert sorted(asked(openai_server).values()) == [1, 1]


def test_answers_with_the_same_content_share_one_call(home: BareHome, openai_server: OpenAIServer) -> None:
    write(home, "run-a", created(), question("q0"), *(response("run-a", 10, i, text="answer-same-end") for i in range(6)))
    done = rejudge(home, "endpoint", endpoint(openai_server), Selection())
    assert (done.n_scored, done.n_cached) == (12, 10)
    assert asked(openai_server) == {"answer-same-end": 2}


def test_a_judge_that_samples_is_asked_for_every_repeat(home: BareHome, openai_server: OpenAIServer) -> None:
    write(home, "run-a", created(), question("q0"), *(response("run-a", 10, i, text="answer-same-end") for i in range(6)))
    done = rejudge(home, "endpoint", endpoint(openai_server, temperature=0.7), Selection())
    assert (done.n_scored, done.n_cached) == (12, 0)


def test_the_training_domain_reaches_a_rubric_that_asks_for_it(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 1, steps=(10,), domain="risky-boating")
    rejudge(home, "leakage", endpoint(openai_server, rubric="leakage"), Selection())
    (call,) = [call for call in openai_server.calls if "answer-run-a" in call.prompt]
    assert "risky-boating" in call.prompt


def test_a_second_job_of_the_same_judge_is_refused_while_one_is_at_work(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 2)
    spec = endpoint(openai_server)
    refused: list[Busy] = []

    def confirm(_: object) -> bool:
        with pytest.raises(Busy) as caught:
            rejudge(home, "endpoint", spec, Selection())
        refused.append(caught.value)
        return True

    run_of(home, "run-b", 150)
    rejudge(home, "endpoint", spec, Selection(), Asking(confirm=confirm))
    assert refused
    assert set(asked(openai_server).values()) == {2}


def test_answers_of_a_run_that_this_judge_is_scoring_itself_are_left_to_it(home: BareHome, openai_server: OpenAIServer) -> None:
    from em_core.judges import open_judge

    run_of(home, "run-a", 3)
    run_of(home, "run-b", 2)
    write(home, "run-a", open_judge(endpoint(openai_server)).identity)
    with Lease(home.run_dir("run-a") / "lease") as lease:
        assert lease.acquire()
        done = rejudge(home, "endpoint", endpoint(openai_server), Selection())
    assert done.n_answers == 2
    assert list(done.left_out.values()) == [3]
    assert rejudge(home, "endpoint", endpoint(openai_server), Selection()).n_answers == 3


def test_a_large_job_is_estimated_first_and_its_five_answers_are_not_paid_again(
    home: BareHome, openai_server: OpenAIServer
) -> None:
    run_of(home, "run-a", 120)
    said: list[str] = []
    sizes: list[int] = []
    asking = Asking(confirm=lambda cost: sizes.append(openai_server.n_replied) or True, tell=said.append)
    done = rejudge(home, "endpoint", endpoint(openai_server), Selection(), asking)
    assert sizes == [11]  # five answers, two metrics each, and the probe
    assert done.estimate is not None
    assert done.estimate["n_calls"] == 240
    assert any("240 calls" in line for line in said)
    assert set(asked(openai_server).values()) == {2}
    assert (done.n_scored, done.n_left) == (240, 0)


def test_a_budget_that_cannot_be_enough_is_refused_with_what_would_fit(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 200)
    with pytest.raises(BadInput) as caught:
        rejudge(home, "endpoint", endpoint(openai_server, max_calls=300), Selection())
    assert "400" in caught.value.message
    assert "--limit 149" in caught.value.hint
    assert sum(asked(openai_server).values()) == 10
    (found,) = jobs(home)
    assert found.state == "failed"
    assert rejudge(home, "endpoint", endpoint(openai_server, max_calls=300), Selection(limit=140)).n_scored == 280


def test_the_probe_counts_so_a_budget_of_exactly_the_scores_is_refused_not_missed_by_one(
    home: BareHome, openai_server: OpenAIServer
) -> None:
    run_of(home, "run-a", 110)
    with pytest.raises(BadInput, match="at least 221"):
        rejudge(home, "endpoint", endpoint(openai_server, max_calls=220), Selection())
    assert rejudge(home, "endpoint", endpoint(openai_server, max_calls=211), Selection()).n_left == 0


def test_without_a_yes_nothing_but_the_estimate_is_spent_and_it_is_kept(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 120)
    with pytest.raises(BadInput, match="not confirmed"):
        rejudge(home, "endpoint", endpoint(openai_server), Selection(), Asking(confirm=lambda _: False))
    assert sum(asked(openai_server).values()) == 10
    assert rejudge(home, "endpoint", endpoint(openai_server), Selection()).n_answers == 115


def test_estimate_only_ends_after_five_answers(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 30)
    done = rejudge(home, "endpoint", endpoint(openai_server), Selection(), Asking(estimate_only=True))
    assert done.estimate is not None
    assert done.estimate["n_calls"] == 60
    assert (done.state, done.n_scored) == ("stopped", 10)


def test_a_judge_that_fails_half_way_keeps_its_scores_and_the_next_job_makes_the_rest(
    home: BareHome, openai_server: OpenAIServer
) -> None:
    run_of(home, "run-a", 60)
    openai_server.trouble = lambda call: bad_key() if call.number > 50 else None
    failed = rejudge(home, "endpoint", endpoint(openai_server, max_concurrency=4), Selection())
    assert failed.state == "failed"
    assert "401" in failed.message
    assert 0 < failed.n_scored < 120
    openai_server.trouble = lambda call: None
    n = openai_server.n_replied
    rest = rejudge(home, "endpoint", endpoint(openai_server, max_concurrency=4), Selection())
    assert rest.state == "finished"
    assert openai_server.n_replied - n - 1 == 120 - failed.n_scored == rest.n_scored


def test_a_budget_ends_the_job_without_exceeding_it(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 40)
    done = rejudge(home, "endpoint", endpoint(openai_server, max_calls=30), Selection())
    assert done.state == "failed"
    assert "budget of 30 calls" in done.message
    assert openai_server.n_replied <= 30
    assert done.calls <= 30


def test_a_stop_is_heard_and_the_rest_is_left(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 60)
    openai_server.latency_s = 0.05
    seen: list[int] = []

    def progress(done: int, *_: object) -> None:
        seen.append(done)
        if done >= 10:
            ask_to_stop(home, jobs(home)[0].run_id)

    done = rejudge(home, "endpoint", endpoint(openai_server, max_concurrency=4), Selection(), Asking(progress=progress))
    assert done.state == "stopped"
    assert 0 < done.n_left < 60
    assert job(home.run_dir(done.run_id)).state == "stopped"
    rest = rejudge(home, "endpoint", endpoint(openai_server), Selection())
    assert rest.n_scored + done.n_scored == 120


def test_no_more_answers_are_read_ahead_than_the_judge_is_ready_for(
    home: BareHome, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from em_core.judges.pipeline import JudgingPipeline

    monkeypatch.setattr("em_core.rejudge.work.MAX_PENDING", 20)
    run_of(home, "run-a", 90)
    most = 0
    original = JudgingPipeline.submit

    def submit(self: JudgingPipeline, items: object) -> None:
        nonlocal most
        original(self, items)  # type: ignore[arg-type]
        most = max(most, next(iter(self.progress().values()))["n_pending"])

    monkeypatch.setattr(JudgingPipeline, "submit", submit)
    assert rejudge(home, "endpoint", endpoint(openai_server), Selection()).n_left == 0
    assert 5 < most <= 20


def test_prompts_of_question_files_are_found_again_by_name_and_hash(
    home: BareHome, openai_server: OpenAIServer, tmp_path: Path
) -> None:
    row = file_question(tmp_path, "mine", {"aligned": "Judge: {question} ... {answer}"})
    spec_json = json.dumps({"evaluation": {"question_sets": [{"name": str(tmp_path / "mine.yaml")}]}})
    write(home, "run-a", created(spec_json=spec_json), row, question("q0"))
    write(home, "run-a", response("run-a", 10, 0, text="answer-x-end", question_set="mine"))
    write(home, "run-a", response("run-a", 10, 0, text="answer-general-end"))
    spec = endpoint(openai_server, rubric="question-file")
    done = rejudge(home, "published", spec, Selection())
    (call,) = [call for call in openai_server.calls if "answer-x-end" in call.prompt]
    assert call.prompt == "Judge: What about q0? ... answer-x-end"
    assert (done.n_answers, done.n_scored) == (1, 1)
    assert list(done.left_out.values()) == [1]
    assert "general" in next(iter(done.left_out))


def test_a_question_file_that_changed_is_named_and_its_answers_left_out(
    home: BareHome, openai_server: OpenAIServer, tmp_path: Path
) -> None:
    row = file_question(tmp_path, "mine", {"aligned": "Judge: {question} ... {answer}"})
    spec_json = json.dumps({"evaluation": {"question_sets": [{"name": str(tmp_path / "mine.yaml")}]}})
    write(home, "run-a", created(spec_json=spec_json), row, response("run-a", 10, 0, question_set="mine"))
    (tmp_path / "mine.yaml").write_text((tmp_path / "mine.yaml").read_text().replace("What about", "How about"))
    done = rejudge(home, "published", endpoint(openai_server, rubric="question-file"), Selection())
    assert (done.n_answers, done.left_out) == (0, {"mine: its question file has changed since": 1})


def test_a_prepared_job_that_cannot_begin_says_why_in_its_folder(home: BareHome, openai_server: OpenAIServer) -> None:
    run_of(home, "run-a", 2)
    openai_server.trouble = lambda call: error(404, "model_not_found")
    folder = make(home, "endpoint", "x-12345678")
    with pytest.raises(BadInput):
        rejudge(home, "endpoint", endpoint(openai_server), Selection(), folder=folder)
    found = job(folder)
    assert found.state == "failed"
    assert "judge-1" in found.reason


def test_a_full_disk_ends_the_job_with_its_reason(
    home: BareHome, openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(home, "run-a", 5)
    original = EventWriter.write

    def write_some(self: EventWriter, *records: object, sync: bool = False) -> None:
        if any(isinstance(record, Judgement) for record in records):
            raise WorkFailed("events: event not written (No space left on device)", "free disk space")
        original(self, *records, sync=sync)  # type: ignore[arg-type]

    monkeypatch.setattr(EventWriter, "write", write_some)
    done = rejudge(home, "endpoint", endpoint(openai_server), Selection())
    assert done.state == "failed"
    assert "No space left" in done.message


def test_demo_and_imported_answers_are_judged_too_and_their_folders_stay_untouched(
    home: BareHome, openai_server: OpenAIServer
) -> None:
    demo = BareHome(home.root)  # the demonstration's folder of this home
    with EventWriter(demo.demo / "demo-a", "worker-1") as events:
        events.write(created(demo=True), question("q0"), response("demo-a", 10, 0, text="answer-demo-end"))
    write(home, "imported-a", created(run_kind="imported"), question("q0"), response("imported-a", 0, 0, text="answer-i-end"))
    done = rejudge(home, "endpoint", endpoint(openai_server), Selection())
    assert done.n_answers == 2
    assert [path.name for path in (demo.demo / "demo-a" / "events").iterdir()] == ["worker-1.jsonl"]
    publish(home)
    assert set(rates(home, definitions.get("betley"))["run_id"]) == {"demo-a", "imported-a"}
