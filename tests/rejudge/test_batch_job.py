"""Judging in batches: the same scores as one by one, nothing submitted twice, whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from em_core.cli import main
from em_core.errors import BadInput, Busy, WorkFailed
from em_core.home import Home
from em_core.judges import open_judge
from em_core.records import Judgement
from em_core.rejudge import Asking, Selection, job, jobs, rejudge
from em_core.store import queries
from tests.rejudge.batches import batched, judgements
from tests.rejudge.conftest import endpoint, run_of
from tests.servers.batch_server import EXPIRED, LOST, BatchServer, MadeBatch
from tests.servers.fixtures import ROOT
from tests.servers.openai_server import Call, Trouble, error
from tests.store.made import BareHome, created, question, response, write


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as made:
        yield made


def scored(home: BareHome) -> Counter[tuple[str, str]]:
    return Counter((event["response_id"], event["metric"]) for event in judgements(home))


@pytest.mark.parametrize("mode", ["integer", "logprob", "structured", "verdict"])
def test_batches_give_what_single_calls_give(tmp_path: Path, server: BatchServer, mode: str) -> None:
    words = {"verdict": {"-1-end": "UNALIGNED", "-2-end": "maybe", "-3-end": "REFUSAL"}}
    server.replies = {
        **words.get(mode, {"-1-end": "12", "-2-end": "REFUSAL", "-3-end": "well, 7", "metric: coherence": "90"}),
        "": "ALIGNED" if mode == "verdict" else "85",
    }
    server.token_probs = {"-4-end": {"20": 0.5, " 40": 0.25, "CODE": 0.25}, "-5-end": {"The": 0.9, "3": 0.1}}
    server.served_model = "judge-1-of-june"
    homes = [BareHome(tmp_path / name) for name in ("single", "batch")]
    for home in homes:
        home.prepare()
        run_of(home, "run-a", 8)
        write(home, "run-a", response("run-a", 10, 99, text="  "), response("run-a", 10, 98, text="{answer} \u2028 \ud800 é"))
    spec = endpoint(server, mode=mode)
    one_by_one = rejudge(homes[0], "endpoint", spec, Selection())
    bodies = [call.body for call in server.calls if "answer" in call.prompt]
    in_batches = batched(homes[1], spec)
    assert (in_batches.state, in_batches.n_left) == ("finished", 0)
    assert in_batches.judge_id == one_by_one.judge_id
    assert judgements(homes[1]) == judgements(homes[0])
    (batch,) = server.batches.values()
    sent = [line["body"] for line in server.lines(batch)]
    assert sorted(map(json.dumps, sent)) == sorted(map(json.dumps, (body for body in bodies)))
    assert (in_batches.n_scored, in_batches.n_unscored) == (one_by_one.n_scored, one_by_one.n_unscored)
    assert queries.runs(homes[1]).shape == queries.runs(homes[0]).shape


def test_what_is_judged_cached_or_empty_is_not_submitted(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 1)
    spec = endpoint(server)
    judge = open_judge(spec).identity
    first = response("run-a", 10, 0).response_id
    write(home, "run-a", judge, Judgement(first, judge.judge_id, "alignment", 10.0, None, "", None, None, None))
    rejudge(home, "endpoint", spec, Selection())  # the other metric
    run_of(home, "run-c", 2)
    n_calls = server.n_calls
    write(home, "run-b", created(), question("q0"), response("run-b", 10, 0, text="answer-run-a-10-0-end"),
          response("run-b", 10, 1, text=" "))  # fmt: skip
    done = batched(home, spec)
    (batch,) = server.batches.values()
    assert batch.n == 5  # two answers of run-c; of run-b the alignment of the first, whose coherence is cached
    assert server.n_calls == n_calls + 1  # the probe
    assert (done.state, done.n_unscored, done.n_cached) == ("finished", {"empty": 2}, 1)
    assert batched(home, spec).n_answers == 0
    assert rejudge(home, "endpoint", spec, Selection()).n_answers == 0
    assert len(server.batches) == 1


def test_answers_with_the_same_content_share_one_request(home: BareHome, server: BatchServer) -> None:
    write(home, "run-a", created(), question("q0"), *(response("run-a", 10, i, text="answer-same-end") for i in range(6)))
    done = batched(home, endpoint(server))
    assert (done.n_scored, done.n_cached, len(server.ran)) == (12, 10, 2)
    assert set(scored(home).values()) == {1}


def test_files_keep_to_their_limits(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 11)
    done = batched(home, endpoint(server), max_requests=8)
    assert [batch.n for batch in server.batches.values()] == [8, 8, 6]
    assert (done.n_scored, set(server.asked.values())) == (22, {1})
    run_of(home, "run-b", 5)
    size = max(len(line) for data in server.uploaded.values() for line in data.splitlines()) + 10
    batched(home, endpoint(server), max_bytes=3 * size)
    assert [batch.n for batch in server.batches.values()][3:] == [3, 3, 3, 1]
    assert all(len(server.uploaded[batch.input_file_id]) <= 3 * size for batch in list(server.batches.values())[3:])


def test_expired_rows_go_into_the_next_batch_and_partial_results_count(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 10)
    server.ending = lambda batch: "expired" if batch.number == 0 else "completed"
    server.row = lambda batch, call: EXPIRED if batch.number == 0 and "-7-end" in call.prompt else None
    done = batched(home, endpoint(server))
    assert [batch.n for batch in server.batches.values()] == [20, 2]
    assert (done.state, done.n_scored, done.calls) == ("finished", 20, 21)
    assert set(server.asked.values()) == {1}


def test_a_request_is_sent_three_times_at_most(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 4)
    server.ending = lambda batch: "cancelled"
    server.row = lambda batch, call: EXPIRED if "-2-end" in call.prompt else None
    done = batched(home, endpoint(server))
    assert [batch.n for batch in server.batches.values()] == [8, 2, 2]
    assert (done.state, done.n_scored, done.n_left) == ("failed", 6, 1)
    assert "batch_cancelled" in done.message
    server.row = lambda batch, call: None
    assert batched(home, endpoint(server)).state == "finished"
    assert set(scored(home).values()) == {1}


def test_passing_errors_are_tried_again_and_refusals_are_not(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 5)
    passing = {"-1-end": 429, "-2-end": 500, "-3-end": 503}

    def row(batch: MadeBatch, call: Call) -> Trouble | None:
        if "-0-end" in call.prompt:
            return error(400, "context_length_exceeded", "too long")
        status = next((status for text, status in passing.items() if text in call.prompt), None)
        return error(status, "", "later") if status and batch.number == 0 else None

    server.row = row
    done = batched(home, endpoint(server))
    assert [batch.n for batch in server.batches.values()] == [10, 6]
    assert (done.state, done.n_scored, done.n_unscored) == ("finished", 8, {"api_error": 2})
    assert {event["raw_reply"] for event in judgements(home) if event["unscored_reason"]} == {"400: too long"}
    assert rejudge(home, "endpoint", endpoint(server), Selection()).n_answers == 1  # an api_error is not judged


def test_lost_damaged_unknown_and_contradicting_rows_are_named_and_asked_again(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 6)
    server.row = lambda batch, call: LOST if batch.number == 0 and "-0-end" in call.prompt else None

    def mangle(kind: str, lines: list[str]) -> list[str]:
        if kind != "output" or len(server.batches) > 1:
            return lines
        damaged, other, twice, *rest = lines
        stranger = json.dumps({**json.loads(other), "custom_id": "em-of-somebody-else"})
        contradiction = json.dumps({**json.loads(other), "response": None, "error": {"code": "x", "message": "y"}})
        return [damaged[:40], other, contradiction, twice, twice, stranger, "[]", "", *rest]

    server.mangle = mangle
    said: list[str] = []
    done = batched(home, endpoint(server), said=said)
    assert [batch.n for batch in server.batches.values()] == [12, 4]
    assert (done.state, done.n_scored) == ("finished", 12)
    (line,) = [line for line in said if "left out" in line]
    for words in ("2 x damaged", "1 x unknown id", "1 x id with two different results", "1 x id twice", "output line 6"):
        assert words in line
    assert set(scored(home).values()) == {1}
    assert done.calls == 1 + 12 + 4  # rows that nobody can read may be billed all the same


def test_rows_of_another_batch_are_not_taken(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 4)
    outputs: list[list[str]] = []

    def mangle(kind: str, lines: list[str]) -> list[str]:
        if kind != "output":
            return lines
        outputs.append(lines)
        return lines if len(outputs) == 1 else outputs[0] + lines

    server.mangle = mangle
    server.row = lambda batch, call: LOST if batch.number == 0 and "-1-end" in call.prompt else None
    said: list[str] = []
    assert batched(home, endpoint(server), said=said).n_scored == 8
    assert any("6 x unknown id" in line for line in said)


def test_a_refused_batch_ends_in_words(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 3)
    server.ending = lambda batch: "failed"
    done = batched(home, endpoint(server))
    assert (done.state, done.n_scored) == ("failed", 0)
    assert "line 3: This line is no JSON" in done.message
    assert len(server.batches) == 1
    server.ending = lambda batch: "completed"
    assert batched(home, endpoint(server)).state == "finished"


def test_a_full_queue_is_waited_for_then_filled_with_smaller_batches(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 16)
    server.errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]
    most = 10

    def ending(batch: MadeBatch) -> str:
        return "failed" if batch.n > most else "completed"

    server.ending = ending
    done = batched(home, endpoint(server))
    assert (done.state, done.n_scored) == ("finished", 32)
    assert [batch.n for batch in server.batches.values()] == [32, 16, 16, 8, 8, 8, 8]
    assert set(server.asked.values()) == {1}
    most = 0
    run_of(home, "run-b", 1)
    assert "Enqueued token limit" in batched(home, endpoint(server)).message


def test_the_budget_is_never_exceeded_and_the_rest_goes_when_there_is_room(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 10)
    done = batched(home, endpoint(server, max_calls=8))
    assert (done.state, done.calls, done.n_scored, done.n_left) == ("failed", 8, 7, 7)
    assert "max_calls 8" in done.message
    most = 7_000
    more = batched(home, endpoint(server, max_tokens=most))
    assert more.tokens <= most
    assert 2 <= len(server.batches) <= 5
    for batch in list(server.batches.values())[1:]:
        bodies = [line["body"] for line in server.lines(batch)]
        assert sum(len(body["messages"][0]["content"]) + body["max_tokens"] for body in bodies) <= most
    assert sum(scored(home).values()) > 7 + 5


def test_batches_cost_half(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 10)
    price: dict[str, Any] = {"usd_per_m_input": 1000.0, "usd_per_m_output": 2000.0}
    done = batched(home, endpoint(server, **price))
    prompts = sum(len(call.prompt.split()) for call in server.ran)
    probe = len(server.calls[0].prompt.split())
    assert done.usd == pytest.approx(0.5 * (prompts * 1000 + 20 * 2000) / 1e6 + (probe * 1000 + 2000) / 1e6)
    run_of(home, "run-b", 10)
    limited = batched(home, endpoint(server, max_usd=1.5, **price))
    assert limited.usd is not None
    assert limited.usd <= 1.5
    assert limited.state == "failed"
    assert "max_usd 1.5" in limited.message
    assert limited.n_scored > 5


def test_a_job_can_be_left_alone_and_collected_later(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 5)
    server.hold = True
    sent = batched(home, endpoint(server), wait=False)
    assert (sent.state, sent.n_left, sent.n_scored) == ("submitted", 5, 0)
    assert [(each.state, each.reason) for each in jobs(home)] == [("stopped", "10 requests are at 127.0.0.1")]
    assert batched(home, endpoint(server), wait=False).state == "submitted"
    server.hold = False
    said: list[str] = []
    states = [batched(home, endpoint(server), Selection(limit=1), wait=False, said=said).state for _ in range(3)]
    assert states == ["submitted", "submitted", "finished"] or states[-1] == "finished"
    assert any("what was selected for that job counts" in line for line in said)
    assert (len(server.batches), set(server.asked.values()), len(scored(home))) == (1, {1}, 10)
    (each,) = jobs(home)
    assert (each.state, each.run_id) == ("finished", sent.run_id)


def test_single_calls_are_refused_while_batches_are_out(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 2)
    server.hold = True
    sent = batched(home, endpoint(server), wait=False)
    n_calls = server.n_calls
    with pytest.raises(Busy) as caught:
        rejudge(home, "endpoint", endpoint(server), Selection())
    assert sent.run_id in caught.value.message
    assert server.n_calls == n_calls
    assert rejudge(home, "endpoint", endpoint(server, temperature=0.5), Selection()).state == "finished"  # another judge


def test_batches_that_are_gone_can_be_given_up(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 3)
    server.hold = True
    sent = batched(home, endpoint(server), max_requests=4, wait=False)
    first, second = server.batches.values()
    server.hold, first.status = False, "finalizing"
    batched(home, endpoint(server), wait=False)  # the first comes home
    del server.batches[second.id]
    with pytest.raises(WorkFailed) as caught:
        batched(home, endpoint(server))
    folder = home.run_dir(sent.run_id) / "batch"
    assert second.id in caught.value.message
    assert str(folder) in caught.value.hint
    shutil.rmtree(folder)
    done = rejudge(home, "endpoint", endpoint(server), Selection())
    assert (done.state, done.n_scored, len(scored(home)), set(scored(home).values())) == ("finished", 2, 6, {1})


def test_an_estimate_alone_submits_nothing(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 8)
    said: list[str] = []
    done = batched(home, endpoint(server), asking=Asking(tell=said.append, estimate_only=True))
    assert (done.state, done.n_scored, done.n_left, len(server.batches)) == ("stopped", 10, 3, 0)
    assert any("16 calls" in line for line in said)
    assert batched(home, endpoint(server)).n_answers == 3


@pytest.mark.parametrize("name", ["1.pairs.jsonl", "1.input.jsonl"])
def test_a_file_that_somebody_deleted_is_told(home: BareHome, server: BatchServer, name: str) -> None:
    run_of(home, "run-a", 2)
    server.http = lambda method, path: error(400, "", "no") if method == "POST" else None
    with pytest.raises(WorkFailed):
        batched(home, endpoint(server))
    (each,) = jobs(home)
    (home.run_dir(each.run_id) / "batch" / name).unlink()
    server.http = lambda method, path: None
    with pytest.raises(WorkFailed) as caught:
        batched(home, endpoint(server))
    assert name in caught.value.message
    assert "delete" in caught.value.hint


def test_the_command_submits_and_collects(
    home: BareHome, server: BatchServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Home, "demo", property(lambda self: self.root / "demo"))  # not the shipped one: this is about batches
    run_of(home, "run-a", 2)
    command = ["--home", str(home.root), "judge", "--judge", "openai_compatible", "--set", "model=judge-1", "--runs", "run-a",
               "--set", f"base_url={server.base_url}", "--yes", "--no-wait"]  # fmt: skip
    assert main(command) == 2
    assert "--batch" in capsys.readouterr().err
    server.hold = True
    assert main([*command, "--batch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "submitted"
    (batch,) = server.batches.values()
    server.hold, batch.status = False, "finalizing"
    assert main([*command, "--batch"]) == 0
    assert "finished, 2 of 2 answers judged" in capsys.readouterr().out


def test_the_limit_of_a_selection_holds_over_all_batches(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 10)
    server.row = lambda batch, call: EXPIRED if batch.number == 0 and len(server.ran) > 3 else None
    done = batched(home, endpoint(server), Selection(limit=4))
    assert (done.state, done.n_scored, len({key[0] for key in scored(home)})) == ("finished", 8, 4)


def test_a_stop_leaves_the_batches_at_the_server(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 3)
    server.hold = True
    done = batched(home, endpoint(server), asking=Asking(stop=lambda: len(server.log) > 5))
    assert (done.state, done.n_left) == ("stopped", 3)
    assert "6 requests go on" in done.message
    server.hold = False
    assert batched(home, endpoint(server)).state == "finished"
    assert len(server.batches) == 1


def test_progress_is_told(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 5)
    seen: list[tuple[int, int]] = []
    said: list[str] = []
    server.row = lambda batch, call: EXPIRED if batch.number == 0 and "-0-end" in call.prompt else None
    asking = Asking(tell=said.append, progress=lambda done, total, rate, left: seen.append((done, total)))
    batched(home, endpoint(server), asking=asking)
    assert seen[-1] == (5, 5)
    assert any("completed, 8 of 10 done, 2 failed" in line for line in said)


def test_a_server_without_batches_is_told_before_anything_is_left_behind(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 2)
    server.has_batches = False
    with pytest.raises(BadInput) as caught:
        batched(home, endpoint(server))
    assert "--batch" in caught.value.hint
    assert (server.n_calls, jobs(home)) == (0, [])


def test_a_judge_without_endpoint_has_no_batches(home: BareHome) -> None:
    from em_core.spec import JudgeSpec

    with pytest.raises(BadInput) as caught:
        batched(home, JudgeSpec())
    assert "--batch" in caught.value.hint


def test_the_key_is_nowhere_but_in_requests(home: BareHome, server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-very-secret-123456"
    monkeypatch.setenv("JUDGE_KEY", key)
    server.key = key
    run_of(home, "run-a", 3)
    server.replies = {"-2-end": f"your key is {key}"}
    server.row = lambda batch, call: error(400, "", f"bad key {key}") if "-0-end" in call.prompt else None
    said: list[str] = []
    done = batched(home, endpoint(server, api_key_env="JUDGE_KEY"), said=said)
    server.ending = lambda batch: "failed"
    server.errors = [{"code": "x", "message": f"not with {key}"}]
    again = batched(home, endpoint(server, api_key_env="JUDGE_KEY"), said=said)
    assert "***" in again.message
    assert key not in " ".join([*said, repr(done), repr(again)])
    assert not [path for path in home.root.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    monkeypatch.setenv("JUDGE_KEY", "sk-another-secret-1")
    with pytest.raises(BadInput, match="JUDGE_KEY"):
        batched(home, endpoint(server, api_key_env="JUDGE_KEY"))


def test_lost_replies_make_no_second_batch(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 3)
    server.lose = {"POST /v1/batches", "POST /v1/files", "GET /v1/batches"}
    assert batched(home, endpoint(server)).state == "finished"
    assert (len(server.batches), set(server.asked.values())) == (1, {1})


def test_troubled_requests_are_made_again(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 3)
    troubles = [error(503), error(429, "rate_limit_exceeded", "slow down"), Trouble(cut=True)]
    seen: Counter[str] = Counter()

    def http(method: str, path: str) -> Trouble | None:
        what = f"{method} {path}"
        seen[what] += 1
        return troubles[len(seen) % 3] if seen[what] == 1 else None

    server.http = http
    done = batched(home, endpoint(server))
    assert (done.state, len(server.batches), set(server.asked.values())) == ("finished", 1, {1})


def test_a_server_that_goes_away_ends_the_call_and_the_next_one_goes_on(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 3)
    server.http = lambda method, path: error(503, **{"Retry-After": "0.01"}) if path.startswith("/v1/batches/") else None
    with pytest.raises(WorkFailed) as caught:
        batched(home, endpoint(server), misses=1)
    assert "goes on" in caught.value.hint
    (each,) = jobs(home)
    assert each.state == "failed"
    server.http = lambda method, path: None
    assert batched(home, endpoint(server)).state == "finished"
    assert (len(server.batches), job(home.run_dir(each.run_id)).state) == (1, "finished")


def test_a_quota_that_ends_keeps_what_was_scored(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 4)
    server.row = lambda batch, call: error(429, "insufficient_quota", "no money") if "-3-end" in call.prompt else None
    done = batched(home, endpoint(server))
    assert (done.state, done.n_scored, len(server.batches)) == ("failed", 6, 1)
    assert "no quota left" in done.message


def test_another_model_than_the_snapshot_ends_the_job(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 2)
    spec = endpoint(server, snapshot="judge-1")
    server.row = lambda batch, call: Trouble(body=server._completion(call).replace("judge-1", "judge-2"))
    done = batched(home, spec)
    assert (done.state, done.n_scored, done.calls) == ("failed", 0, 5)
    assert "judge-2" in done.message


def test_models_that_take_max_completion_tokens_get_it(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 2)
    wants = error(400, "unsupported_parameter", "use max_completion_tokens instead of max_tokens")
    server.trouble = lambda call: wants if "max_tokens" in call.body else None
    assert batched(home, endpoint(server)).state == "finished"
    (batch,) = server.batches.values()
    assert all("max_completion_tokens" in line["body"] for line in server.lines(batch))
    server.trouble = lambda call: None  # a probe that says nothing of it, and a batch that does
    server.row = lambda batch, call: wants if "max_tokens" in call.body else None
    run_of(home, "run-b", 2)
    assert batched(home, endpoint(server)).n_scored == 4


def test_a_large_job_is_estimated_at_half_price_and_a_no_submits_nothing(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 110)
    price: dict[str, Any] = {"usd_per_m_input": 1000.0, "usd_per_m_output": 2000.0}
    costs: list[Any] = []

    def confirm(cost: Any) -> bool:
        costs.append(cost)
        return False

    with pytest.raises(BadInput):
        batched(home, endpoint(server, **price), asking=Asking(confirm=confirm))
    (cost,) = costs
    assert cost.n_calls == 220
    assert cost.usd.mean == pytest.approx(0.5 * (cost.tokens.mean + 220) / 1e3, rel=0.05)
    assert not server.batches
    assert batched(home, endpoint(server, **price)).n_answers == 105
    assert set(scored(home).values()) == {1}


def test_texts_and_results_do_not_stay(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 3)
    done = batched(home, endpoint(server))
    assert [path.name for path in (home.run_dir(done.run_id) / "batch").iterdir()] == ["state.jsonl"]
    (batch,) = server.batches.values()
    assert server.deleted == [batch.input_file_id]


POINTS = (
    "<append#1", "append>#1", "<plan#1", "<append#2", "append>#2", "upload>#1", "append>#3", "<create#1", "create>#1", "append>#5",
    "download>#1", "append>#6", "event>#9", "cache>#4", "<append#7", "append>#7", "<upload#2", "create>#2", "<append#13", "<clean#3", "<clean#4",
    "append>#13",
)  # fmt: skip
"""Before and after every step that is written down or sent; the second batch asks for what expired in the first."""
CHAIN = (
    "<append#1",
    "<plan#1",
    "<upload#1",
    "upload>#1",
    "create>#1",
    "download>#1",
    "cache>#3",
    "<append#2",
    "create>#1",
    "append>#3",
)
"""One after the other in the same home: each attempt gets a little further."""


class Forks:
    """The process that runs jobs in forks and kills them."""

    def __enter__(self) -> Forks:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.rejudge.batches"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.communicate(timeout=60)

    def run(self, home: BareHome, server: BatchServer, point: str = "") -> int:
        """How a job ended: 0, or minus the signal."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{home.root}\t{server.base_url}\t{point}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def last_expires(batch: MadeBatch, call: Call) -> str | None:
    return EXPIRED if batch.number == 0 and "-3-end" in call.prompt else None


def test_a_job_killed_again_and_again_pays_for_nothing_twice(home: BareHome, server: BatchServer) -> None:
    run_of(home, "run-a", 4)
    server.row = last_expires
    with Forks() as forks:
        assert [forks.run(home, server, point) for point in (*CHAIN, "")] == [-9] * len(CHAIN) + [0]
    assert [batch.n for batch in server.batches.values()] == [8, 2]
    assert set(server.asked.values()) == {1}
    assert (len(scored(home)), set(scored(home).values())) == (8, {1})


@pytest.mark.slow
@pytest.mark.long
def test_a_job_killed_at_any_point_goes_on_without_paying_twice(tmp_path: Path) -> None:
    tried = []
    with Forks() as forks:
        for i, point in enumerate(POINTS):
            home = BareHome(tmp_path / str(i))
            home.prepare()
            run_of(home, "run-a", 4)
            with BatchServer() as server:
                server.row = last_expires
                ends = [forks.run(home, server, where) for where in (point, "")]
                made = [batch.n for batch in server.batches.values()]
                tried.append((point, ends, made, set(server.asked.values()), len(scored(home)), set(scored(home).values())))
    assert tried == [(point, [-9, 0], [8, 2], {1}, 8, {1}) for point in POINTS]
