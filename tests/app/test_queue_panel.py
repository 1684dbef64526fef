"""The queue on the Live page: order, reasons, the pause, and what the slots hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from em_core.supervisor import queue_order
from tests.app.live_home import LiveHome
from tests.app.visiting import button, said, visit
from tests.nvml.driver import Driver, build, without_library


@pytest.fixture
def live(no_demo: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveHome]:
    monkeypatch.setenv("EM_SLOTS", "cpu")
    without_library(monkeypatch)
    with LiveHome(tmp_path) as made:
        yield made


def tables(app) -> list[pd.DataFrame]:
    """The queue, if anything waits, and the slots."""
    return [frame.value for frame in app.dataframe if {"reason", "slot"} & set(frame.value.columns)]


def waiting(app) -> list[str]:
    return list(tables(app)[0]["run_id"])


def test_queue_is_listed_with_places_and_reasons_and_a_run_is_moved(live: LiveHome, monkeypatch: pytest.MonkeyPatch) -> None:
    running, *queued = live.queued(4)
    live.begin(running)
    app = visit(live.home, monkeypatch, "live")
    assert "Queue: 3 runs" in said(app)
    queue, slots = tables(app)
    assert list(queue["run_id"]) == queued
    assert list(queue["place"]) == [1, 2, 3]
    assert set(queue["reason"]) == {"the CPU place is taken"}
    assert list(slots["runs"]) == [running]
    app.selectbox("queue-run").select(queued[2]).run()
    button(app, "First").click().run()
    assert f"{queued[2]}: place 1 of 3" in said(app)
    assert waiting(app) == [queued[2], queued[0], queued[1]]
    assert button(app, "Up").disabled
    button(app, "Down").click().run()
    assert waiting(app) == [queued[0], queued[2], queued[1]]
    app.number_input(f"queue-priority-{queued[2]}-0").set_value(3).run()
    button(app, "Set priority 3").click().run()
    assert waiting(app) == [queued[2], queued[0], queued[1]]
    assert list(tables(app)[0]["priority"]) == [3, 0, 0]
    assert "the CPU place is taken" in said(app), "the chosen run's reason in full"
    assert not app.exception


def test_pause_is_said_with_its_time_and_ended_by_a_click(live: LiveHome, monkeypatch: pytest.MonkeyPatch) -> None:
    live.queued(1)
    app = visit(live.home, monkeypatch, "live")
    button(app, "Pause the queue").click().run()
    assert queue_order.read(live.home).paused
    assert "nothing starts, what runs goes on" in said(app)
    assert set(tables(app)[0]["reason"]) == {"the queue is paused; what runs goes on"}
    button(app, "Go on").click().run()
    assert not queue_order.read(live.home).paused


def test_run_that_started_meanwhile_is_said_to_be_out_of_the_queue(live: LiveHome, monkeypatch: pytest.MonkeyPatch) -> None:
    _, second = live.queued(2)
    app = visit(live.home, monkeypatch, "live")
    app.selectbox("queue-run").select(second).run()
    live.begin(second)
    button(app, "First").click().run()
    assert f"run '{second}' is not queued" in said(app)


def test_other_programs_and_a_run_that_never_fits_are_shown(
    live: LiveHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = Driver(build(tmp_path), tmp_path, monkeypatch)
    driver.says("gpu GPU-a 81920 19661 37 52 310500 700000 0 NVIDIA H100\nheld GPU-a 1 61000 <b>vllm</b>\n")
    monkeypatch.setenv("EM_SLOTS", "gpu:0,cpu")
    huge, large = live.queued(2)
    for run_id, gib in ((huge, 95.0), (large, 60.0)):
        path = live.home.run_dir(run_id) / "spec.json"
        stored = json.loads(path.read_text())
        stored["spec"]["base_model"] = "Qwen/Qwen2.5-14B-Instruct"
        path.write_text(json.dumps(stored | {"needs": {"gpus": 1, "gpu_gib": gib}}))
    app = visit(live.home, monkeypatch, "live")
    queue, slots = tables(app)
    assert "it will never start here" in queue["reason"][0]
    assert queue["reason"][1].startswith("GPU 0 is full: 60.8 of 80 GiB taken, 60.8 by other programs (b> (pid 1, 59.6 GiB))")
    assert f"{huge}**: it needs about 95.0 GiB on one GPU, the largest here has 80: it will never start here" in said(app)
    assert slots["memory"][0] == "60.8 of 80 GiB taken"
    assert slots["other programs"][0] == "b> (pid 1, 59.6 GiB)"
