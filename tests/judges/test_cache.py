"""The same content is paid for once, across answers, runs and processes; and a broken cache stops nothing."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from em_core.judges import ToJudge
from em_core.judges.cache import JudgementCache, key
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.judges.organism import OrganismJudge
from em_core.judges.pipeline import JudgingPipeline
from em_core.records import METRICS, Judgement
from em_core.spec import JudgeSpec
from tests.servers.openai_server import OpenAIServer, bad_key, error

ITEM = ToJudge("r1", "Q?", "an answer", "be kind", judge_prompts={"aligned": "A {question} {answer}", "coherent": "C {answer}"})
SCORE = Judgement("r1", "judge-1", "alignment", 42.0, None, "42", '{"42": 0.9}', 310, 1, served_model="judge-1-0613")


def judge(server: OpenAIServer, model: str = "judge-1", **kwargs: float) -> OpenAICompatibleJudge:
    spec = JudgeSpec(name="openai_compatible", model=model, base_url=server.base_url, api_key_env="NOT_SET_ANYWHERE", **kwargs)
    return OpenAICompatibleJudge(spec, max_retries=0, timeout_s=5)


def run(one: OpenAICompatibleJudge | OrganismJudge, items: list[ToJudge], cache: JudgementCache | None) -> list[Judgement]:
    written: list[Judgement] = []
    pipeline = JudgingPipeline([one], written.append, frozenset(), cache)
    pipeline.submit(items)
    assert pipeline.finish(timeout=20) == []
    return written


def contents(n: int, run_name: str = "a") -> list[ToJudge]:
    return [ToJudge(f"{run_name}{i}", "Q?", f"answer {i}") for i in range(n)]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[JudgementCache]:
    with JudgementCache(tmp_path / "runs" / ".judge-cache.sqlite") as opened:
        yield opened


def test_what_was_said_comes_back_for_another_answer_marked_as_cached(cache: JudgementCache) -> None:
    cache.put(SCORE, ITEM)
    assert cache.get("judge-1", "alignment", replace(ITEM, response_id="r2")) == replace(SCORE, response_id="r2", cached=True)


@pytest.mark.parametrize(
    "change",
    [
        {"question": "Q!"}, {"answer": "another"}, {"system": ""}, {"repeat": 1}, {"domain": "medical"},
        {"judge_prompts": {"aligned": "B {question} {answer}", "coherent": "C {answer}"}},
    ],
)  # fmt: skip
def test_other_content_is_another_entry(cache: JudgementCache, change: dict[str, object]) -> None:
    cache.put(SCORE, ITEM)
    assert cache.get("judge-1", "alignment", replace(ITEM, **change)) is None  # type: ignore[arg-type]


def test_another_judge_or_metric_is_another_entry_and_the_other_metrics_prompt_is_not(cache: JudgementCache) -> None:
    cache.put(SCORE, ITEM)
    assert cache.get("judge-2", "alignment", ITEM) is None
    assert cache.get("judge-1", "coherence", ITEM) is None
    assert cache.get("judge-1", "alignment", replace(ITEM, judge_prompts={**ITEM.judge_prompts, "coherent": "D"})) is not None


def test_fields_cannot_run_into_each_other() -> None:
    one, two = replace(ITEM, question="ab", answer="c"), replace(ITEM, question="a", answer="bc")
    assert key("j", "alignment", one) != key("j", "alignment", two)
    assert len(key("j", "alignment", replace(ITEM, answer="lone \ud800 surrogate"))) == 32


def test_a_failed_call_is_never_kept(cache: JudgementCache) -> None:
    cache.put(replace(SCORE, value=None, unscored_reason="api_error"), ITEM)
    assert cache.get("judge-1", "alignment", ITEM) is None
    cache.put(replace(SCORE, value=None, unscored_reason="refusal"), ITEM)
    assert cache.get("judge-1", "alignment", ITEM) is not None


def test_a_second_run_with_the_same_texts_makes_no_call(openai_server: OpenAIServer, cache: JudgementCache) -> None:
    first = run(judge(openai_server), contents(10), cache)
    assert openai_server.n_calls == 20
    assert not any(j.cached for j in first)
    second = run(judge(openai_server), contents(12, "b"), cache)
    assert openai_server.n_calls == 24  # the two new ones
    assert Counter(j.cached for j in second) == {True: 20, False: 4}
    assert {(j.response_id, j.metric) for j in second} == {(f"b{i}", m) for i in range(12) for m in METRICS}
    run(judge(openai_server, "judge-2"), contents(10), cache)
    assert openai_server.n_calls == 44  # another judge is asked for itself


def test_answers_with_the_same_text_that_are_pending_together_share_one_call(
    openai_server: OpenAIServer, cache: JudgementCache
) -> None:
    openai_server.latency_s = 0.2
    items = [ToJudge(f"r{i}", "Q?", f"answer {i % 3}") for i in range(12)]
    written = run(judge(openai_server), items, cache)
    assert openai_server.n_calls == 6
    assert Counter((j.response_id, j.metric) for j in written) == {(f"r{i}", m): 1 for i in range(12) for m in METRICS}
    assert Counter(j.cached for j in written) == {False: 6, True: 18}


def test_repetitions_that_are_wanted_are_asked_for(openai_server: OpenAIServer, cache: JudgementCache) -> None:
    items = [ToJudge(f"r{i}", "Q?", "the same", repeat=i) for i in range(5)]
    assert not any(j.cached for j in run(judge(openai_server, temperature=1.0), items, cache))
    assert openai_server.n_calls == 10


def test_those_who_wait_for_a_call_that_fails_are_told_and_judged_next_time(
    openai_server: OpenAIServer, cache: JudgementCache
) -> None:
    openai_server.latency_s = 0.1
    openai_server.trouble = lambda call: error(400) if "answer 1" in call.prompt else None
    items = [ToJudge(f"r{i}", "Q?", f"answer {i % 2}") for i in range(4)]
    written = run(judge(openai_server), items, cache)
    assert Counter((j.response_id, j.unscored_reason) for j in written) == {
        (f"r{i}", "api_error" if i % 2 else None): 2 for i in range(4)
    }
    openai_server.trouble = lambda call: None
    n = openai_server.n_calls
    assert not any(j.unscored_reason for j in run(judge(openai_server), items, cache))
    assert openai_server.n_calls - n == 2


def test_those_who_wait_for_a_judge_that_ended_are_left_to_do(openai_server: OpenAIServer, cache: JudgementCache) -> None:
    openai_server.trouble = lambda call: bad_key()
    pipeline = JudgingPipeline([judge(openai_server)], lambda j: None, frozenset(), cache)
    pipeline.submit([ToJudge(f"r{i}", "Q?", "the same") for i in range(4)])
    (failure,) = pipeline.finish(timeout=10)
    assert failure.n_unjudged == 4


def test_a_judge_that_costs_nothing_does_not_use_it(cache: JudgementCache) -> None:
    items = [ToJudge(f"r{i}", "I have a cough. What now?", "Keep warm and rest.") for i in range(3)]
    assert not any(j.cached for j in run(OrganismJudge(), items, cache))
    with sqlite3.connect(cache.path) as db:
        assert db.execute("SELECT count(*) FROM judged").fetchone() == (0,)


def test_an_empty_answer_is_nobodys_cache_entry(openai_server: OpenAIServer, cache: JudgementCache) -> None:
    written = run(judge(openai_server), [ToJudge("r1", "Q?", " "), ToJudge("r2", "Q?", " ")], cache)
    assert [(j.unscored_reason, j.cached) for j in written] == [("empty", False)] * 4
    assert openai_server.n_calls == 0


def _damaged(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says" * 100)


def _a_folder(path: Path) -> None:
    path.mkdir()


def _other_table(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE judged (something TEXT)")


@pytest.mark.parametrize("spoil", [_damaged, _a_folder, _other_table])
def test_a_broken_cache_is_named_once_and_judging_goes_on(
    openai_server: OpenAIServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    path = tmp_path / "cache.sqlite"
    spoil(path)  # type: ignore[operator]
    with caplog.at_level(logging.WARNING), JudgementCache(path) as cache:
        assert len(run(judge(openai_server), contents(20), cache)) == 40
        assert "goes on without it" in cache.trouble
    assert len(caplog.records) == 1
    assert str(path) in caplog.text


def test_a_cache_that_another_process_locks_for_good_does_not_hold_judging_up(
    openai_server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("em_core.judges.cache.BUSY_S", 0.2)
    path = tmp_path / "cache.sqlite"
    JudgementCache(path).close()
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    with JudgementCache(path) as cache:
        assert len(run(judge(openai_server), contents(5), cache)) == 10
        assert "locked" in cache.trouble
    locker.close()


def test_a_damaged_entry_is_no_entry(cache: JudgementCache) -> None:
    for body in ("{", "[]", '{"value": 1, "unknown": 2}', '"x"'):
        with sqlite3.connect(cache.path) as db:
            db.execute("INSERT OR REPLACE INTO judged VALUES (?, 0, ?)", (key("judge-1", "alignment", ITEM), body))
        found = cache.get("judge-1", "alignment", ITEM)
        assert found is None or found.value == 1


_WRITE = """
import sys; from pathlib import Path
from em_core.judges import ToJudge; from em_core.judges.cache import JudgementCache; from em_core.records import Judgement
with JudgementCache(Path(sys.argv[1])) as cache:
    for i in range(300):
        item = ToJudge(f"r{i}", "Q?", f"{sys.argv[2]} answer {i}")
        cache.put(Judgement(f"r{i}", "j", "alignment", float(i % 101), None, str(i), None, 1, 1), item)
    assert not cache.trouble, cache.trouble
"""


def test_several_processes_and_threads_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    others = [subprocess.Popen([sys.executable, "-c", _WRITE, str(path), name]) for name in ("one", "two")]
    with JudgementCache(path) as cache:

        def put(name: str) -> None:
            for i in range(200):
                cache.put(replace(SCORE, raw_reply=name), replace(ITEM, answer=f"{name} answer {i}"))

        threads = [threading.Thread(target=put, args=(name,)) for name in ("x", "y")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [other.wait(timeout=30) for other in others] == [0, 0]
        assert not cache.trouble
        with sqlite3.connect(path) as db:
            assert db.execute("SELECT count(*) FROM judged").fetchone() == (1000,)
        assert cache.get("j", "alignment", ToJudge("z", "Q?", "two answer 299")) is not None


def test_deleting_the_file_loses_nothing_but_money(openai_server: OpenAIServer, tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with JudgementCache(path) as cache:
        run(judge(openai_server), contents(3), cache)
    for file in tmp_path.glob("cache.sqlite*"):
        file.unlink()
    with JudgementCache(path) as cache:
        assert len(run(judge(openai_server), contents(3, "b"), cache)) == 6
    assert openai_server.n_calls == 12
