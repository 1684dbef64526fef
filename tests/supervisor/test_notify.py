"""Telling that a run has ended: a real receiver on loopback that answers, fails, hangs, sends on."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from em_core.home import Home
from em_core.supervisor import notify
from em_core.supervisor.evidence import RunStatus
from em_core.supervisor.launch import launch
from tests.supervisor.conftest import Bench

SECRET = "T0K3N-in-the-address"
PATH = f"/hook/{SECRET}?tpl=1&m={{{{.text}}}}"
"""With what a receiver of templates wants, too."""


class Receiver:
    """An HTTP server that keeps what it is sent, and answers as it is told: a status code, or a function of the handler."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.answers: list[int | Callable[[BaseHTTPRequestHandler], None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.paths.append(self.path)
                outer.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                answer = outer.answers.pop(0) if outer.answers else 200
                if callable(answer):
                    answer(self)
                    return
                self.send_response(answer)
                if answer in (301, 302, 307):
                    self.send_header("Location", f"{outer.address}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    made = Receiver()
    monkeypatch.setattr(notify, "WAITS_S", (0.05, 0.1))
    monkeypatch.setattr(notify, "TRY_S", 0.5)
    monkeypatch.setattr(notify, "_tellers", {})
    monkeypatch.setenv(notify.VARIABLE, f"{made.address}{PATH}")
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def home(tmp_path: Path, receiver: Receiver) -> Home:
    """A home that is asked to tell from now on."""
    made = Home(tmp_path)
    made.prepare()
    notify.ended(made, status("nothing", state="running"))  # the first that is heard
    return made


def status(run_id: str, **fields: Any) -> RunStatus:
    given = {"state": "finished", "attempt": 1, "last_event_t": time.time(), "step": 10, "total_steps": 10, "label": run_id}
    return RunStatus(run_id=run_id, **given | fields)


def tell(home: Home, *ends: RunStatus) -> None:
    for end in ends:
        (home.runs / end.run_id).mkdir(exist_ok=True)
        notify.ended(home, end)
    [teller] = notify._tellers.values()
    assert teller.wait(10)


def restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the supervisor had in memory is gone."""
    monkeypatch.setattr(notify, "_tellers", {})


def test_an_end_is_told_in_words_and_in_fields(home: Home, receiver: Receiver) -> None:
    tell(home, status("run-a", state="failed", cause="cuda_oom", reason="no room at step 3", step=3, experiment="sizes"))
    [body] = receiver.bodies
    assert receiver.paths == [PATH]
    assert body["text"] == body["content"] == "run-a: failed at step 3 of 10, out of GPU memory. no room at step 3"
    wanted = {"event": "run_ended", "run_id": "run-a", "state": "failed", "cause": "cuda_oom", "step": 3, "experiment": "sizes"}
    assert body.items() >= wanted.items()
    assert "smaller micro-batch" in body["next_step"]


def test_of_a_job_that_does_not_train_no_step_is_told() -> None:
    assert notify.message(status("evaluate-a", kind="evaluate"))["text"] == "evaluate-a: finished"


def test_each_end_is_told_once_also_after_a_restart_and_again_when_a_resumed_run_ends(
    home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = status("run-a", state="crashed")
    tell(home, first, first, first)
    restart(monkeypatch)
    tell(home, first, status("run-b"))
    assert [body["run_id"] for body in receiver.bodies] == ["run-a", "run-b"]
    tell(home, replace(first, attempt=2, state="finished"))
    assert [(body["run_id"], body["attempt"]) for body in receiver.bodies[2:]] == [("run-a", 2)]


def test_a_receiver_that_fails_is_asked_three_times(home: Home, receiver: Receiver) -> None:
    receiver.answers = [500, 503]
    tell(home, status("run-a"))
    assert len(receiver.bodies) == 3
    receiver.answers = [500, 500, 500, 500]
    tell(home, status("run-b"))
    assert len(receiver.bodies) == 6, "three tries, then it is given up"


@pytest.mark.parametrize("code", [400, 404, 410, 302])
def test_a_refusal_is_not_repeated_and_nothing_is_sent_on(code: int, home: Home, receiver: Receiver) -> None:
    receiver.answers = [code]
    tell(home, status("run-a"))
    assert len(receiver.paths) == 1
    assert "/elsewhere" not in receiver.paths


def test_trouble_is_logged_without_the_address(
    home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [404]
    tell(home, status("run-a"))
    receiver.end()
    tell(home, status("run-b"))
    for address in (f"ftp://{SECRET}", f"http://[{SECRET}", f"http://127.0.0.1:{SECRET}/", SECRET):
        monkeypatch.setenv(notify.VARIABLE, address)
        restart(monkeypatch)
        tell(home, status(f"run-{len(caplog.records)}"))
    assert len(caplog.records) == 6
    assert "HTTP 404" in caplog.text
    assert "refused" in caplog.text
    assert SECRET not in caplog.text
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()], "the address is stored nowhere"


def test_a_receiver_that_drips_or_hangs_holds_nobody_up(home: Home, receiver: Receiver) -> None:
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.1):
            handler.wfile.write(b"X: y\r\n")

    receiver.answers = [drip, drip, drip]
    (home.runs / "run-a").mkdir()
    began = time.monotonic()
    notify.ended(home, status("run-a"))
    assert time.monotonic() - began < 0.1, "the supervisor's turn goes on at once"
    [teller] = notify._tellers.values()
    assert teller.wait(10)
    assert time.monotonic() - began < 8
    over.set()
    tell(home, status("run-b"))
    assert receiver.bodies[-1]["run_id"] == "run-b"


def test_a_supervisor_that_ends_sends_what_it_has_heard(home: Home, receiver: Receiver) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.2)
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    receiver.answers = [slow, slow]
    for end in (status("run-a"), status("run-b")):
        (home.runs / end.run_id).mkdir()
        notify.ended(home, end)
    notify.finish(home)
    assert [body["run_id"] for body in receiver.bodies] == ["run-a", "run-b"]


def test_what_ended_before_anybody_asked_and_what_is_old_is_not_told(home: Home, receiver: Receiver) -> None:
    tell(
        home,
        status("run-a", last_event_t=time.time() - 3600),
        status("run-b", last_event_t=None),
        status("run-c", state="running"),
        status("run-d"),
    )
    assert [body["run_id"] for body in receiver.bodies] == ["run-d"]


def test_a_clock_that_was_set_back_keeps_nothing_quiet(home: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.supervisor / "webhook-since").write_text(f"{time.time() + 3600}\n")
    restart(monkeypatch)
    tell(home, status("run-a"))
    assert [body["run_id"] for body in receiver.bodies] == ["run-a"]


def test_without_an_address_nothing_happens(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(notify.VARIABLE)
    here = Home(tmp_path)
    here.prepare()
    notify.ended(here, status("run-a"))
    assert notify._tellers == {}
    assert not list(here.root.rglob("webhook-since"))


def test_names_and_reasons_cannot_mention_or_link_anybody(home: Home, receiver: Receiver) -> None:
    hostile = status(
        "run-a",
        state="failed",
        label="<!channel> @everyone <http://x.example|click>",
        reason="in /home/ann/secret/data.jsonl\nkey sk-abcdefghijklmnop1234",
    )
    tell(home, hostile)
    [body] = receiver.bodies
    assert not set("<>@\n") & set(body["text"])
    assert "http://" not in body["text"]
    assert body["allowed_mentions"] == {"parse": []}
    for said in (body["text"], body["reason"]):
        assert "ann/" not in said
        assert "sk-abc" not in said


def test_the_supervisor_tells_how_its_runs_ended_and_a_second_supervisor_tells_nothing_again(
    bench: Bench, receiver: Receiver
) -> None:
    first = bench.supervise()
    bench.until(lambda: "started" in bench.log(), "the supervisor")
    launch(bench.home, [bench.spec("quick"), bench.spec("die-early", seed=1)], start=False)
    bench.until(lambda: len(receiver.bodies) == 2, "two ends to be told")
    first.kill()
    first.wait()
    bench.supervise()
    launch(bench.home, [bench.spec("quick", seed=2)], start=False)
    bench.until(lambda: len(receiver.bodies) >= 3, "the third")
    time.sleep(0.3)
    assert sorted(body["state"] for body in receiver.bodies) == ["crashed", "finished", "finished"]
    assert SECRET not in bench.log()
