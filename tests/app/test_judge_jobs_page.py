"""The page that judges existing answers: what it counts, what it starts, and that the job lives on without it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from em_core.home import Home
from em_core.rejudge import jobs
from em_core.store.publish import publish
from tests.app.visiting import button, said, visit
from tests.rejudge.conftest import asked, run_of
from tests.servers.fixtures import openai_server
from tests.servers.openai_server import OpenAIServer

__all__ = ["openai_server"]


@pytest.fixture
def home(empty: Home) -> Home:
    empty.prepare()
    return empty


@pytest.fixture
def open_judge(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """The page, at the address with these parts."""
    return functools.partial(visit, home, monkeypatch, "judge")


def own_judge(home: Home, server: OpenAIServer, more: str = "") -> None:
    (home.root / "judges").mkdir(exist_ok=True)
    text = f"# Mine.\nname: openai_compatible\nmodel: judge-1\nbase_url: {server.base_url}\n{more}"
    (home.root / "judges" / "mine.yaml").write_text(text)


def test_without_answers_it_says_what_to_do_next(home: Home, open_judge: Callable[..., AppTest]) -> None:
    publish(home)
    app = open_judge()
    assert not app.exception
    assert "demo" in said(app).lower()


def test_a_job_is_started_shown_and_ends_in_the_counts(
    home: Home, open_judge: Callable[..., AppTest], openai_server: OpenAIServer
) -> None:
    run_of(home, "run-a", 8)
    publish(home)
    own_judge(home, openai_server)
    app = open_judge(config="mine", runs="run-a")
    assert not app.exception
    assert "**8** of 8 answers: 16 scores" in said(app)
    assert "judge --judge mine" in said(app)
    button(app, "Start").click().run()
    assert not app.exception
    assert not app.error
    deadline = time.monotonic() + 60
    while jobs(home)[0].active and time.monotonic() < deadline:
        time.sleep(0.1)
    (done,) = jobs(home)
    assert (done.state, done.n_written) == ("finished", 16)
    assert set(asked(openai_server).values()) == {2}
    app = open_judge(config="mine", runs="run-a")
    assert "**0** of 8 answers" in said(app)
    assert button(app, "Start").disabled
    assert "16 scores of 16" in said(app)


def test_a_running_job_shows_its_progress_and_is_stopped_by_its_button(
    home: Home, open_judge: Callable[..., AppTest], openai_server: OpenAIServer
) -> None:
    run_of(home, "run-a", 60)
    publish(home)
    own_judge(home, openai_server, "max_concurrency: 2\n")
    openai_server.latency_s = 0.2
    app = open_judge(config="mine", runs="run-a")
    button(app, "Start").click().run()
    deadline = time.monotonic() + 60
    while jobs(home)[0].n_written < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    app = open_judge(config="mine", runs="run-a")
    assert not app.exception
    assert "running" in said(app)
    button(app, "Stop").click().run()
    while jobs(home)[0].active and time.monotonic() < deadline:
        time.sleep(0.1)
    assert jobs(home)[0].state == "stopped"
    assert "judge" in said(open_judge(config="mine"))


def test_a_judge_that_costs_money_is_not_started_without_a_limit(home: Home, open_judge: Callable[..., AppTest]) -> None:
    run_of(home, "run-a", 150)
    publish(home)
    app = open_judge(config="openai-logprob")
    assert not app.exception
    assert button(app, "Start").disabled
    assert "set a limit" in said(app)
    app.number_input(key="usd").set_value(2.0).run()
    assert not button(app, "Start").disabled
    assert "max_usd=2.0" in said(app)


def test_a_wrong_field_is_one_clear_error_and_the_jobs_are_still_shown(home: Home, open_judge: Callable[..., AppTest]) -> None:
    run_of(home, "run-a", 2)
    publish(home)
    app = open_judge(config="vllm")
    app.text_area(key="fields:vllm").set_value("tempreature=1").run()
    assert not app.exception
    assert any("did you mean temperature" in str(error.value) for error in app.error)
    assert "No judging job yet" in said(app)
    secret = "sk-proj-abc123def456ghi789"
    app.text_area(key="fields:vllm").set_value(f"api_key_env={secret}").run()
    assert app.error
    assert secret not in said(app)
