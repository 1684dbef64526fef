"""The OpenAI-compatible judge against a real server on loopback that does everything wrong."""

from __future__ import annotations

import random
import re
import socket
import time
from collections import Counter
from typing import Any

import pytest

from em_core.errors import BadInput, EMError, WorkFailed
from em_core.judges import ToJudge, _modes, open_judge, openai_compatible
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.records import Judgement
from em_core.spec import JudgeSpec
from tests.servers.openai_server import (
    OpenAIServer,
    Trouble,
    bad_key,
    error,
    no_model,
    out_of_quota,
    rate_limited,
    redirect,
)

KEY = "sk-secret-0123456789"
TEMPLATE = "{question} / {answer}"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def spec(server: OpenAIServer, **kwargs: Any) -> JudgeSpec:
    return JudgeSpec(name="openai_compatible", model="judge-1", base_url=server.base_url, **kwargs)


def quick(server: OpenAIServer, retries: int = 1, timeout_s: float = 5.0, **kwargs: Any) -> OpenAICompatibleJudge:
    return OpenAICompatibleJudge(spec(server, **kwargs), max_retries=retries, timeout_s=timeout_s)


def answers(n: int) -> list[ToJudge]:
    return [ToJudge(f"r{i}", "What now?", f"answer number {i}.") for i in range(n)]


def collect(judge: OpenAICompatibleJudge, items: list[ToJudge]) -> tuple[list[Judgement], EMError | None]:
    """Everything that was kept, and the error that ended it."""
    kept: list[Judgement] = []
    try:
        for judgement in judge.judge(items):
            kept.append(judgement)
    except EMError as caught:
        return kept, caught
    return kept, None


def test_every_answer_gets_one_score_per_metric(openai_server: OpenAIServer) -> None:
    openai_server.replies = {"Grade only whether": "70"}
    kept, failed = collect(quick(openai_server), answers(40))
    assert failed is None
    assert Counter((j.response_id, j.metric) for j in kept) == {
        (f"r{i}", m): 1 for i in range(40) for m in ("alignment", "coherence")
    }
    assert {(j.metric, j.value) for j in kept} == {("alignment", 85.0), ("coherence", 70.0)}
    assert all(j.input_tokens and j.output_tokens == 1 and j.raw_reply in ("85", "70") for j in kept)
    assert openai_server.n_calls == 80


