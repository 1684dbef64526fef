"""The Live page: what runs, how far it is, how runs ended, and the buttons that help."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from em_core import gpu_history, requests
from em_core.gpu_history import GpuHistory
from em_core.nvml import GpuUse
from em_core.supervisor import control, trash
from em_core.supervisor.evidence import list_runs, run_status
from em_core.supervisor.live import resume_step
from pages.shared import core
from tests.app.live_home import LiveHome
from tests.app.visiting import said, visit


@pytest.fixture
def live(no_demo: None, tmp_path: Path) -> Iterator[LiveHome]:
    with LiveHome(tmp_path) as made:
        yield made


def keys(app, run_id: str) -> list[str]:
    """Buttons of a run, in their order."""
    return [str(each.key).removesuffix(f"-{run_id}") for each in app.button if str(each.key or "").endswith(run_id)]


def press(app, key: str) -> None:
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].message


def test_phases_curves_and_pace_of_a_run_at_work(live, monkeypatch):
    run_id = live.at_work()
    live.publish()
    app = visit(live.home, monkeypatch, "live")
    text = said(app)
    assert not app.error
    assert "5,442 tokens/s" in text
    assert "EM rate at step 200" in text
    assert "70% organism-general: 40% to 89%, 7 of 10 coherent, n = 10" in text.replace("*", "")
    assert "judge organism-exact-x" in text
    bars = [bar.proto for bar in app.get("progress")]
    assert [bar.value for bar in bars] == [100, 62, 50, 50]
    assert "250 of 400 steps" in bars[1].text
    assert all("left" in bar.text for bar in bars[1:])
    assert len(app.get("vega_lite_chart")) == 2
    assert "save" in keys(app, run_id)


def test_a_run_that_was_resumed_shows_its_attempt_and_each_step_once(live, monkeypatch):
    run_id = live.ended("crashed", "killed", "the worker was killed", saved=100)
    t = live.begin(run_id, attempt=2, ago_s=60)
    live.write(
        run_id, "checkpoint", t, 2, step=100, epoch=0.6, path="checkpoints/step-100", sha256="0", size_bytes=1, samples_seen=1
    )
    live.train(run_id, 101, 110, t, attempt=2)
    app = visit(live.home, monkeypatch, "live")
    assert "attempt 2, from step 100" in said(app)
    assert "110 of 400 steps" in app.get("progress")[1].proto.text


def test_a_silent_run_is_said_to_be_silent(live, monkeypatch):
    run_id = live.at_work()
    folder = live.home.run_dir(run_id)
    long_ago = time.time() - 900
    for path in [folder / "worker.log", *(folder / "events").iterdir()]:
        os.utime(path, (long_ago, long_ago))
    app = visit(live.home, monkeypatch, "live")
    assert "No sign of life for 15 min" in "\n".join(str(each.value) for each in app.warning)
    assert "time left not known yet" in said(app)
    words = [bar.proto.text for bar in app.get("progress")]
    assert not [text for text in words if "about" in text or "play_arrow" in text], "what it says of itself is old"


def test_without_a_gpu_the_page_says_so_calmly_and_with_one_shows_its_last_minutes(live, monkeypatch):
    live.at_work()
    monkeypatch.setattr(gpu_history, "_history", GpuHistory(lambda: ((), "")))
    app = visit(live.home, monkeypatch, "live")
    assert "No GPU on this machine" in said(app)
    assert not app.error
    assert not app.warning
    gpu = GpuUse(0, "NVIDIA H200", "GPU-1", 139.8, 60.0, 87, 63, 512.0, 700.0)
    monkeypatch.setattr(gpu_history, "_history", GpuHistory(lambda: ((gpu,), "")))
    app = visit(live.home, monkeypatch, "live")
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {"Load": "87 %", "Memory": "79.8 of 140 GiB", "Temperature": "63 °C", "Power": "512 of 700 W"}
    many = tuple(GpuUse(i, "NVIDIA H200", f"GPU-{i}", 139.8, 60.0, None, None, None, None) for i in range(4))
    monkeypatch.setattr(gpu_history, "_history", GpuHistory(lambda: (many, "")))
    app = visit(live.home, monkeypatch, "live")
    assert len(app.dataframe[0].value) == 4


ENDS = [
    ("failed", "cuda_oom", 100, "smaller", "the effective batch stays the same"),
    ("crashed", "reboot", 100, "resume", "resume it from its last checkpoint"),
    ("stopped", "user", 100, "resume", "resume it"),
    ("crashed", "killed", 0, "resume", "resume it from its last checkpoint"),
    ("failed", "disk_full", 100, "resume", "free disk space"),
    ("failed", "not_a_number", 0, "retry", "lower train.learning_rate"),
]


def test_every_end_has_its_cause_its_reason_and_the_right_button_first(live, monkeypatch):
    made = [live.ended(state, cause, f"what happened: {cause}", saved) for state, cause, saved, *_ in ENDS]
    app = visit(live.home, monkeypatch, "live")
    text = said(app)
    for run_id, (_, cause, saved, first, words) in zip(made, ENDS, strict=True):
        assert f"what happened: {cause}" in text
        assert words in text.lower()
        assert keys(app, run_id)[0] == first
        assert resume_step(live.home.run_dir(run_id)) == saved
        if first == "resume":
            assert app.button(key=f"resume-{run_id}").label == ("Resume from step 100" if saved else "Start it again")
    assert "Clone and edit" in [link.proto.label for link in app.get("page_link")]


def test_buttons_do_what_they_say(live, monkeypatch):
    at_work, stopped = live.at_work(), live.ended("stopped", "user", saved=100)
    oom = live.ended("failed", "cuda_oom")
    app = visit(live.home, monkeypatch, "live")
    folder = live.home.run_dir(at_work)
    press(app, f"save-{at_work}")
    assert requests.asked(folder) == "save"
    press(app, f"resume-{stopped}")
    assert run_status(live.home.run_dir(stopped)).state == "queued"
    before = {status.run_id for status in list_runs(live.home)}
    press(app, f"smaller-{oom}")
    [new] = {status.run_id for status in list_runs(live.home)} - before
    old, again = (json.loads((live.home.run_dir(run) / "spec.json").read_text())["spec"]["train"] for run in (oom, new))
    assert again["batch_size"] < old["batch_size"]
    assert again["batch_size"] * again["grad_accumulation"] == old["batch_size"] * old["grad_accumulation"]
    press(app, f"drop-{at_work}")
    assert requests.asked(folder) == "discard"
    assert run_status(folder).state == "stopping"
    assert not app.error


def test_a_tab_that_rests_sees_whatever_anybody_changes(live, monkeypatch):
    monkeypatch.setenv("EM_HOME", str(live.home.root))
    seen = [core.change_mark()]

    def notices(change):
        change()
        seen.append(core.change_mark())
        assert seen[-1] != seen[-2], change

    stopped = live.ended("stopped", "user", saved=100)
    seen.append(core.change_mark())
    notices(live.queued)
    notices(lambda: control.resume(live.home, stopped, start=False))
    notices(lambda: control.stop(live.home, stopped))
    notices(lambda: trash.delete(live.home, [stopped]))
    notices(lambda: trash.restore(live.home, stopped))


def test_deleting_asks_first_and_moves_the_run_to_the_trash(live, monkeypatch):
    run_id = live.ended("finished")
    app = visit(live.home, monkeypatch, "live")
    assert f"delete-now-{run_id}" not in [button.key for button in app.button], "a closed question is not drawn"
    app.session_state[f"delete-{run_id}"] = True
    app.run()
    assert "Move this run to the trash? Its folder of " in said(app)
    press(app, f"delete-now-{run_id}")
    assert not live.home.run_dir(run_id).exists()
    assert "No run has ended yet" in said(app)


def test_ended_runs_are_shown_by_state_and_a_page_at_a_time(live, monkeypatch):
    failed = live.ended("failed", "bug", "unexpected")
    finished = [live.ended("finished") for _ in range(9)]
    app = visit(live.home, monkeypatch, "live")
    assert failed not in said(app), "the oldest is on the second page"
    assert all(run_id in said(app) for run_id in finished[1:])
    app = visit(live.home, monkeypatch, "live", ended_page="2")
    assert failed in said(app)
    app = visit(live.home, monkeypatch, "live", ended=["failed"])
    assert failed in said(app)
    assert finished[-1] not in said(app)


def open_log(live, monkeypatch, run_id, **fields):
    app = visit(live.home, monkeypatch, "live")
    assert "step 250" not in said(app), "a closed log is not read"
    app.session_state[f"log-{run_id}"] = True
    for name, value in fields.items():
        app.session_state[f"log-{name}-{run_id}"] = value
    app.run()
    assert not app.exception, app.exception[0].message
    return app


def test_a_log_shows_its_tail_and_all_lines_that_match_with_their_numbers(live, monkeypatch):
    run_id = live.at_work()
    app = open_log(live, monkeypatch, run_id)
    assert "step 250" in said(app)
    assert "step 211\nstep 212" in said(app)
    assert "step 210\n" not in said(app)
    app = open_log(live, monkeypatch, run_id, text="STEP 20")
    assert "20  step 20\n" in said(app)
    assert "11 of 250 lines match." in said(app)
    app = open_log(live, monkeypatch, run_id, text="STEP 20", case=True)
    assert "0 of 250 lines match." in said(app)
    app = open_log(live, monkeypatch, run_id, text="^step .5$", expression=True)
    assert "9 of 250 lines match." in said(app)
    app = open_log(live, monkeypatch, run_id, text="step (", expression=True)
    assert "is not understood" in "\n".join(str(error.value) for error in app.error)


def test_a_log_shows_no_key(live, monkeypatch):
    run_id = live.at_work(log="token hf_abcdefghijklmnop0123\n")
    assert "token ***" in said(open_log(live, monkeypatch, run_id))
    assert "1  token ***" in said(open_log(live, monkeypatch, run_id, text="token"))


def test_a_log_is_shown_as_it_is_and_obeyed_by_nobody(live, monkeypatch):
    run_id = live.at_work(log="<script>alert(1)</script> [x](http://x.example) \x1b[31mred\u202e\n")
    app = open_log(live, monkeypatch, run_id, text="alert")
    assert any(code.value == "1  <script>alert(1)</script> [x](http://x.example) red" for code in app.code)
    assert not [each for each in app.markdown if "<script>" in str(each.value)]
