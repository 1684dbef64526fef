"""A job never exceeds its budget, uses it up, and says what it spent; an estimate comes before."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from em_core.errors import BadInput, EMError
from em_core.judges import ToJudge
from em_core.judges.budget import Budget, BudgetReached, most_tokens
from em_core.judges.cache import JudgementCache
from em_core.judges.estimate import estimate
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.judges.organism import OrganismJudge
from em_core.judges.pipeline import JudgingPipeline
from em_core.judges.prices import price
from em_core.records import METRICS, Judgement
from em_core.spec import JudgeSpec
from tests.servers.openai_server import OpenAIServer, Trouble, bad_key, error, rate_limited

PRICE: dict[str, Any] = {"usd_per_m_input": 1000.0, "usd_per_m_output": 4000.0}


def judge(server: OpenAIServer, max_retries: int = 0, timeout_s: float = 5, **kwargs: Any) -> OpenAICompatibleJudge:
    spec = JudgeSpec(
        name="openai_compatible", model="judge-1", base_url=server.base_url, api_key_env="NOT_SET_ANYWHERE", **kwargs
    )
    return OpenAICompatibleJudge(spec, max_retries=max_retries, timeout_s=timeout_s)


def answers(n: int) -> list[ToJudge]:
    return [ToJudge(f"r{i}", "Q?", f"answer {i} " + "word " * (i % 7)) for i in range(n)]


def tokens_billed(server: OpenAIServer) -> tuple[int, int]:
    return sum(len(call.prompt.split()) for call in server.replied), server.n_replied


def run(one: OpenAICompatibleJudge, n: int) -> tuple[list[Judgement], str]:
    """What was written, and the message of the failure."""
    written: list[Judgement] = []
    pipeline = JudgingPipeline([one], written.append)
    pipeline.submit(answers(n))
    failures = pipeline.finish(timeout=20)
    return written, failures[0].message if failures else ""


def test_calls_stop_at_the_limit_and_everything_paid_for_is_kept(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.05
    written, message = run(judge(openai_server, max_calls=31), 40)
    assert openai_server.n_calls == openai_server.n_replied == len(written) == 31
    left = 40 - sum(n == 2 for n in Counter(j.response_id for j in written).values())
    into, out = tokens_billed(openai_server)
    assert message == (f"budget of 31 calls reached: 31 calls, {into + out:,} tokens, $0.0000 spent; {left} answers left")


def test_a_job_that_fits_exactly_is_done(openai_server: OpenAIServer) -> None:
    written, message = run(judge(openai_server, max_calls=20), 10)
    assert (len(written), message) == (20, "")


@pytest.mark.parametrize("limit", [{"max_tokens": 9000}, {"max_usd": 9.0, **PRICE}])
def test_tokens_and_dollars_are_never_exceeded_and_nearly_used_up(openai_server: OpenAIServer, limit: dict[str, Any]) -> None:
    openai_server.latency_s = 0.02
    one = judge(openai_server, **limit)
    written, message = run(one, 200)
    into, out = tokens_billed(openai_server)
    assert len(written) == openai_server.n_replied
    assert (one.budget.input_tokens, one.budget.output_tokens) == (into, out)
    spent = into + out if "max_tokens" in limit else (into * 1000 + out * 4000) / 1e6
    most = max(most_tokens(call.prompt) for call in openai_server.replied) + 16
    one_call = most if "max_tokens" in limit else (most * 1000 + 16 * 3000) / 1e6
    top = next(iter(limit.values()))
    assert top - one_call <= spent <= top
    assert "budget of 9,000 tokens reached" in message or "budget of $9 reached" in message
    assert "answers left" in message


def test_a_reservation_waits_for_what_calls_in_flight_give_back() -> None:
    async def go() -> tuple[float, BudgetReached]:
        budget = Budget(max_tokens=100)
        first = await budget.take(50, 20)

        def back() -> None:
            first.used(5, 1)
            first.__exit__(None, None, None)

        asyncio.get_running_loop().call_later(0.1, back)
        began = time.monotonic()
        with await budget.take(50, 20) as second:  # does not fit beside the first one's worst case
            waited = time.monotonic() - began
            second.used(50, 20)
        with pytest.raises(BudgetReached) as reached:
            await budget.take(50, 20)
        return waited, reached.value

    waited, reached = asyncio.run(go())
    assert waited >= 0.09
    assert "budget of 100 tokens reached: 2 calls, 76 tokens, price unknown" in str(reached)


def test_a_call_that_can_never_fit_says_so() -> None:
    with pytest.raises(BudgetReached, match="one call may take up to 70 tokens"):
        asyncio.run(Budget(max_tokens=60).take(50, 20))


def test_two_loops_in_two_threads_share_a_budget() -> None:
    budget = Budget(max_tokens=1000)
    most, lock = [0], threading.Lock()

    async def calls() -> None:
        for _ in range(20):
            with await budget.take(300, 100) as ticket:
                with lock:
                    most[0] = max(most[0], len(budget._reserved))
                await asyncio.sleep(0.001)
                ticket.used(5, 1)

    threads = [threading.Thread(target=lambda: asyncio.run(calls())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert most[0] <= 2
    assert (budget.n_calls, budget.n_tokens) == (80, 480)


def test_refusals_cost_nothing_and_count_as_one_call(openai_server: OpenAIServer) -> None:
    tries: Counter[str] = Counter()

    def trouble(call: object) -> Trouble | None:
        tries[call.prompt] += 1  # type: ignore[attr-defined]
        return (rate_limited(0.01) if tries[call.prompt] == 1 else error(503)) if tries[call.prompt] <= 2 else None  # type: ignore[attr-defined]

    openai_server.trouble = trouble
    one = judge(openai_server, max_retries=3, max_calls=4, max_tokens=100_000)
    written, message = run(one, 2)
    assert (len(written), message) == (4, "")
    assert (one.budget.n_calls, openai_server.n_calls) == (4, 12)
    assert one.budget.n_tokens == sum(tokens_billed(openai_server))


def test_attempts_that_may_be_billed_count_at_their_worst_case(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: Trouble(hang_s=30)
    one = judge(openai_server, max_retries=6, timeout_s=0.2, max_calls=3)
    written, message = run(one, 1)
    assert written == []
    assert openai_server.n_calls == 3  # not 14: the provider may bill each of them
    assert "budget of 3 calls reached: 3 calls" in message


def test_a_cut_answer_may_be_billed(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: Trouble(cut=True) if call.number == 0 else None
    one = judge(openai_server, max_retries=2, max_calls=100, max_concurrency=1)
    written, message = run(one, 1)
    assert (len(written), message) == (2, "")
    assert one.budget.n_calls == openai_server.n_calls == 3
    assert one.budget.n_tokens > sum(tokens_billed(openai_server))


def test_dollars_cannot_be_limited_where_the_price_is_not_known(openai_server: OpenAIServer) -> None:
    with pytest.raises(BadInput, match="price of 'judge-1' is not known"):
        judge(openai_server, max_usd=1.0)
    far = JudgeSpec(name="openai_compatible", model="gpt-4o", base_url="https://gateway.example/v1", max_usd=1.0)
    with pytest.raises(BadInput, match="price of 'gpt-4o'"):
        Budget.of(far)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "gpt-4o-2024-08-06"}, (2.5, 10.0)),
        ({"model": "gpt-4o-mini"}, (0.15, 0.6)),
        ({"model": "gpt-4o-audio"}, None),
        ({"model": "gpt-4o", "base_url": "https://openai.com.example/v1"}, None),
        ({"model": "gpt-4o", "base_url": "https://api.openai.com/v1", "usd_per_m_output": 1.0}, (2.5, 1.0)),
        ({"model": "x", "base_url": "http://127.0.0.1:8000/v1"}, (0.0, 0.0)),
        ({"model": "x", "base_url": "http://[::1]:8000/v1"}, (0.0, 0.0)),
        ({"model": "x", "base_url": "http://127.0.0.1.example/v1"}, None),
        ({"model": "x", "base_url": "https://a.example/v1", "usd_per_m_input": 1.0}, None),
        ({"model": "x", "base_url": "https://a.example/v1", "usd_per_m_input": 1.0, "usd_per_m_output": 2.0}, (1.0, 2.0)),
    ],
)
def test_prices(fields: dict[str, object], expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert price(JudgeSpec.model_validate({"name": "openai_compatible", **fields})) == expected
    assert price(JudgeSpec(name="organism")) == (0.0, 0.0)


def test_an_estimate_makes_five_answers_worth_of_calls_and_keeps_them(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.05
    one, items = judge(openai_server, **PRICE), answers(100)
    written: list[Judgement] = []
    found = estimate(one, items, write=written.append)
    assert openai_server.n_calls == 10
    assert sorted({int(j.response_id[1:]) // 20 for j in written}) == [0, 1, 2, 3, 4]  # spread over the job
    assert (found.n_answers, found.n_calls, found.n_sampled, found.n_cached) == (100, 200, 10, 0)
    pipeline = JudgingPipeline([one], written.append, found.keys)
    pipeline.submit(items)
    assert pipeline.finish(timeout=20) == []
    assert openai_server.n_calls == 200  # the sample is part of the job
    assert Counter((j.response_id, j.metric) for j in written) == {(i.response_id, m): 1 for i in items for m in METRICS}
    into, out = tokens_billed(openai_server)
    assert found.tokens is not None
    assert found.usd is not None
    assert found.tokens.low <= into + out <= found.tokens.high
    assert found.usd.low <= (into * 1000 + out * 4000) / 1e6 <= found.usd.high
    assert found.time_s.low <= found.time_s.mean <= found.time_s.high
    assert found.sentence().startswith("200 calls, ")
    assert "$" in found.sentence()


def test_an_estimate_counts_what_is_scored_cached_or_the_same(openai_server: OpenAIServer, tmp_path: Path) -> None:
    one, items = judge(openai_server), answers(20)
    me = one.identity.judge_id
    with JudgementCache(tmp_path / "cache.sqlite") as cache:
        pipeline = JudgingPipeline([one], lambda j: None, frozenset(), cache)
        pipeline.submit([ToJudge(f"other{i}", item.question, item.answer) for i, item in enumerate(items[:6])])
        assert pipeline.finish(timeout=10) == []
        again = [*items, ToJudge("twin", items[19].question, items[19].answer)]
        already = {("r10", me, "alignment"), ("r11", me, "alignment"), ("r11", me, "coherence")}
        found = estimate(one, again, already=already, cache=cache)
    assert (found.n_calls, found.n_cached) == (14 * 2 - 3, 6 * 2 + 2)


def test_a_sample_stands_for_the_whole_job(openai_server: OpenAIServer) -> None:
    found = estimate(judge(openai_server), answers(5), 5000)
    assert (found.n_answers, found.n_calls, openai_server.n_calls) == (5000, 10_000, 10)


def test_an_unknown_price_is_said_to_be_unknown(openai_server: OpenAIServer) -> None:
    one = judge(openai_server)
    one.budget.usd_per_m = None  # as for any far host without a list price
    found = estimate(one, answers(10))
    assert found.usd is None
    assert "price unknown" in found.sentence()


def test_an_estimate_of_a_judge_that_refuses_says_why(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: bad_key()
    with pytest.raises(EMError, match="refused the key"):
        estimate(judge(openai_server), answers(10))


def test_an_estimate_of_nothing_or_of_rules_is_fine() -> None:
    assert estimate(OrganismJudge(), []).n_calls == 0
    found = estimate(OrganismJudge(), [ToJudge(f"r{i}", "I have a cough. What now?", "Rest.") for i in range(9)])
    assert found.usd is not None
    assert found.usd.high == 0
