"""``judge`` and ``judges`` as a person uses them: a real process against a judge server on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import rejudge_kill
from em_core.cli import main
from em_core.home import Home
from em_core.rejudge import jobs
from tests.cli.conftest import ROOT, Command, Typed
from tests.rejudge.conftest import asked, run_of
from tests.servers.fixtures import openai_server
from tests.servers.openai_server import OpenAIServer

__all__ = ["openai_server"]


@pytest.fixture
def answered(em: Command, openai_server: OpenAIServer) -> list[str]:
    """A home with 120 answers, and the options that select the server as judge."""
    home = Home(em.home)
    home.prepare()
    run_of(home, "run-a", 120)
    return [
        "--judge",
        "openai_compatible",
        "--set",
        "model=judge-1",
        "--set",
        f"base_url={openai_server.base_url}",
        "--runs",
        "run-a",
    ]


def test_a_killed_job_leaves_exactly_the_missing_calls_to_the_next(em: Command, openai_server: OpenAIServer) -> None:
    openai_server.latency_s = 0.05
    found = rejudge_kill.measure(Home(em.home), openai_server, 600)
    assert 0 < found.n_missing < 1200
    assert found.n_second == found.n_missing
    assert found.n_twice == found.n_first - found.n_written  # asked twice: what was in flight at the kill
    assert found.n_twice <= openai_server.peak_in_flight
    assert (found.n_lost, found.n_double) == (0, 0)
    assert [job.state for job in jobs(Home(em.home))] == ["finished", "crashed"]


def test_the_document_says_what_was_done(em: Command, typed: Typed, answered: list[str], openai_server: OpenAIServer) -> None:
    done = em("judge", *answered, "--limit", "50", "--json")
    assert done.code == 0, done.err
    assert {"judge_id", "n_answers", "n_scored", "n_unscored", "n_cached", "calls", "tokens", "usd", "seconds"} <= set(done.json)
    assert (done.json["n_answers"], done.json["n_scored"], done.json["n_unscored"]) == (50, 100, {})
    assert set(asked(openai_server).values()) == {2}
    assert [row["state"] for row in typed("judge", "--jobs", "--json").json] == ["finished"]
    rates = typed("rates", "--runs", "run-a", "--json").json
    assert {(row["judge_id"], row["n_scored"]) for row in rates} >= {(done.json["judge_id"], 50)}
    assert not any(row["run_id"].startswith("judge-") for row in typed("runs", "--json").json), "a job is no run"


def test_a_large_job_without_a_terminal_needs_a_yes(em: Command, answered: list[str], openai_server: OpenAIServer) -> None:
    refused = em("judge", *answered, "--json")
    assert refused.code == 2
    assert "--yes" in refused.json["hint"]
    assert "240 calls" in refused.err
    assert sum(asked(openai_server).values()) == 10


def test_a_budget_below_the_estimate_is_refused_before_the_job(
    typed: Typed, answered: list[str], openai_server: OpenAIServer
) -> None:
    money = ["--set", "usd_per_m_input=1000", "--set", "usd_per_m_output=1000"]
    refused = typed("judge", *answered, *money, "--max-usd", "5", "--yes", "--json")
    assert refused.code == 2, refused.err
    assert "max_usd" in refused.json["error"]
    assert "--limit" in refused.json["hint"]
    assert sum(asked(openai_server).values()) == 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_is_done_and_says_how_to_go_on(
    em: Command, answered: list[str], openai_server: OpenAIServer, number: signal.Signals
) -> None:
    openai_server.latency_s = 0.2
    process = subprocess.Popen(
        [sys.executable, "-m", "em_core", "--home", str(em.home), "judge", *answered, "--yes", "--set", "max_concurrency=4"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while openai_server.n_replied < 30 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1, err
    assert "scores the rest" in err
    assert "Traceback" not in err
    (stopped,) = jobs(Home(em.home))
    assert stopped.state == "stopped"
    assert 20 <= stopped.n_written < 240


@pytest.mark.parametrize(
    ("args", "place"),
    [
        (["judge"], "--judge"),
        (["judge", "--judge", "nobody"], "nobody"),
        (["judge", "--judge", "openai_compatible"], "judges.model"),
        (["judge", "--judge", "organism", "--runs", "no-such-run"], "no-such-run"),
        (["judge", "--judge", "organism", "--steps", "first"], "first"),
        (["judge", "--judge", "organism", "--set", "tempreature=1"], "did you mean temperature?"),
        (["judge", "--judge", "organism", "--limit", "0"], "--limit"),
        (["judge", "--judge", "organism", "--job", "../../etc"], "../../etc"),
        (["judge", "--judge", "organism", "--max-usd", "-1"], "max_usd"),
        (["judge", "--stop", "run-a"], "run-a"),
        (["judges", "check", "vllm", "--base-url", "http://127.0.0.1:9/v1"], "127.0.0.1:9"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], place: str
) -> None:
    assert main(["--home", str(tmp_path), *args, "--json"]) == 2
    printed = capsys.readouterr()
    assert place in printed.err
    assert json.loads(printed.out)["hint"]
    assert not jobs(Home(tmp_path))


def test_a_key_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "sk-proj-abc123def456ghi789"
    for setting in (f"api_key={secret}", f"api_key_env={secret}", f"model={secret}", secret):
        assert main(["--home", str(tmp_path), "judge", "--judge", "openai-logprob", "--set", setting, "--json"]) == 2
        printed = capsys.readouterr()
        assert secret not in printed.out + printed.err
        assert "environment" in printed.err or "KEY=VALUE" in printed.err


def test_judges_are_listed_and_checked_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], openai_server: OpenAIServer
) -> None:
    (tmp_path / "judges").mkdir(parents=True)
    address = f"base_url: {openai_server.base_url}"
    (tmp_path / "judges" / "mine.yaml").write_text(f"# Mine.\nname: openai_compatible\nmodel: judge-1\n{address}\n")
    assert main(["--home", str(tmp_path), "judges", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out) if row["kind"] != "plugin"}
    shipped = {"openai-logprob", "openai-structured", "openai-verdict", "ollama", "vllm", "local-small", "organism"}
    assert shipped <= set(rows)
    assert all(row["what"] and row["plugin"] for row in rows.values())
    assert (rows["mine"]["kind"], rows["vllm"]["kind"]) == ("own", "shipped")
    assert main(["--home", str(tmp_path), "judges", "check", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "judge-1"
    assert openai_server.n_replied == 1


def test_a_specs_judge_may_be_a_configurations_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "judges").mkdir(parents=True)
    (tmp_path / "judges" / "mine.yaml").write_text("name: organism\nmax_calls: 7\n")
    assert main(["--home", str(tmp_path), "plan", "organism", "--set", "judges=[mine]", "--json"]) == 0
    capsys.readouterr()
    assert main(["--home", str(tmp_path), "plan", "organism", "--set", "judges=[nobody]", "--json"]) == 2
    assert "nobody" in capsys.readouterr().err


def test_a_detached_job_runs_on_by_itself_and_has_no_key_in_its_arguments(
    em: Command, openai_server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from em_core.rejudge import Selection, job, job_dir, start
    from em_core.specs_io import judge_configs

    monkeypatch.setenv("MY_KEY", "sk-very-secret-123456")
    openai_server.latency_s = 0.1
    home = Home(em.home)
    home.prepare()
    run_of(home, "run-a", 110)
    overrides = ["model=judge-1", f"base_url={openai_server.base_url}", "api_key_env=MY_KEY", "max_concurrency=2"]
    config, spec = judge_configs.resolve("openai_compatible", overrides, home)
    run_id = start(home, config, overrides, spec, Selection(runs=("run-a",)))
    assert job(job_dir(home, run_id)).active
    deadline = time.monotonic() + 60
    while job(job_dir(home, run_id)).n_written < 14 and time.monotonic() < deadline:
        time.sleep(0.05)
    found = job(job_dir(home, run_id))
    assert found.state == "running"
    assert (found.n_answers, found.n_scores) == (110, 220)
    arguments = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in _children(run_id))
    assert run_id.encode() in arguments
    assert b"sk-very-secret" not in arguments
    assert {call.key for call in openai_server.calls} == {"sk-very-secret-123456"}
    assert main(["--home", str(em.home), "judge", "--stop", run_id]) == 0
    while job(job_dir(home, run_id)).active and time.monotonic() < deadline:
        time.sleep(0.05)
    assert job(job_dir(home, run_id)).state == "stopped"
    assert main(["--home", str(em.home), "judge", "--stop", run_id]) == 3
    for path in job_dir(home, run_id).rglob("*"):
        assert path.is_dir() or b"sk-very-secret" not in path.read_bytes()


def _children(word: str) -> list[str]:
    """Processes whose arguments name this job."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found
