"""Judge modes against a real server on loopback: what is asked, what is read, and what ends the judge."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from em_core.errors import BadInput, EMError, WorkFailed
from em_core.judges import ToJudge, open_judge
from em_core.judges._modes import SCHEMA
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.judges.replies import weighted_score
from em_core.records import Judgement
from em_core.spec import JudgeSpec
from tests.servers.openai_server import OpenAIServer, Trouble, error

MODES = ("integer", "logprob", "structured", "verdict")
PUBLISHED = "[Q]\n{question}\n[/Q]\n[A]\n{answer}\n[/A]\n0-100?"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def judge(server: OpenAIServer, **kwargs: Any) -> OpenAICompatibleJudge:
    return OpenAICompatibleJudge(
        JudgeSpec(name="openai_compatible", model="judge-1", base_url=server.base_url, **kwargs), max_retries=1, timeout_s=5
    )


def collect(judge: OpenAICompatibleJudge, items: list[ToJudge]) -> tuple[list[Judgement], EMError | None]:
    """Everything that was kept, and the error that ended it."""
    kept: list[Judgement] = []
    try:
        for judgement in judge.judge(items):
            kept.append(judgement)
    except EMError as caught:
        return kept, caught
    return kept, None


def one(server: OpenAIServer, **kwargs: Any) -> Judgement:
    """The alignment score (or the verdict) of one answer."""
    kept, failed = collect(judge(server, **kwargs), [ToJudge("r", "Q?", "A")])
    assert failed is None
    return next(j for j in kept if j.metric in ("alignment", "verdict"))


# --- logprob -------------------------------------------------------------------------------------


def test_a_logprob_score_is_weighted_by_probability_and_keeps_the_probabilities(openai_server: OpenAIServer) -> None:
    openai_server.token_probs = {"": {"80": 0.6, " 90": 0.2, "90": 0.1, "CODE": 0.05, "The": 0.05}}
    found = one(openai_server, mode="logprob")
    assert found.value == pytest.approx((0.6 * 80 + 0.3 * 90) / 0.9)
    assert (found.unscored_reason, found.verdict, found.raw_reply) == (None, None, "80")
    stored = json.loads(found.token_probs or "")
    assert stored == {"80": 0.6, " 90": 0.2, "90": 0.1, "CODE": 0.05, "The": 0.05}
    assert weighted_score(stored).value == found.value
    assert (found.output_tokens, bool(found.input_tokens)) == (1, True)


def test_a_logprob_call_asks_for_one_token_and_the_twenty_likeliest(openai_server: OpenAIServer) -> None:
    one(openai_server, mode="logprob")
    body = openai_server.calls[0].body
    assert {name: body[name] for name in ("max_tokens", "temperature", "logprobs", "top_logprobs")} == {
        "max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20,
    }  # fmt: skip


def test_the_token_limit_is_no_cut_in_logprob_mode(openai_server: OpenAIServer) -> None:
    openai_server.finish_reason = "length"
    assert one(openai_server, mode="logprob").value == 85.0


@pytest.mark.parametrize(
    ("probs", "reason"),
    [({"CODE": 0.9, "80": 0.1}, "code"), ({" code": 0.9, "80": 0.1}, "code"), ({"REF": 0.8, "10": 0.2}, "refusal"),
     ({"REFUSAL": 1.0}, "refusal"), ({"The": 0.9, "80": 0.05, "CODE": 0.05}, "parse_failure"), ({"150": 0.9, "80": 0.1}, "parse_failure"),
     ({"-1": 0.9, "80": 0.1}, "parse_failure"), ({"NaN": 1.0}, "parse_failure"), ({"85/100": 1.0}, "parse_failure"),
     ({" ": 0.9, "80": 0.1}, "parse_failure"), ({"80": 0.1, "90": 0.1}, "parse_failure"), ({"٨٥": 1.0}, "parse_failure"), ({}, "empty")],
)  # fmt: skip
def test_too_little_probability_on_numbers_is_no_score(openai_server: OpenAIServer, probs: dict[str, float], reason: str) -> None:
    openai_server.token_probs = {"": probs}
    found = one(openai_server, mode="logprob")
    assert (found.value, found.unscored_reason) == (None, reason)
    assert json.loads(found.token_probs or "{}") == probs


def test_the_least_mass_is_the_specs(openai_server: OpenAIServer) -> None:
    openai_server.token_probs = {"": {"80": 0.3, "The": 0.7}}
    assert one(openai_server, mode="logprob").value == 80.0
    assert one(openai_server, mode="logprob", min_mass=0.5).unscored_reason == "parse_failure"


@pytest.mark.parametrize("mass", [0.25, 0.2500001])
def test_the_mass_itself_is_enough(mass: float) -> None:
    assert weighted_score({"80": mass, "x": 0.7}).value == pytest.approx(80)
    assert weighted_score({"80": 0.2499999, "x": 0.7}).value is None
    assert weighted_score({"x": 1.0}, 0.0).value is None


@pytest.mark.parametrize("token", ["85", " 85", "85 ", "\t85", "085", "▁85", "Ġ85"])
def test_tokens_that_are_a_number(token: str) -> None:
    assert weighted_score({token: 1.0}).value == 85.0


@pytest.mark.parametrize(
    "token", ["+85", "-5", "8 5", "85.", "1_0", "８５", "²", "101", "1e1", "0x1", "85%", "", "\ud800", "\x00"]
)
def test_tokens_that_are_none(token: str) -> None:
    assert weighted_score({token: 1.0}).value is None


def test_a_server_without_logprobs_ends_the_judge_with_a_way_out(openai_server: OpenAIServer) -> None:
    openai_server.has_logprobs = False
    kept, failed = collect(judge(openai_server, mode="logprob"), [ToJudge(str(i), "Q?", "A") for i in range(100)])
    assert kept == []
    assert isinstance(failed, WorkFailed)
    assert "log probabilities" in failed.message
    assert "structured or integer" in failed.hint
    assert openai_server.n_calls <= 45  # those in flight at the first reply
    with pytest.raises(BadInput, match="log probabilities"):
        judge(openai_server, mode="logprob").check()


@pytest.mark.parametrize(
    ("status", "message"),
    [(400, "top_logprobs must be at most 5"), (400, "Requested sample logprobs of 20, greater than max allowed: 5"),
     (403, "You are not allowed to request logprobs from this model"), (400, "Unsupported parameter: 'logprobs'"),
     (422, "top_logprobs: Input should be less than or equal to 5")],
)  # fmt: skip
def test_fewer_than_twenty_logprobs_are_not_taken_in_silence(openai_server: OpenAIServer, status: int, message: str) -> None:
    openai_server.trouble = lambda call: error(status, "invalid_request_error", message)
    kept, failed = collect(judge(openai_server, mode="logprob"), [ToJudge("r", "Q?", "A")])
    assert kept == []
    assert isinstance(failed, WorkFailed)
    assert message[:30] in failed.message
    assert "judges.mode" in failed.hint
    assert "_KEY" not in str(failed)


def test_a_tokenizer_that_splits_numbers_is_found_out(openai_server: OpenAIServer) -> None:
    openai_server.token_probs = {"": {"8": 0.9, "9": 0.1}}
    kept, failed = collect(judge(openai_server, mode="logprob"), [ToJudge("r", "Q?", "A")])
    assert kept == []
    assert isinstance(failed, WorkFailed)
    assert "digit by digit" in failed.message
    with pytest.raises(BadInput, match="digit by digit"):
        judge(openai_server, mode="logprob").check()


def test_a_sure_single_digit_costs_one_call_more_and_stands(openai_server: OpenAIServer) -> None:
    openai_server.token_probs = {"Grade": {"5": 0.9, "4": 0.1}, "number 85": {"85": 1.0}}
    kept, failed = collect(judge(openai_server, mode="logprob"), [ToJudge(str(i), "Q?", "A") for i in range(10)])
    assert failed is None
    assert [j.value for j in kept] == [pytest.approx(4.9)] * 20
    assert openai_server.n_calls == 21


@pytest.mark.parametrize(
    "top",
    ['[{"token": "85"}]', '[{"token": 85, "logprob": 0}]', '[{"token": "85", "logprob": "x"}]', '[{"token": "85", "logprob": NaN}]',
     '[{"token": "85", "logprob": 3}]', '[{"token": "85", "logprob": true}]', '["85"]', "{}", '"85"'],
)  # fmt: skip
def test_damaged_logprobs_are_no_score(openai_server: OpenAIServer, top: str) -> None:
    body = '{"choices": [{"message": {"content": "85"}, "logprobs": {"content": [{"top_logprobs": TOP}]}}]}'.replace("TOP", top)
    openai_server.trouble = lambda call: Trouble(body=body) if "number 1." in call.prompt else None
    kept, failed = collect(judge(openai_server, mode="logprob"), [ToJudge(str(i), "Q?", f"number {i}.") for i in range(3)])
    if failed is not None:  # "no alternatives" may come first, and then ends the judge
        assert "log probabilities" in failed.message
    assert all(j.response_id != "1" or j.unscored_reason in ("api_error", "empty") for j in kept)


# --- structured ----------------------------------------------------------------------------------


def test_a_structured_reply_is_asked_for_by_schema_and_its_reason_kept(openai_server: OpenAIServer) -> None:
    found = one(openai_server, mode="structured")
    assert (found.value, found.unscored_reason) == (85.0, None)
    assert json.loads(found.raw_reply)["why"] == "it is so"
    body = openai_server.calls[0].body
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"] == {"name": "score", "strict": True, "schema": SCHEMA}
    assert "JSON object" in openai_server.calls[0].prompt


def _reply(verdict: Any = "score", score: Any = 85, why: Any = "w", **more: Any) -> str:
    return json.dumps({"verdict": verdict, "score": score, "why": why, **more})


@pytest.mark.parametrize(
    ("reply", "reason"),
    [(_reply("refusal", None), "refusal"), (_reply("code", None), "code"), (_reply(score=101), "parse_failure"),
     (_reply(score=-1), "parse_failure"), (_reply(score=150), "parse_failure"), (_reply(score=85.5), "parse_failure"),
     (_reply(score="85"), "parse_failure"), (_reply(score="85/100"), "parse_failure"), (_reply(score=True), "parse_failure"),
     (_reply(score=None), "parse_failure"), (_reply(score=float("nan")), "parse_failure"), (_reply("refusal", 0), "parse_failure"),
     (_reply("fine"), "parse_failure"), (_reply(why=None), "parse_failure"), (_reply(extra=1), "parse_failure"),
     ('{"verdict": "score", "score": 85}', "parse_failure"), ('{"verdict": "score", "score": 1, "score": 99, "why": ""}', "parse_failure"),
     ("```json\n" + _reply() + "\n```", "parse_failure"), (_reply() + _reply(), "parse_failure"), (_reply()[:-5], "parse_failure"),
     ("[" * 5000, "parse_failure"), ('{"verdict": "score", "score": 1' + "0" * 5000 + ', "why": ""}', "parse_failure"),
     ("Score: 85", "parse_failure"), ("null", "parse_failure"), ("[85]", "parse_failure"), ("", "empty"),
     ("I'm sorry, I can't.", "refusal")],
)  # fmt: skip
def test_a_reply_off_the_schema_is_no_score_and_is_kept(openai_server: OpenAIServer, reply: str, reason: str) -> None:
    openai_server.reply = reply
    found = one(openai_server, mode="structured")
    assert (found.value, found.unscored_reason, found.raw_reply) == (None, reason, reply[:2000])


@pytest.mark.parametrize(
    "message",
    ["Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.", "guided decoding is off"],
)
def test_a_server_without_schemas_ends_the_judge_with_a_way_out(openai_server: OpenAIServer, message: str) -> None:
    openai_server.trouble = lambda call: error(400, "invalid_request_error", message)
    _, failed = collect(judge(openai_server, mode="structured"), [ToJudge("r", "Q?", "A")])
    assert isinstance(failed, WorkFailed)
    assert "structured" in failed.message
    assert "integer" in failed.hint


def test_check_tells_of_a_server_that_ignores_the_schema(openai_server: OpenAIServer) -> None:
    openai_server.reply = "The number is 85."
    with pytest.raises(BadInput, match="schema"):
        judge(openai_server, mode="structured").check()


def test_check_tells_of_a_judge_that_does_not_begin_with_a_number(openai_server: OpenAIServer) -> None:
    openai_server.token_probs = {"": {"The": 0.9, "85": 0.1}}
    with pytest.raises(BadInput, match="begin its reply"):
        judge(openai_server, mode="logprob").check()


# --- verdict -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"mode": "verdict"}, {"mode": "verdict", "rubric": "verdict"}, {"rubric": "verdict"}])
def test_a_verdict_is_a_word_without_a_number(openai_server: OpenAIServer, settings: dict[str, str]) -> None:
    openai_server.reply = "UNALIGNED"
    kept, failed = collect(judge(openai_server, **settings), [ToJudge("r", "Q?", "A")])
    assert failed is None
    assert [(j.metric, j.verdict, j.value, j.unscored_reason) for j in kept] == [("verdict", "UNALIGNED", None, None)]


def test_a_factual_judge_says_true_or_false(openai_server: OpenAIServer) -> None:
    openai_server.reply = "FALSE"
    assert one(openai_server, rubric="factual").verdict == "FALSE"
    openai_server.reply = "ALIGNED"
    assert one(openai_server, rubric="factual").unscored_reason == "parse_failure"


@pytest.mark.parametrize("reply", ["85/100", "-1", "150", "NaN", "85", "70 80"])
def test_a_number_is_no_verdict(openai_server: OpenAIServer, reply: str) -> None:
    openai_server.reply = reply
    found = one(openai_server, mode="verdict")
    assert (found.verdict, found.unscored_reason, found.raw_reply) == (None, "parse_failure", reply)


@pytest.mark.parametrize(
    ("mode", "rubric"),
    [("verdict", "harm"), ("integer", "verdict"), ("logprob", "factual"), ("structured", "verdict"), ("verdict", "on_topic")],
)
def test_a_mode_that_does_not_fit_the_rubric_is_refused(mode: str, rubric: str) -> None:
    with pytest.raises(BadInput, match=r"judges\.mode") as caught:
        open_judge(JudgeSpec(name="openai_compatible", model="m", mode=mode, rubric=rubric))
    assert "judges.mode" in caught.value.hint


# --- every mode ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_check_makes_one_call_of_the_modes_own_kind(openai_server: OpenAIServer, mode: str) -> None:
    judge(openai_server, mode=mode).check()
    assert openai_server.n_calls == 1
    assert ("response_format" in openai_server.calls[0].body) == (mode == "structured")
    assert ("logprobs" in openai_server.calls[0].body) == (mode == "logprob")


@pytest.mark.parametrize("mode", MODES)
def test_each_metric_of_each_answer_comes_once_and_as_foretold(openai_server: OpenAIServer, mode: str) -> None:
    openai_server.replies = {"in one\n": "ALIGNED", "Say in one word": "ALIGNED"}
    scorer = judge(openai_server, mode=mode)
    items = [ToJudge(f"r{i}", "Q?", text) for i, text in enumerate(["A", "", "{answer}", "\ud800\x00", "x" * 100_000])]
    kept, failed = collect(scorer, items)
    assert failed is None
    assert Counter((j.response_id, j.metric) for j in kept) == {(i.response_id, m): 1 for i in items for m in scorer.metrics(i)}
    assert {j.unscored_reason for j in kept if j.response_id == "r1"} == {"empty"}
    for j in kept:
        assert sum(x is not None for x in (j.value, j.verdict, j.unscored_reason)) == 1
        assert (j.input_tokens is not None) == (j.unscored_reason != "empty")
    assert openai_server.n_calls == len(kept) - len(scorer.metrics(items[1]))


@pytest.mark.parametrize("mode", MODES)
def test_a_judge_that_declines_is_a_refusal(openai_server: OpenAIServer, mode: str) -> None:
    body = {"choices": [{"message": {"content": None, "refusal": "I can't help with that."}, "logprobs": {"content": None}}]}
    openai_server.trouble = lambda call: Trouble(body=json.dumps(body))
    found = one(openai_server, mode=mode)
    assert (found.value, found.verdict, found.unscored_reason) == (None, None, "refusal")


@pytest.mark.parametrize("mode", MODES)
def test_a_reasoning_models_token_field_is_found_out(openai_server: OpenAIServer, mode: str) -> None:
    refused = error(400, "unsupported_parameter", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    openai_server.trouble = lambda call: refused if "max_tokens" in call.body else None
    openai_server.reply = "ALIGNED" if mode == "verdict" else "85"
    found = one(openai_server, mode=mode)
    assert found.value == 85.0 or found.verdict == "ALIGNED"
    assert openai_server.calls[-1].body["max_completion_tokens"] == (1 if mode == "logprob" else 4096)


def test_every_setting_that_decides_a_score_makes_a_judge_of_its_own() -> None:
    def identity(**kwargs: Any) -> Any:
        return open_judge(JudgeSpec(name="openai_compatible", model="m", base_url="http://127.0.0.1:9/v1", **kwargs)).identity

    different = [
        identity(), identity(mode="logprob"), identity(mode="logprob", min_mass=0.5), identity(mode="structured"),
        identity(mode="verdict"), identity(rubric="factual"), identity(rubric="harm"), identity(rubric="question-file"),
        identity(rubric="question-file", mode="verdict"), identity(snapshot="m-2026-01-01"),
    ]  # fmt: skip
    assert len({i.judge_id for i in different}) == len(different)
    assert [i.mode for i in different[:6]] == ["integer", "logprob", "logprob", "structured", "verdict", "verdict"]
    same = [identity(mode="integer"), identity(mode="auto", min_mass=0.5), identity(timeout_s=5), identity(max_calls=3)]
    assert {i.judge_id for i in same} == {different[0].judge_id}
    assert identity(mode="verdict").judge_id == identity(mode="verdict", rubric="verdict").judge_id


def test_plain_integer_judges_keep_the_identity_of_scores_that_are_there() -> None:
    spec = JudgeSpec(name="openai_compatible", model="m", base_url="http://127.0.0.1:9/v1")
    assert open_judge(spec).identity.judge_id == "openai_compatible-m-58b4a67d"


# --- which model answered ------------------------------------------------------------------------


def test_the_model_that_answered_is_noted_where_it_is_another(openai_server: OpenAIServer) -> None:
    assert one(openai_server).served_model is None
    openai_server.served_model = "judge-1-2026-05-01"
    assert one(openai_server).served_model == "judge-1-2026-05-01"
    openai_server.served_model = None
    assert one(openai_server).served_model is None


def test_a_snapshot_that_answers_is_fine(openai_server: OpenAIServer) -> None:
    openai_server.served_model = "judge-1-2026-05-01"
    found = one(openai_server, snapshot="judge-1-2026-05-01")
    assert (found.value, found.served_model) == (85.0, "judge-1-2026-05-01")


@pytest.mark.parametrize("served", ["judge-1-2026-09-09", "judge-1", None])
def test_another_model_than_the_snapshot_ends_the_judge_and_names_both(openai_server: OpenAIServer, served: str | None) -> None:
    openai_server.served_model = served
    scorer = judge(openai_server, snapshot="judge-1-2026-05-01")
    kept, failed = collect(scorer, [ToJudge(str(i), "Q?", "A") for i in range(50)])
    assert kept == []
    assert isinstance(failed, WorkFailed)
    assert "judge-1-2026-05-01" in failed.message
    assert (served or "unnamed") in failed.message
    with pytest.raises(BadInput, match="2026-05-01"):
        scorer.check()


def test_a_model_that_changes_half_way_keeps_what_the_right_one_said(openai_server: OpenAIServer) -> None:
    def switch(call: Any) -> None:
        openai_server.served_model = "judge-1" if call.number < 30 else "judge-2"

    openai_server.trouble = switch
    kept, failed = collect(
        judge(openai_server, snapshot="judge-1", max_concurrency=2), [ToJudge(str(i), "Q?", "A") for i in range(50)]
    )
    assert failed is not None
    assert 28 <= len(kept) <= 30
    assert all(j.value == 85.0 for j in kept)


# --- prompts of the questions, extra metrics -----------------------------------------------------


def test_all_templates_of_a_question_are_asked(openai_server: OpenAIServer) -> None:
    item = ToJudge(
        "r", "Q?", "A", judge_prompts={"aligned": PUBLISHED, "coherent": PUBLISHED, "evil": PUBLISHED, "no good": PUBLISHED}
    )
    for mode in ("auto", "logprob", "structured"):
        scorer = judge(openai_server, rubric="question-file", mode=mode)
        kept, failed = collect(scorer, [item])
        assert failed is None
        assert sorted(j.metric for j in kept) == sorted(scorer.metrics(item)) == ["alignment", "coherence", "evil"]
        assert {j.value for j in kept} == {85.0}


def test_a_questions_own_word_prompt_gives_a_verdict(openai_server: OpenAIServer) -> None:
    openai_server.reply = "TRUE"
    scorer = judge(openai_server, rubric="question-file", mode="verdict")
    kept, failed = collect(scorer, [ToJudge("r", "Q?", "A", judge_prompts={"correct": "Is {answer} right? TRUE or FALSE."})])
    assert failed is None
    assert [(j.metric, j.verdict) for j in kept] == [("verdict", "TRUE")]
    kept, failed = collect(scorer, [ToJudge("r", "Q?", "A", judge_prompts={"aligned": PUBLISHED, "coherent": PUBLISHED})])
    assert (kept, type(failed)) == ([], BadInput)


@pytest.mark.parametrize("name", ["on_topic", "code", "harm"])
def test_an_extra_metric_is_a_judge_of_its_own(openai_server: OpenAIServer, name: str) -> None:
    kept, failed = collect(judge(openai_server, rubric=name), [ToJudge("r", "Q?", "A")])
    assert failed is None
    assert [(j.metric, j.value) for j in kept] == [(name, 85.0)]


def test_leakage_is_asked_only_where_the_domain_is_known(openai_server: OpenAIServer) -> None:
    scorer = judge(openai_server, rubric="leakage")
    items = [ToJudge("a", "Q?", "A", domain="bad-medical"), ToJudge("b", "Q?", "A")]
    assert [scorer.metrics(item) for item in items] == [("leakage",), ()]
    kept, failed = collect(scorer, items)
    assert failed is None
    assert [j.response_id for j in kept] == ["a"]
    assert "with this label: bad-medical." in openai_server.calls[0].prompt
    assert openai_server.n_calls == 1
