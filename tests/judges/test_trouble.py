"""A server that misbehaves: bounded time, no score lost, none paid for twice, and a plain message."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from em_core.judges import ToJudge
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.judges.pipeline import JudgeFailure, JudgingPipeline, already_judged
from em_core.records import METRICS, Judgement
from em_core.spec import JudgeSpec
from tests.servers.fixtures import ServerProcess
from tests.servers.openai_server import (
    Call,
    OpenAIServer,
    Trouble,
    bad_key,
    error,
    no_model,
    out_of_quota,
    rate_limited,
    redirect,
)

N = 24
BOUND_S = 20.0


def judge(base_url: str, timeout_s: float = 1.0, max_retries: int = 6) -> OpenAICompatibleJudge:
    spec = JudgeSpec(
        name="openai_compatible", model="judge-1", base_url=base_url, api_key_env="NOT_SET_ANYWHERE", timeout_s=timeout_s
    )
    return OpenAICompatibleJudge(spec, max_retries=max_retries)


def run(
    one: OpenAICompatibleJudge, already: set[tuple[str, str, str]] | None = None
) -> tuple[list[Judgement], list[JudgeFailure]]:
    written: list[Judgement] = []
    with JudgingPipeline([one], written.append, already or set()) as pipeline:
        pipeline.submit(ToJudge(f"r{i}", "Q?", f"answer {i}.") for i in range(N))
        failures = pipeline.finish(timeout=3 * BOUND_S)
    return written, failures


def scored(written: list[Judgement]) -> set[tuple[str, str, str]]:
    return already_judged(
        {"response_id": j.response_id, "judge_id": j.judge_id, "metric": j.metric, "unscored_reason": j.unscored_reason}
        for j in written
    )


class Once:
    """The first tries of a share of the prompts meet a trouble; later tries are answered."""

    def __init__(self, trouble: Callable[[], Trouble], share: float = 0.2, times: int = 1) -> None:
        self.trouble, self.share, self.times, self.tries = trouble, share, times, Counter[str]()

    def __call__(self, call: Call) -> Trouble | None:
        self.tries[call.prompt] += 1
        unlucky = random.Random(call.prompt).random() < self.share
        return self.trouble() if unlucky and self.tries[call.prompt] <= self.times else None


def http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


TROUBLES: dict[str, Callable[[], Trouble]] = {
    "429, Retry-After in seconds": lambda: rate_limited(0.4),
    "429, Retry-After in ms": lambda: error(429, "rate_limit_exceeded", "slow", **{"retry-after-ms": "300"}),
    "429, Retry-After as a date": lambda: error(429, "rate_limit_exceeded", "slow", **{"Retry-After": http_date(1.5)}),
    "429 without Retry-After": lambda: rate_limited(),
    "429, Retry-After nonsense": lambda: error(429, "rate_limit_exceeded", "slow", **{"Retry-After": "soon, nan or -7"}),
    "500": lambda: error(500),
    "502 with a page": lambda: Trouble(502, "<html>Bad gateway</html>"),
    "503 with Retry-After": lambda: error(503, "overloaded", "busy", **{"Retry-After": "0.4"}),
    "hang": lambda: Trouble(hang_s=30),
    "cut body": lambda: Trouble(cut=True),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_passing_trouble_costs_time_and_nothing_else(openai_server: OpenAIServer, name: str) -> None:
    openai_server.latency_s = 0.02
    openai_server.trouble = Once(TROUBLES[name])
    began = time.monotonic()
    written, failures = run(judge(openai_server.base_url))
    assert time.monotonic() - began < BOUND_S
    assert failures == []
    assert Counter((j.response_id, j.metric) for j in written) == {(f"r{i}", m): 1 for i in range(N) for m in METRICS}
    assert {j.unscored_reason for j in written} == {None}
    assert openai_server.n_replied == len(written)  # each score was paid for once


def test_a_storm_of_refusals_is_waited_out(openai_server: OpenAIServer) -> None:
    began = time.monotonic()
    openai_server.trouble = lambda call: rate_limited(1) if time.monotonic() - began < 3 else None
    written, failures = run(judge(openai_server.base_url))
    assert failures == []
    assert len(scored(written)) == openai_server.n_replied == 2 * N
    assert openai_server.n_calls < 2 * N + 150  # it did not hammer on
    assert time.monotonic() - began < BOUND_S


def test_a_burst_of_server_errors_is_waited_out(openai_server: OpenAIServer) -> None:
    began = time.monotonic()
    openai_server.trouble = lambda call: error(500) if time.monotonic() - began < 2.5 else None
    written, failures = run(judge(openai_server.base_url))
    assert failures == []
    assert len(scored(written)) == openai_server.n_replied == 2 * N
    assert time.monotonic() - began < BOUND_S


def test_a_server_that_only_hangs_is_given_up_in_bounded_time_and_named(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: Trouble(hang_s=60)
    began = time.monotonic()
    written, (failure,) = run(judge(openai_server.base_url, timeout_s=0.3, max_retries=1))
    assert time.monotonic() - began < BOUND_S
    assert "judge calls failed in a row, the last with no answer in time" in failure.message
    assert "`judge` scores the rest" in failure.hint
    assert (scored(written), failure.n_unjudged) == (set(), N)


def test_slow_answers_that_trickle_in_are_scores(openai_server: OpenAIServer) -> None:
    openai_server.trouble = Once(lambda: Trouble(trickle_s=0.002), share=0.3)
    written, failures = run(judge(openai_server.base_url))
    assert failures == []
    assert len(scored(written)) == openai_server.n_replied == 2 * N


@pytest.mark.parametrize("body", ["", "{", "[]", '{"choices": []}', "null", '{"choices": [{"message": {"content": 7}}]}', "85"])
def test_wrong_json_is_a_failed_call_and_is_asked_for_again_next_time(openai_server: OpenAIServer, body: str) -> None:
    openai_server.trouble = Once(lambda: Trouble(body=body), share=0.2)
    written, failures = run(judge(openai_server.base_url))
    assert failures == []
    bad = {(j.response_id, j.metric) for j in written if j.unscored_reason == "api_error"}
    assert 0 < len(bad) < 2 * N
    assert all("not a chat completion" in j.raw_reply for j in written if j.unscored_reason)
    n_before = openai_server.n_calls
    again, failures = run(judge(openai_server.base_url), scored(written))
    assert failures == []
    assert openai_server.n_calls - n_before == len(bad)
    assert {(j.response_id, j.metric) for j in again} == bad


FATAL = {
    "refused the key": bad_key,
    "refused the key in NOT_SET_ANYWHERE (403)": lambda: error(403, "forbidden"),
    "no quota left": out_of_quota,
    "no quota left for this key (402)": lambda: error(402),
    "has no model 'judge-1'": no_model,
    "has no model 'judge-1' ": lambda: error(410, "model_deprecated"),
    "redirects elsewhere (307)": lambda: redirect("http://127.0.0.1:9/v1/chat/completions"),
}


@pytest.mark.parametrize("message", FATAL)
def test_an_error_that_no_call_escapes_ends_it_at_once_and_keeps_what_is_done(openai_server: OpenAIServer, message: str) -> None:
    openai_server.latency_s = 0.1
    openai_server.trouble = lambda call: FATAL[message]() if call.number >= 30 else None
    began = time.monotonic()
    written, (failure,) = run(judge(openai_server.base_url))
    assert time.monotonic() - began < 5
    assert message.strip() in failure.message
    assert failure.hint
    assert len(written) == openai_server.n_replied == 30  # everything that was paid for
    assert openai_server.n_calls <= 30 + 64  # those in flight; none was tried again
    left = N - sum(n == 2 for n in Counter(j.response_id for j in written).values())
    assert failure.n_unjudged == left
    openai_server.trouble = lambda call: None
    n_before = openai_server.n_calls
    rest, failures = run(judge(openai_server.base_url), scored(written))
    assert failures == []
    assert openai_server.n_calls - n_before == 2 * N - 30 == len(rest)  # nothing is paid for twice


def test_calls_in_flight_when_it_is_cancelled_are_the_only_ones_paid_for_twice(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.3
    written: list[Judgement] = []
    one = judge(openai_server.base_url, timeout_s=5)
    with JudgingPipeline([one], written.append) as pipeline:
        pipeline.submit(ToJudge(f"r{i}", "Q?", f"answer {i}.") for i in range(N))
        while len(written) < 20:
            time.sleep(0.01)
        pipeline.cancel()
        in_flight = openai_server.n_calls - len(written)
        failures = pipeline.finish()
    assert "cancelled" in failures[0].message
    assert 0 < in_flight <= 64
    time.sleep(0.5)
    rest, failures = run(one, scored(written))
    assert failures == []
    assert len(scored(written) | scored(rest)) == 2 * N
    assert openai_server.n_calls == 2 * N + in_flight


def test_everything_at_once_from_a_server_of_its_own() -> None:
    """The server is another process, allows 40 calls a second and 30 in flight, and says when to come back."""
    with ServerProcess("--latency", "0.1", "--rate", "40", "--max-in-flight", "30", "--retry-after", "1") as base_url:
        began = time.monotonic()
        written, failures = run(judge(base_url))
        took = time.monotonic() - began
    assert failures == []
    assert len(scored(written)) == len(written) == 2 * N
    assert took < BOUND_S
