"""Priorities, places and the pause: what people say about the queue, and that it survives whatever is on the disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest

from em_core.errors import BadInput, Refused
from em_core.lease import Lease
from em_core.supervisor import control, queue_order
from em_core.supervisor.launch import launch
from em_core.supervisor.requeue import requeue
from tests.supervisor.conftest import Bench


def _launch(bench: Bench, n: int, first: int = 0) -> list[str]:
    return [item.run_id for item in launch(bench.home, [bench.spec("quick", first + i) for i in range(n)], start=False)]


def _order(bench: Bench, ids: Sequence[str]) -> list[int]:
    """The queue as numbers of the launch."""
    return [ids.index(status.run_id) for status in queue_order.queue(bench.home)]


def test_queue_is_in_the_order_of_the_launch_unless_somebody_says_otherwise(bench: Bench) -> None:
    ids = [*_launch(bench, 3), *_launch(bench, 2, 3)]
    assert _order(bench, ids) == [0, 1, 2, 3, 4]
    assert queue_order.read(bench.home) == queue_order.QueueOrder()


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([(4, 1)], [4, 0, 1, 2, 3]),
        ([(0, 5)], [1, 2, 3, 4, 0]),
        ([(2, 2)], [0, 2, 1, 3, 4]),
        ([(1, 3)], [0, 2, 1, 3, 4]),
        ([(1, 2)], [0, 1, 2, 3, 4]),
        ([(3, 1), (4, 1)], [4, 3, 0, 1, 2]),
        ([(0, 99)], [1, 2, 3, 4, 0]),
        ([(3, 1), (3, 5), (3, 4)], [0, 1, 2, 3, 4]),
    ],
)
def test_run_is_moved_to_a_place(bench: Bench, moves: list[tuple[int, int]], expected: list[int]) -> None:
    ids = _launch(bench, 5)
    for run, place in moves:
        assert f"place {min(place, 5)} of 5" in queue_order.move(bench.home, ids[run], place)
    assert _order(bench, ids) == expected
    ids += _launch(bench, 1, 5)
    assert _order(bench, ids) == [*expected, 5], "a later launch comes later"


def test_higher_priority_goes_first_and_equal_ones_keep_their_order(bench: Bench) -> None:
    ids = _launch(bench, 5)
    assert queue_order.set_priority(bench.home, ids[3], 2) == f"{ids[3]}: priority 2, place 1 of 5"
    queue_order.set_priority(bench.home, ids[4], 2)
    queue_order.set_priority(bench.home, ids[0], -1)
    assert _order(bench, ids) == [3, 4, 1, 2, 0]
    queue_order.set_priority(bench.home, ids[3], 0)
    assert _order(bench, ids) == [4, 1, 2, 3, 0]


def test_move_across_priorities_takes_the_nearest_one_that_fits(bench: Bench) -> None:
    ids = _launch(bench, 4)
    queue_order.set_priority(bench.home, ids[0], 5)
    queue_order.set_priority(bench.home, ids[1], 5)
    assert queue_order.move(bench.home, ids[3], 1) == f"{ids[3]}: place 1 of 4, priority 5 now"
    assert _order(bench, ids) == [3, 0, 1, 2]
    assert "priority 0 now" in queue_order.move(bench.home, ids[3], 4)
    assert _order(bench, ids) == [0, 1, 2, 3]
    assert "now" not in queue_order.move(bench.home, ids[2], 3)
    assert "priority 0 now" in queue_order.move(bench.home, ids[0], 3)
    assert _order(bench, ids) == [1, 2, 0, 3]


def test_run_that_is_queued_again_is_before_those_launched_after_it(bench: Bench) -> None:
    ids = _launch(bench, 3)
    control.stop(bench.home, ids[0])
    assert _order(bench, ids) == [1, 2]
    with Lease(bench.home.run_dir(ids[0]) / "lease") as lease:
        assert lease.acquire()
        requeue(bench.home.run_dir(ids[0]), "again", "automatic")
    assert _order(bench, ids) == [0, 1, 2]


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda home, run: queue_order.move(home, "nobody", 1), "not queued"),
        (lambda home, run: queue_order.move(home, run, 0), "place 0"),
        (lambda home, run: queue_order.set_priority(home, "nobody", 1), "not queued"),
        (lambda home, run: queue_order.set_priority(home, run, 5000), "out of bounds"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(bench: Bench, ask, complaint: str) -> None:  # type: ignore[no-untyped-def]
    [run] = _launch(bench, 1)
    with pytest.raises(BadInput, match=complaint):
        ask(bench.home, run)
    assert queue_order.read(bench.home) == queue_order.QueueOrder()


def test_ended_run_cannot_be_moved_and_its_entry_harms_nobody(bench: Bench) -> None:
    ids = _launch(bench, 3)
    queue_order.set_priority(bench.home, ids[2], 7)
    control.stop(bench.home, ids[2])
    with pytest.raises(BadInput, match="not queued"):
        queue_order.move(bench.home, ids[2], 1)
    assert _order(bench, ids) == [0, 1]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"paused": 1, "priorities": [], "places": 3}', '{"priorities": {"a": "x"}, "places": {"a": null}}', "\x00",
     pytest.param(f'{{"paused_t": {10**400}, "places": {{"a": {10**400}, "b": 1e300, "c": NaN}}}}', id="times that are none"),
     pytest.param("[" * 100_000, id="deep")],
)  # fmt: skip
def test_damaged_file_means_the_plain_order_and_is_replaced_by_the_next_change(bench: Bench, content: str) -> None:
    ids = _launch(bench, 2)
    (bench.home.supervisor / "queue.json").write_text(content)
    assert _order(bench, ids) == [0, 1]
    assert queue_order.read(bench.home) == queue_order.QueueOrder()
    queue_order.move(bench.home, ids[1], 1)
    assert _order(bench, ids) == [1, 0]


def test_entries_of_runs_that_are_gone_are_dropped(bench: Bench) -> None:
    ids = _launch(bench, 2)
    path = bench.home.supervisor / "queue.json"
    path.write_text(json.dumps({"priorities": {"gone": 3, ids[0]: 1}, "places": {"gone": 5.0}}))
    assert _order(bench, ids) == [0, 1]
    queue_order.set_paused(bench.home, True)
    assert "gone" not in path.read_text()
    assert queue_order.read(bench.home).priorities == {ids[0]: 1}


def test_pause_says_since_when_and_going_on_forgets_it(bench: Bench) -> None:
    queue_order.set_paused(bench.home, True)
    since = queue_order.read(bench.home).paused_t
    queue_order.set_paused(bench.home, True)
    assert queue_order.read(bench.home).paused_t == since > 0
    queue_order.set_paused(bench.home, False)
    assert queue_order.read(bench.home) == queue_order.QueueOrder()


def test_changes_at_the_same_time_are_all_kept(bench: Bench) -> None:
    ids = _launch(bench, 8)
    threads = [threading.Thread(target=queue_order.set_priority, args=(bench.home, run, 1 + i)) for i, run in enumerate(ids)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue_order.read(bench.home).priorities == {run: 1 + i for i, run in enumerate(ids)}


def test_read_only_demonstration_has_no_queue_to_change(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_READONLY", "1")
    with pytest.raises(Refused):
        queue_order.set_paused(bench.home, True)
    assert queue_order.read(bench.home) == queue_order.QueueOrder()
