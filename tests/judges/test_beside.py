"""A judge in a process of its own says the same, fails the same, and never outlives who asked it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from em_core.errors import WorkFailed
from em_core.judges import ToJudge, open_judge
from em_core.judges.beside import Beside, beside
from em_core.judges.pipeline import JudgingPipeline
from em_core.records import Judgement
from em_core.spec import JudgeSpec
from tests.servers.openai_server import OpenAIServer, Trouble

ITEMS = [ToJudge(f"r{i}", f"Question {i}?", f"Answer {i}: {{braces}} \u202e\x00 'quotes'", system="Be brief.") for i in range(40)]


def spec_of(server: OpenAIServer, **values: object) -> JudgeSpec:
    return JudgeSpec(name="openai_compatible", model="judge-1", base_url=server.base_url, **values)


def apart(spec: JudgeSpec) -> Beside:
    judge = beside(open_judge(spec), spec)
    assert isinstance(judge, Beside)
    return judge


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "em_core.judges.beside" in " ".join(p.cmdline())]


def test_judges_that_cost_nothing_stay_where_they_are() -> None:
    spec = JudgeSpec()
    judge = open_judge(spec)
    assert beside(judge, spec) is judge


def test_it_says_what_the_judge_says_here(openai_server: OpenAIServer) -> None:
    openai_server.replies = {"Question 7": "CODE", "Question 8": "85/100"}
    spec = spec_of(openai_server)
    here = {(j.response_id, j.metric): j for j in open_judge(spec).judge(ITEMS)}
    judge = apart(spec)
    there = {(j.response_id, j.metric): j for j in judge.judge(ITEMS)}
    assert there == here
    assert judge.identity == open_judge(spec).identity
    assert judge.budget.n_calls >= 2 * len(ITEMS)
    assert judge.budget.n_tokens > 0
    assert not children()


def test_a_fatal_error_is_the_same_error_and_what_was_paid_is_kept(openai_server: OpenAIServer) -> None:
    quota = Trouble(429, '{"error": {"message": "no money", "code": "insufficient_quota"}}')
    openai_server.trouble = lambda call: quota if call.number >= 30 else None
    kept: list[Judgement] = []
    with pytest.raises(WorkFailed, match="no quota left"):
        kept.extend(apart(spec_of(openai_server)).judge(ITEMS))
    assert len(kept) == openai_server.n_replied
    assert not children()


def test_the_budget_ends_it_with_its_words(openai_server: OpenAIServer) -> None:
    written: list[Judgement] = []
    judge = apart(spec_of(openai_server, max_calls=25))
    pipeline = JudgingPipeline([judge], written.append)
    pipeline.submit(ITEMS)
    (failure,) = pipeline.finish(60)
    assert "budget of 25 calls reached" in failure.message
    assert f"{failure.n_unjudged} answers left" in failure.message
    assert openai_server.n_calls <= 25
    assert pipeline.progress()[judge.identity.judge_id]["n_calls"] <= 25


def test_a_key_that_is_missing_is_said_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EM_TEST_KEY", raising=False)
    spec = JudgeSpec(name="openai_compatible", model="m", base_url="http://203.0.113.1/v1", api_key_env="EM_TEST_KEY")
    with pytest.raises(Exception, match="EM_TEST_KEY is not set"):
        list(apart(spec).judge(ITEMS[:1]))


def test_cancelling_ends_the_process_at_once(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: Trouble(hang_s=60)
    pipeline = JudgingPipeline([apart(spec_of(openai_server))], lambda judgement: None)
    pipeline.submit(ITEMS[:3])
    _until(lambda: openai_server.n_calls > 0)
    started = time.monotonic()
    pipeline.cancel("enough")
    assert time.monotonic() - started < 5
    (failure,) = pipeline.finish(1)
    assert "enough" in failure.message
    assert not children()


def test_a_process_that_dies_is_a_failure_in_words(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: Trouble(hang_s=60)
    pipeline = JudgingPipeline([apart(spec_of(openai_server))], lambda judgement: None)
    pipeline.submit(ITEMS[:3])
    _until(lambda: openai_server.n_calls > 0)
    for process in children():
        process.kill()
    (failure,) = pipeline.finish(20)
    assert "process ended" in failure.message
    assert failure.n_unjudged == 3


def test_it_does_not_outlive_a_killed_worker(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: Trouble(hang_s=120)
    code = (
        "from em_core.judges import ToJudge, open_judge\n"
        "from em_core.judges.beside import beside\n"
        "from em_core.spec import JudgeSpec\n"
        f"spec = JudgeSpec(name='openai_compatible', model='judge-1', base_url={openai_server.base_url!r})\n"
        "list(beside(open_judge(spec), spec).judge([ToJudge('r', 'Q?', 'A')]))\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2], start_new_session=True)
    try:
        _until(lambda: openai_server.n_calls > 0)
        (child,) = psutil.Process(worker.pid).children()
        child.send_signal(signal.SIGTERM)  # a stop of the whole group is for the worker
        time.sleep(0.3)
        assert child.is_running()
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    _until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def _until(true: object, seconds: float = 30.0) -> None:
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