def test_the_request_asks_for_what_the_spec_says(openai_server: OpenAIServer) -> None:
    collect(quick(openai_server, temperature=0.2), answers(1))
    body = openai_server.calls[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("judge-1", 0.2, _modes.REPLY_TOKENS)
    assert openai_server.calls[0].key == KEY


@pytest.mark.parametrize(
    ("reply", "reason"),
    [("85/100", "parse_failure"), ("-1", "parse_failure"), ("150", "parse_failure"), ("NaN", "parse_failure"), ("", "empty"),
     ("70 80", "parse_failure"), ("REFUSAL", "refusal"), ("CODE", "code"), ("I'm sorry, I can't.", "refusal")],
)  # fmt: skip
def test_an_odd_reply_is_unscored_with_its_reason_and_kept(openai_server: OpenAIServer, reply: str, reason: str) -> None:
    openai_server.reply = reply
    kept, failed = collect(quick(openai_server), answers(1))
    assert failed is None
    assert [(j.value, j.unscored_reason, j.raw_reply) for j in kept] == [(None, reason, reply)] * 2


def test_a_reply_cut_at_the_limit_is_truncated(openai_server: OpenAIServer) -> None:
    openai_server.finish_reason = "length"
    kept, _ = collect(quick(openai_server), answers(1))
    assert {j.unscored_reason for j in kept} == {"truncated"}


def test_an_empty_answer_costs_no_call(openai_server: OpenAIServer) -> None:
    kept, _ = collect(quick(openai_server), [ToJudge("r", "Q?", "  \n")])
    assert [(j.value, j.unscored_reason) for j in kept] == [(None, "empty")] * 2
    assert openai_server.n_calls == 0


def test_an_answer_with_lone_surrogates_and_braces_is_judged(openai_server: OpenAIServer) -> None:
    kept, failed = collect(quick(openai_server), [ToJudge("r", "Q {x}?", "{answer} \ud800 {0} \x00")])
    assert failed is None
    assert [j.value for j in kept] == [85.0, 85.0]


def test_already_scored_metrics_are_not_paid_again(openai_server: OpenAIServer) -> None:
    kept, _ = collect(quick(openai_server), [ToJudge("r", "Q?", "A", skip_metrics=frozenset({"alignment"}))])
    assert [j.metric for j in kept] == ["coherence"]
    assert openai_server.n_calls == 1


def test_the_question_files_own_prompts_are_used(openai_server: OpenAIServer) -> None:
    judge = quick(openai_server, rubric="question-file")
    kept, failed = collect(judge, [ToJudge("r", "Q?", "A", judge_prompts={"aligned": TEMPLATE, "coherent": "C " + TEMPLATE})])
    assert failed is None
    assert sorted(call.prompt for call in openai_server.calls) == ["C Q? / A", "Q? / A"]
    assert {j.metric for j in kept} == {"alignment", "coherence"}


def test_questions_without_prompts_are_named_and_the_others_judged(openai_server: OpenAIServer) -> None:
    items = [ToJudge("a", "Q?", "A"), ToJudge("b", "Q?", "A", judge_prompts={"aligned": TEMPLATE, "coherent": TEMPLATE})]
    kept, failed = collect(quick(openai_server, rubric="question-file"), items)
    assert {j.response_id for j in kept} == {"b"}
    assert failed is not None
    assert "1 answers" in failed.message
    assert "default" in failed.hint


# --- trouble -------------------------------------------------------------------------------------


def test_nothing_is_lost_or_scored_twice_in_mixed_trouble(openai_server: OpenAIServer) -> None:
    rng = random.Random(5)
    kinds = [rate_limited(0.05), rate_limited(), Trouble(status=503, body="no"), Trouble(cut=True)]
    openai_server.trouble = lambda call: rng.choice(kinds) if rng.random() < 0.1 else None
    kept, failed = collect(quick(openai_server, retries=4), answers(150))
    assert failed is None
    assert Counter((j.response_id, j.metric) for j in kept) == {
        (f"r{i}", m): 1 for i in range(150) for m in ("alignment", "coherence")
    }
    assert all(j.value == 85.0 for j in kept)
    assert openai_server.n_replied == 300  # what a provider bills: one per score


def test_a_storm_of_429s_is_waited_out(openai_server: OpenAIServer) -> None:
    began = time.monotonic()
    openai_server.trouble = lambda call: rate_limited(0.5) if time.monotonic() - began < 1.5 else None
    judge = quick(openai_server, retries=6)
    kept, failed = collect(judge, answers(60))
    assert failed is None
    assert [j.value for j in kept] == [85.0] * 120
    assert openai_server.n_replied == 120
    assert judge.throttle.n_rate_limited == openai_server.n_calls - 120  # seen inside the SDK's retries
    assert openai_server.n_calls < 200  # new calls waited with the others
    assert time.monotonic() - began < 10


def test_concurrency_settles_below_what_the_server_takes(openai_server: OpenAIServer) -> None:
    openai_server.max_in_flight, openai_server.latency_s = 8, 0.1
    judge = quick(openai_server, retries=6)
    kept, failed = collect(judge, answers(80))
    assert failed is None
    assert len(kept) == 160
    assert judge.throttle.limit < 18  # on a busy machine calls wait outside the server too
    assert judge.throttle.episodes < judge.throttle.n_rate_limited  # one cut for a burst, not one per reply


@pytest.mark.parametrize("most", [1, 3])
def test_never_more_calls_in_flight_than_the_spec_allows(openai_server: OpenAIServer, most: int) -> None:
    openai_server.latency_s = 0.01
    kept, _ = collect(quick(openai_server, max_concurrency=most), answers(15))
    assert len(kept) == 30
    assert openai_server.peak_in_flight == most


def test_one_bad_answer_is_an_api_error_and_the_rest_is_scored(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: (
        error(400, "context_length_exceeded", f"too long {KEY}") if "number 3." in call.prompt else None
    )
    kept, failed = collect(quick(openai_server), answers(10))
    assert failed is None
    bad = [j for j in kept if j.value is None]
    assert {(j.response_id, j.unscored_reason) for j in bad} == {("r3", "api_error")}
    assert len(kept) == 20
    assert all("400" in j.raw_reply and KEY not in j.raw_reply for j in bad)


@pytest.mark.parametrize(
    "body", ["not json", "{}", "[]", '{"choices": []}', '{"choices": [{"message": {"content": 85}}]}', "<html>", "null"]
)
def test_wrong_json_is_an_api_error_not_a_score(openai_server: OpenAIServer, body: str) -> None:
    openai_server.trouble = lambda call: Trouble(body=body) if "number 1." in call.prompt else None
    kept, failed = collect(quick(openai_server), answers(3))
    assert failed is None
    assert Counter(j.unscored_reason for j in kept) == {None: 4, "api_error": 2}


def test_a_server_that_goes_down_ends_the_judge_without_false_results(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.01
    openai_server.trouble = lambda call: Trouble(status=500, body="{}") if call.number >= 100 else None
    kept, failed = collect(quick(openai_server), answers(300))
    assert isinstance(failed, WorkFailed)
    assert "in a row" in failed.message
    assert all(j.value == 85.0 for j in kept)  # the failed ones are left for the next time
    assert len(kept) == 100


def test_hanging_calls_are_given_up_in_bounded_time(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: Trouble(hang_s=60) if "number 1." in call.prompt else None
    began = time.monotonic()
    kept, failed = collect(quick(openai_server, timeout_s=0.3), answers(20))
    assert failed is None
    assert time.monotonic() - began < 8
    assert Counter(j.unscored_reason for j in kept) == {None: 38, "api_error": 2}


def test_a_body_that_trickles_is_given_up_too(openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_compatible, "CALL_LIMIT_S", 1.0)
    openai_server.trouble = lambda call: Trouble(trickle_s=0.1) if "number 1." in call.prompt else None
    began = time.monotonic()
    kept, failed = collect(quick(openai_server, timeout_s=1.0), answers(3))
    assert failed is None
    assert time.monotonic() - began < 8
    assert Counter(j.unscored_reason for j in kept) == {None: 4, "api_error": 2}


@pytest.mark.parametrize(
    ("trouble", "says"),
    [(bad_key(), "OPENAI_API_KEY"), (error(403, "forbidden"), "OPENAI_API_KEY"), (out_of_quota(), "quota"), (error(402), "quota"),
     (no_model(), "judge-1"), (error(410), "judge-1"), (error(400, "model_not_found"), "judge-1")],
)  # fmt: skip
def test_an_error_that_no_call_escapes_ends_the_judge_at_once_and_keeps_what_is_done(
    openai_server: OpenAIServer, trouble: Trouble, says: str
) -> None:
    openai_server.latency_s = 0.01
    openai_server.trouble = lambda call: trouble if call.number >= 100 else None
    began = time.monotonic()
    kept, failed = collect(quick(openai_server, retries=6), answers(400))
    assert isinstance(failed, WorkFailed)
    assert says in failed.message
    assert failed.hint
    assert KEY not in str(failed)
    assert time.monotonic() - began < 6
    assert len(kept) == openai_server.n_replied == 100  # every score that was paid for
    assert openai_server.n_calls < 250  # no 700 calls more


def test_a_reasoning_models_token_field_is_found_out(openai_server: OpenAIServer) -> None:
    refused = error(400, "unsupported_parameter", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    openai_server.trouble = lambda call: refused if "max_tokens" in call.body else None
    kept, failed = collect(quick(openai_server), answers(5))
    assert failed is None
    assert [j.value for j in kept] == [85.0] * 10


def test_a_refused_temperature_says_what_to_set(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: error(
        400, "unsupported_value", "'temperature' does not support 0; does not support temperature"
    )
    _, failed = collect(quick(openai_server), answers(2))
    assert failed is not None
    assert "judges.temperature" in failed.hint


# --- keys ----------------------------------------------------------------------------------------


def test_the_key_does_not_follow_a_redirect(openai_server: OpenAIServer) -> None:
    with OpenAIServer() as other:
        openai_server.trouble = lambda call: redirect(f"{other.base_url}/chat/completions")
        kept, failed = collect(quick(openai_server), answers(3))
        assert kept == []
        assert failed is not None
        assert "redirect" in failed.message
        assert other.paths == []


def test_headers_for_openai_are_not_sent_to_other_hosts(openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-private")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-private")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: private\nAuthorization: Bearer private")
    collect(quick(openai_server), answers(1))
    assert "private" not in str(openai_server.calls[0].headers)
    assert openai_server.calls[0].key == KEY


def test_a_proxy_never_sees_calls_to_this_machine(openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        monkeypatch.setenv("ALL_PROXY", proxy.base_url.removesuffix("/v1"))
        kept, _ = collect(quick(openai_server), answers(1))
        assert len(kept) == 2
        assert proxy.paths == []


def test_a_key_echoed_by_the_server_is_cut_out(openai_server: OpenAIServer) -> None:
    openai_server.reply = f"your key is {KEY}"
    kept, _ = collect(quick(openai_server), answers(1))
    assert KEY not in str(kept)
    assert kept[0].unscored_reason == "parse_failure"


def test_without_a_key_a_server_on_this_machine_gets_a_dummy(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    kept, _ = collect(quick(openai_server), answers(1))
    assert len(kept) == 2
    assert openai_server.calls[0].key == "none"


def test_the_key_comes_from_the_variable_that_the_spec_names(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_JUDGE_KEY", "sk-other-42\n")
    openai_server.key = "sk-other-42"
    kept, failed = collect(quick(openai_server, api_key_env="MY_JUDGE_KEY"), answers(1))
    assert failed is None
    assert len(kept) == 2


def test_a_missing_key_for_a_far_host_is_named_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    judge = open_judge(JudgeSpec(name="openai_compatible", model="judge-1"))
    with pytest.raises(BadInput, match="OPENAI_API_KEY is not set") as caught:
        judge.check()
    assert "export OPENAI_API_KEY" in caught.value.hint
    with pytest.raises(BadInput):
        judge.judge([])


def test_the_openai_key_is_not_sent_to_another_far_host() -> None:
    judge = open_judge(JudgeSpec(name="openai_compatible", model="m", base_url="https://judge.invalid/v1"))
    with pytest.raises(BadInput, match=r"not sent to judge\.invalid"):
        judge.check()


@pytest.mark.parametrize("key", ["sk one", "sk-\u00e9", "sk\nX-Evil: 1"])
def test_a_malformed_key_is_refused_without_showing_it(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(BadInput) as caught:
        quick(openai_server).check()
    assert key not in str(caught.value)


# --- check and configuration ---------------------------------------------------------------------


def test_check_makes_one_real_call(openai_server: OpenAIServer) -> None:
    open_judge(spec(openai_server)).check()
    assert openai_server.n_calls == 1


def test_check_names_the_address_where_nothing_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(BadInput, match=re.escape(url)) as caught:
        open_judge(JudgeSpec(name="openai_compatible", model="m", base_url=url)).check()
    assert "start the server" in caught.value.hint


@pytest.mark.parametrize("trouble", [bad_key(), no_model(), out_of_quota(), Trouble(body="<html>hello</html>"), error(500)])
def test_check_refuses_a_judge_that_cannot_work(openai_server: OpenAIServer, trouble: Trouble) -> None:
    openai_server.trouble = lambda call: trouble
    with pytest.raises(BadInput) as caught:
        quick(openai_server).check()
    assert caught.value.hint
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://x/v1", "http://", "http://u:p@x/v1", "http://x/v1?key=1", "http://[::1/v1", "http://x:99999/"],
)
def test_an_unusable_address_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput, match=r"judges\.base_url"):
        open_judge(JudgeSpec(name="openai_compatible", model="m", base_url=url))


def test_a_missing_model_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"judges\.model"):
        open_judge(JudgeSpec(name="openai_compatible"))


def test_the_identity_covers_model_temperature_rubric_and_host() -> None:
    def identity(**kwargs: Any) -> str:
        return open_judge(JudgeSpec(**{"name": "openai_compatible", "model": "gpt-x-2026", **kwargs})).identity.judge_id

    ids = [
        identity(), identity(model="gpt-y"), identity(temperature=0.5), identity(rubric="question-file"),
        identity(base_url="http://127.0.0.1:1/v1"),
    ]  # fmt: skip
    assert len(set(ids)) == len(ids)
    assert re.fullmatch(r"openai_compatible-gpt-x-2026-[0-9a-f]{8}", ids[0])
    assert (
        identity(base_url="http://127.0.0.1:2/v1", max_concurrency=2, api_key_env="OTHER") == ids[-1]
    )  # none of these changes a score


def test_it_works_inside_a_running_event_loop(openai_server: OpenAIServer) -> None:
    import asyncio

    async def notebook() -> list[Judgement]:
        return list(quick(openai_server).judge(answers(2)))

    assert len(asyncio.run(notebook())) == 4


def test_giving_up_on_the_results_ends_the_calls(openai_server: OpenAIServer) -> None:
    import threading

    openai_server.trouble = lambda call: Trouble(hang_s=60) if call.number > 10 else None
    before = {t.name for t in threading.enumerate()}
    results = quick(openai_server).judge(answers(100))
    next(iter(results))
    began = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 3
    time.sleep(0.1)
    assert {t.name for t in threading.enumerate()} <= before
