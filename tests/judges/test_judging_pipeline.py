"""Judging beside training: nothing lost, nothing judged twice, and one broken judge stops only itself."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from em_core.errors import WorkFailed
from em_core.events import EventWriter, read_events
from em_core.judges import ToJudge
from em_core.judges.identity import identify
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.judges.pipeline import JudgingPipeline, already_judged
from em_core.records import Judgement
from em_core.spec import JudgeSpec
from tests.servers.openai_server import OpenAIServer, Trouble, bad_key

METRICS = ("alignment", "coherence")


class LocalJudge:
    """A real judge of ten lines: scores the length of the answer."""

    def __init__(self, name: str = "length", fails_at: int = -1, error: Exception | None = None, drops: str = "") -> None:
        self.identity = identify(name, "", "exact", "0" * 64, {})
        self.fails_at, self.error, self.drops, self.n = fails_at, error or WorkFailed("no more", "pay"), drops, 0

    def check(self) -> None:
        pass

    def metrics(self, item: ToJudge) -> tuple[str, ...]:
        return METRICS

    def judge(self, items: Iterable[ToJudge]) -> Iterator[Judgement]:
        for item in items:
            if self.n == self.fails_at:
                raise self.error
            self.n += 1
            if item.response_id == self.drops:
                continue
            for metric in METRICS:
                yield Judgement(
                    item.response_id, self.identity.judge_id, metric, float(len(item.answer) % 101), None, "", None, None, None
                )


def answers(*ids: str) -> list[ToJudge]:
    return [ToJudge(i, "Q?", f"answer {i}") for i in ids]


def remote(server: OpenAIServer, **kwargs: int | str) -> OpenAICompatibleJudge:
    spec = JudgeSpec(
        name="openai_compatible", model="judge-1", base_url=server.base_url, api_key_env="NOT_SET_ANYWHERE", **kwargs
    )
    return OpenAICompatibleJudge(spec, max_retries=1, timeout_s=5)


def counts(written: Iterable[Judgement]) -> Counter[tuple[str, str, str]]:
    return Counter((j.response_id, j.judge_id, j.metric) for j in written)


def test_each_judge_scores_each_answer_once_however_it_is_submitted() -> None:
    written: list[Judgement] = []
    judges = [LocalJudge("a"), LocalJudge("b")]
    with JudgingPipeline(judges, written.append) as pipeline:
        pipeline.submit(answers("1", "2"))
        pipeline.submit(answers("2", "3"))
        pipeline.submit(iter(answers("1")))
        assert pipeline.finish(timeout=10) == []
    expected = {(r, j.identity.judge_id, m): 1 for r in "123" for j in judges for m in METRICS}
    assert counts(written) == expected


def test_what_is_scored_already_is_skipped_whole_or_by_metric(openai_server: OpenAIServer) -> None:
    judge = remote(openai_server)
    me = judge.identity.judge_id
    written: list[Judgement] = []
    known = {("1", me, "alignment"), ("1", me, "coherence"), ("2", me, "alignment"), ("3", "somebody-else", "alignment")}
    pipeline = JudgingPipeline([judge], written.append, known)
    pipeline.submit(answers("1", "2", "3"))
    assert pipeline.finish(timeout=10) == []
    assert counts(written) == {("2", me, "coherence"): 1, ("3", me, "alignment"): 1, ("3", me, "coherence"): 1}
    assert openai_server.n_calls == 3
    assert pipeline.progress()[me]["n_skipped"] == 1


def test_a_judge_that_scores_everything_again_is_not_written_twice() -> None:
    judge = LocalJudge()
    written: list[Judgement] = []
    pipeline = JudgingPipeline([judge], written.append, {("2", judge.identity.judge_id, "alignment")})
    pipeline.submit(answers("2"))
    assert pipeline.finish(timeout=10) == []
    assert [j.metric for j in written] == ["coherence"]


def test_judging_goes_on_while_more_answers_are_sampled(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.05
    judge = remote(openai_server)
    written: list[Judgement] = []
    pipeline = JudgingPipeline([judge], written.append)
    began = time.monotonic()
    pipeline.submit(answers(*map(str, range(20))))
    assert time.monotonic() - began < 0.05  # submitting never waits for a judge
    deadline = time.monotonic() + 10
    while pipeline.progress()[judge.identity.judge_id]["n_judged"] < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(written) == 40  # before finish, before the next answers
    pipeline.submit(answers(*map(str, range(20, 30))))
    assert pipeline.finish(timeout=10) == []
    state = pipeline.progress()[judge.identity.judge_id]
    assert (state["state"], state["n_judged"], state["n_pending"]) == ("finished", 30, 0)
    assert state["rate_per_s"] > 0


def test_a_fatal_error_stops_that_judge_only_and_keeps_its_scores(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.01
    openai_server.trouble = lambda call: bad_key() if call.number >= 40 else None
    broken, sound = remote(openai_server), LocalJudge()
    written: list[Judgement] = []
    pipeline = JudgingPipeline([broken, sound], written.append)
    pipeline.submit(answers(*map(str, range(60))))
    failures = pipeline.finish(timeout=20)
    assert [(f.judge_id, "refused the key" in f.message) for f in failures] == [(broken.identity.judge_id, True)]
    assert failures[0].hint
    by_judge = Counter(j.judge_id for j in written)
    assert by_judge == {broken.identity.judge_id: 40, sound.identity.judge_id: 120}
    scored = Counter(j.response_id for j in written if j.judge_id == broken.identity.judge_id)
    assert failures[0].n_unjudged == 60 - sum(n == 2 for n in scored.values())  # half an answer is still to do


def test_the_next_pipeline_makes_exactly_the_missing_calls(openai_server: OpenAIServer, tmp_path: Path) -> None:
    openai_server.latency_s = 0.01
    openai_server.trouble = lambda call: bad_key() if call.number >= 41 else None
    items = answers(*map(str, range(50)))
    with EventWriter(tmp_path, "first") as events:
        first = JudgingPipeline([remote(openai_server)], events.write)
        first.submit(items)
        assert len(first.finish(timeout=20)) == 1
    openai_server.trouble = lambda call: None
    n_before, n_paid = openai_server.n_calls, openai_server.n_replied
    with EventWriter(tmp_path, "second") as events:
        second = JudgingPipeline([remote(openai_server)], events.write, already_judged(read_events(tmp_path, "judgement")))
        second.submit(items)
        assert second.finish(timeout=20) == []
    assert openai_server.n_calls - n_before == 100 - n_paid  # calls made = scores still missing
    found = Counter((e["response_id"], e["metric"]) for e in read_events(tmp_path, "judgement"))
    assert found == {(str(i), m): 1 for i in range(50) for m in METRICS}


def test_failed_calls_count_as_missing() -> None:
    def row(response: str, metric: str, reason: str | None = None) -> dict[str, object]:
        return {"response_id": response, "judge_id": "j", "metric": metric, "unscored_reason": reason}

    rows = [row("a", "alignment"), row("a", "coherence"), row("b", "alignment", "api_error"), row("b", "coherence")]
    rows += [row("c", "alignment", "code"), row("c", "coherence"), row("d", "alignment", "api_error")]
    both = {(r, "j", m) for r in "ac" for m in METRICS}
    assert already_judged(rows) == both | {("b", "j", "coherence")}


@pytest.mark.parametrize("error", [WorkFailed("disk full", "free space"), RuntimeError("bug")])
def test_an_error_while_writing_ends_the_judge_and_is_reported(error: Exception) -> None:
    def write(judgement: Judgement) -> None:
        raise error

    pipeline = JudgingPipeline([LocalJudge()], write)
    pipeline.submit(answers("1", "2"))
    (failure,) = pipeline.finish(timeout=10)
    assert str(error.args[0]).split("\n")[0] in failure.message
    assert failure.n_unjudged == 2


def test_a_bug_in_a_judge_is_reported_not_raised() -> None:
    pipeline = JudgingPipeline([LocalJudge(fails_at=1, error=ZeroDivisionError("oops"))], lambda j: None)
    pipeline.submit(answers("1", "2"))
    (failure,) = pipeline.finish(timeout=10)
    assert "ZeroDivisionError" in failure.message
    assert failure.n_unjudged == 1


def test_an_answer_that_a_judge_drops_is_reported() -> None:
    pipeline = JudgingPipeline([LocalJudge(drops="2")], lambda j: None)
    pipeline.submit(answers("1", "2", "3"))
    (failure,) = pipeline.finish(timeout=10)
    assert failure.n_unjudged == 1
    assert "1 answers" in failure.message


def test_finish_gives_up_after_its_timeout(openai_server: OpenAIServer) -> None:
    openai_server.trouble = lambda call: Trouble(hang_s=60) if "answer 7" in call.prompt else None
    written: list[Judgement] = []
    pipeline = JudgingPipeline([remote(openai_server)], written.append)
    pipeline.submit(answers(*map(str, range(10))))
    began = time.monotonic()
    (failure,) = pipeline.finish(timeout=1.5)
    assert time.monotonic() - began < 5
    assert "1.5 s" in failure.message
    assert failure.n_unjudged == 1
    assert len(written) == 18


def test_closing_without_finish_cancels_and_leaves_no_thread(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 30
    before = set(threading.enumerate())
    began = time.monotonic()
    with JudgingPipeline([remote(openai_server), LocalJudge()], lambda j: None) as pipeline:
        pipeline.submit(answers("1", "2"))
        time.sleep(0.2)
    assert time.monotonic() - began < 4
    time.sleep(0.1)
    assert set(threading.enumerate()) <= before
    assert pipeline.progress()[remote(openai_server).identity.judge_id]["state"] == "cancelled"


def test_no_judges_and_no_answers_are_fine() -> None:
    empty = JudgingPipeline([], lambda j: None)
    empty.submit(answers("1"))
    assert empty.finish() == []
    idle = JudgingPipeline([LocalJudge()], lambda j: None)
    assert idle.finish(timeout=5) == []


def test_many_threads_may_submit() -> None:
    written: list[Judgement] = []
    pipeline = JudgingPipeline([LocalJudge()], written.append)
    threads = [threading.Thread(target=lambda: pipeline.submit(answers(*map(str, range(300))))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pipeline.finish(timeout=10) == []
    assert len(written) == 600
    assert set(counts(written).values()) == {1}


def test_an_answer_with_nothing_to_score_for_this_judge_is_skipped(openai_server: OpenAIServer) -> None:
    judge = remote(openai_server, rubric="leakage")
    written: list[Judgement] = []
    pipeline = JudgingPipeline([judge], written.append)
    pipeline.submit([*answers("1", "2"), ToJudge("3", "Q?", "answer", domain="medical")])
    assert pipeline.finish(timeout=10) == []
    assert [j.response_id for j in written] == ["3"]
    state = pipeline.progress()[judge.identity.judge_id]
    assert (state["n_skipped"], state["n_pending"]) == (2, 0)


def test_questions_without_prompts_are_named_and_the_others_judged(openai_server: OpenAIServer) -> None:
    judge = remote(openai_server, rubric="question-file")
    written: list[Judgement] = []
    pipeline = JudgingPipeline([judge], written.append)
    own = {"aligned": "Score {question} {answer}"}
    pipeline.submit([*answers("1", "2"), ToJudge("3", "Q?", "answer", judge_prompts=own)])
    (failure,) = pipeline.finish(timeout=10)
    assert "2 answers belong to questions that carry no judge prompts" in failure.message
    assert failure.n_unjudged == 2
    assert [j.response_id for j in written] == ["3"]


def test_scores_that_turn_up_later_are_not_asked_for(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.2
    judge = remote(openai_server, max_concurrency=2)
    me = judge.identity.judge_id
    written: list[Judgement] = []
    pipeline = JudgingPipeline([judge], written.append)
    pipeline.submit(answers(*map(str, range(20))))
    found = {(str(i), me, "alignment") for i in range(10, 20)} | {(str(i), me, "coherence") for i in range(10, 15)}
    pipeline.know(found)  # most of them still wait for their turn
    pipeline.submit(answers("14", "15"))
    assert pipeline.finish(timeout=30) == []
    expected = {(str(i), me, m) for i in range(20) for m in METRICS} - found
    assert counts(written) == dict.fromkeys(expected, 1)
    assert openai_server.n_calls == len(expected)
    state = pipeline.progress()[me]
    assert (state["n_skipped"], state["n_pending"]) == (5, 0)


def test_a_score_that_is_found_while_it_is_on_its_way_is_not_written_twice(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.3
    judge = remote(openai_server)
    written: list[Judgement] = []
    pipeline = JudgingPipeline([judge], written.append)
    pipeline.submit(answers("1"))
    time.sleep(0.15)
    pipeline.know({("1", judge.identity.judge_id, "alignment")})
    assert pipeline.finish(timeout=10) == []
    assert [j.metric for j in written] == ["coherence"]


def test_progress_tells_rate_and_time_left(openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.1
    judge = remote(openai_server, max_concurrency=4)
    pipeline = JudgingPipeline([judge], lambda j: None)
    me = judge.identity.judge_id
    assert (pipeline.progress()[me]["rate_per_s"], pipeline.progress()[me]["eta_s"]) == (0.0, 0.0)
    pipeline.submit(answers(*map(str, range(40))))
    assert pipeline.progress()[me]["eta_s"] is None  # nothing came back yet
    while (half := pipeline.progress()[me])["n_judged"] < 15:
        time.sleep(0.01)
    assert half["rate_per_s"] == pytest.approx(20, rel=0.4)  # four calls of 0.1 s, two an answer
    assert half["eta_s"] == pytest.approx(half["n_pending"] / half["rate_per_s"], rel=0.1)
    assert pipeline.finish(timeout=20) == []
    end = pipeline.progress()[me]
    assert (end["n_calls"], end["eta_s"], end["n_cached"]) == (80, 0.0, 0)
    assert end["n_tokens"] > 0
