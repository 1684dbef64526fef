"""Event files: whole lines, whatever happens to the writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from em_core.errors import WorkFailed
from em_core.events import EventWriter, read_events
from em_core.records import RECORDS, Generation, Response, RunState

ROOT = Path(__file__).resolve().parents[2]


def _response(text: str) -> Response:
    return Response("id", 1, "set", "q", 0, 0, "", text, "stop", 1, 1, 0, "{}", "sha")


@pytest.mark.parametrize("text", ["plain", "NUL \x00", "\ud800 lone", "{braces}", "\n\r\u2028", "x" * 5_000_000])
def test_any_text_survives_as_one_line(tmp_path: Path, text: str) -> None:
    with EventWriter(tmp_path, "w") as writer:
        writer.write(_response(text))
        writer.write(_response("next"))
    events = list(read_events(tmp_path, "response"))
    assert [e["text"] for e in events] == [text.replace("\ud800", "?"), "next"]


def test_not_a_number_becomes_null(tmp_path: Path) -> None:
    with EventWriter(tmp_path, "w") as writer:
        writer.write(Generation(1, "s", 1, 1, float("nan"), 1, True, None))
    assert json.loads((tmp_path / "events" / "w.jsonl").read_text())["wall_s"] is None


def test_a_torn_tail_spoils_no_later_line(tmp_path: Path) -> None:
    with EventWriter(tmp_path, "w") as writer:
        writer.write(RunState("run", "running"))
    path = tmp_path / "events" / "w.jsonl"
    with path.open("ab") as file:
        file.write(b'{"kind": "state", "ph')
    assert len(list(read_events(tmp_path))) == 1
    with EventWriter(tmp_path, "w") as writer:
        writer.write(RunState("run", "finished"))
    assert [e["state"] for e in read_events(tmp_path)] == ["running", "finished"]


def test_threads_never_mix_their_lines(tmp_path: Path) -> None:
    with EventWriter(tmp_path, "w") as writer:
        threads = [
            threading.Thread(target=lambda i=i: [writer.write(_response(str(i) * 500)) for _ in range(50)]) for i in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    texts = [e["text"] for e in read_events(tmp_path)]
    assert len(texts) == 300
    assert all(len(set(text)) == 1 for text in texts)


def test_a_killed_writer_leaves_every_acknowledged_event(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from em_core.events import EventWriter; from em_core.records import RunState\n"
        f"w = EventWriter(Path({str(tmp_path)!r}), 'w')\n"
        "for i in range(10**9):\n  w.write(RunState('run', 'running', str(i)));  print(i, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(200)][-1]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    reasons = [int(e["reason"]) for e in read_events(tmp_path)]
    assert reasons == list(range(len(reasons)))
    assert len(reasons) > acknowledged


def test_a_full_disk_is_one_plain_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "w.jsonl").symlink_to("/dev/full")
    writer = EventWriter(tmp_path, "w")
    with pytest.raises(WorkFailed, match="No space left"):
        writer.write(RunState("run", "running"))


@pytest.mark.parametrize(("syncs", "waits"), [([False], 1), ([True], 1), ([True, False], 2), ([True, True], 2), ([], 0)])
def test_everything_is_on_the_disk_when_it_is_closed_and_nothing_is_waited_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syncs: list[bool], waits: int
) -> None:
    waited: list[int] = []
    path = tmp_path / "events" / "w.jsonl"
    monkeypatch.setattr("em_core.events.os.fsync", lambda fd: waited.append(path.stat().st_size))
    with EventWriter(tmp_path, "w") as writer:
        for sync in syncs:
            writer.write(RunState("run", "running"), sync=sync)
    assert len(waited) == waits
    assert not syncs or waited[-1] == path.stat().st_size


def test_every_record_names_its_own_kind_and_table() -> None:
    assert len({r.table for r in RECORDS.values()}) == len(RECORDS)


def test_folder_that_cannot_be_written_is_said_with_its_place_and_fix(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file where a folder should be")
    with pytest.raises(WorkFailed, match=r"worker-1\.jsonl: event not written") as caught:
        EventWriter(tmp_path, "worker-1")
    assert "make the run's folder writable" in caught.value.hint
    assert caught.value.cause == ""
