"""Which run gets which GPUs with which budget, and why the others wait: the rules as tables, then as a simulation."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from em_core.supervisor.placing import HEADROOM, Decision, Held, Machine, Memory, Wanted, foreign_gib, place
from em_core.supervisor.slots import Slot

CPUS = (Slot("cpu:0"), Slot("cpu:1"))


def gpus(*memory: Memory, per_gpu: int = 2, cpus: Sequence[Slot] = CPUS) -> Machine:
    """A machine with GPUs 0, 1, … of this memory and two places on the CPU."""
    slots = tuple(Slot(f"gpu:{i}", str(i)) for i in range(len(memory)))
    return Machine((*slots, *cpus), {slot.name: m for slot, m in zip(slots, memory, strict=True)}, per_gpu)


def empty(n: int = 1, total: float = 80.0) -> list[Memory]:
    return [Memory(total, 0.5)] * n


def big(name: str, gib: float | None = 60.0, n: int = 1) -> Wanted:
    return Wanted(name, gpus=n, gpu_gib=gib)


def small(name: str, gib: float = 10.0) -> Wanted:
    return Wanted(name, gpu_gib=gib)


def toy(name: str) -> Wanted:
    return Wanted(name, toy=True, gpu_gib=0.5)


def seats(decisions: Sequence[Decision]) -> dict[str, str]:
    """Run and seat, ``-`` for one that waits, ``!`` for one that can never start."""
    return {d.run_id: d.seat.name if d.seat else "!" if d.never else "-" for d in decisions}


def taken(run: str, slot: str = "gpu:0", budget: float | None = None, used: float | None = None, settled: bool = True) -> Held:
    slots = tuple(slot.split("+"))
    return Held(run, slots, budget, None if used is None else dict.fromkeys(slots, used), settled)


@pytest.mark.parametrize(
    ("machine", "held", "queue", "expected"),
    [
        pytest.param(gpus(), [], [toy("a"), toy("b"), toy("c")], {"a": "cpu:0", "b": "cpu:1", "c": "-"}, id="toys on the CPU"),
        pytest.param(gpus(), [], [big("a"), big("b", n=2)], {"a": "cpu:0", "b": "cpu:1"}, id="no GPU: all on the CPU"),
        pytest.param(gpus(*empty()), [], [toy("a"), big("b"), big("c")], {"a": "cpu:0", "b": "gpu:0", "c": "-"}, id="one each"),
        pytest.param(
            gpus(*empty()), [], [toy(n) for n in "abcde"],
            {"a": "cpu:0", "b": "cpu:1", "c": "gpu:0", "d": "gpu:0", "e": "-"}, id="toys go to the GPU when the CPU is full",
        ),
        pytest.param(gpus(*empty(), cpus=()), [], [toy("a")], {"a": "gpu:0"}, id="toy where there is no CPU place"),
        pytest.param(gpus(*empty(2)), [], [small("a"), small("b")], {"a": "gpu:0", "b": "gpu:1"}, id="spread first"),
        pytest.param(
            gpus(*empty()), [], [small("a"), small("b"), small("c")], {"a": "gpu:0", "b": "gpu:0", "c": "-"}, id="two share",
        ),
        pytest.param(
            gpus(*empty(), per_gpu=3), [], [small(n) for n in "abcd"],
            {"a": "gpu:0", "b": "gpu:0", "c": "gpu:0", "d": "-"}, id="three share where that is allowed",
        ),
        pytest.param(gpus(*empty(), per_gpu=1), [], [small("a"), small("b")], {"a": "gpu:0", "b": "-"}, id="no sharing wanted"),
        pytest.param(gpus(*empty()), [], [small("a"), big("b")], {"a": "gpu:0", "b": "-"}, id="a big run needs it alone"),
        pytest.param(gpus(*empty()), [], [small("a"), big("b", None)], {"a": "gpu:0", "b": "-"}, id="unknown needs it alone"),
        pytest.param(gpus(*empty()), [], [big("a", None), small("b")], {"a": "gpu:0", "b": "-"}, id="nobody beside unknown"),
        pytest.param(gpus(*empty()), [], [big("a", 36)], {"a": "gpu:0"}, id="more than half with headroom: alone"),
        pytest.param(gpus(*empty()), [], [big("a", 79.8)], {"a": "gpu:0"}, id="the driver's own memory stops nobody"),
        pytest.param(gpus(Memory(80, 0.5, ("x",))), [], [big("a", 79.8)], {"a": "-"}, id="a small foreign program does"),
        pytest.param(gpus(Memory(80), Memory(24)), [], [big("a", 22), big("b", 70)], {"a": "gpu:1", "b": "gpu:0"}, id="mixed"),
        pytest.param(gpus(*empty(2)), [], [big("a", 70, 2), small("b")], {"a": "gpu:0+gpu:1", "b": "-"}, id="two GPUs at once"),
        pytest.param(gpus(*empty(2)), [], [big("a", 70, 3)], {"a": "!"}, id="more GPUs than there are"),
        pytest.param(gpus(*empty(2)), [], [big("a", 95)], {"a": "!"}, id="more memory than there is"),
        pytest.param(gpus(Memory(80), Memory(24)), [], [big("a", 40, 2)], {"a": "!"}, id="two large ones are not there"),
        pytest.param(gpus(*empty()), [], [big("a", 95), small("b")], {"a": "!", "b": "gpu:0"}, id="impossible blocks nobody"),
        pytest.param(gpus(Memory(), Memory()), [], [small("a"), small("b"), small("c")],
                     {"a": "gpu:0", "b": "gpu:1", "c": "-"}, id="memory that is not told: one run each"),
        pytest.param(gpus(Memory(80, problem="lost"), *empty()), [], [big("a"), big("b")], {"a": "gpu:1", "b": "-"}, id="lost"),
        pytest.param(gpus(Memory(80, 70, ("x",))), [], [small("a", 12), big("b")], {"a": "-", "b": "-"}, id="foreign program"),
        pytest.param(gpus(Memory(80, 70, ("x",))), [], [small("a", 5)], {"a": "gpu:0"}, id="fits beside a foreign program"),
        pytest.param(gpus(Memory(80, 40, ("x",)), *empty()), [], [small("a")], {"a": "gpu:1"}, id="rather without a foreigner"),
        pytest.param(gpus(Memory(80, 45, ("x",))), [], [big("a", None)], {"a": "-"}, id="unknown need, half of it gone"),
        pytest.param(gpus(Memory(80, 30, ("x",))), [], [big("a", None)], {"a": "gpu:0"}, id="unknown need, enough left"),
        pytest.param(gpus(Memory(80, 70)), [taken("old", used=69.5)], [small("a")], {"a": "-"}, id="an earlier run is there alone"),
        pytest.param(gpus(Memory(80, 12)), [taken("old", budget=40, used=11.5)], [small("a")], {"a": "gpu:0"}, id="shares with it"),
        pytest.param(gpus(Memory(80, 0.5)), [taken("old", budget=40, used=0)], [small("a", 30)], {"a": "gpu:0"}, id="just begun"),
        pytest.param(gpus(Memory(80, 20, ("x",))), [taken("old", budget=40, used=0)], [small("a", 30)], {"a": "-"},
                     id="promised memory is not given twice"),
        pytest.param(gpus(Memory(80, 40)), [taken("old", budget=40)], [small("a", 30)], {"a": "gpu:0"}, id="container: all ours"),
        pytest.param(gpus(Memory(80, 60)), [taken("old", budget=40)], [small("a", 30)], {"a": "-"}, id="container: more than ours"),
        pytest.param(gpus(Memory(80, 30)), [taken("old", budget=40, settled=False)], [small("a", 30)], {"a": "-"},
                     id="container: begun, so all of it may be foreign"),
        pytest.param(gpus(*empty(2)), [taken("old", "gpu:7")], [big("a")], {"a": "gpu:0"}, id="a slot that is gone"),
    ],
)  # fmt: skip
def test_seats(machine: Machine, held: list[Held], queue: list[Wanted], expected: dict[str, str]) -> None:
    assert seats(place(machine, held, queue)) == expected


def test_small_runs_get_equal_shares_and_one_without_room_for_another_gets_all() -> None:
    first, second = place(gpus(*empty()), [], [small("a"), small("b", 30)])
    assert first.seat is not None
    assert second.seat is not None
    assert (first.seat.gpu_gib, second.seat.gpu_gib) == (39.75, 39.75), "the driver's own half GiB is nobody's"
    [alone] = place(gpus(*empty()), [], [big("a")])
    assert alone.seat is not None
    assert alone.seat.gpu_gib is None


def test_budget_has_headroom_over_the_plan_and_never_exceeds_what_is_free() -> None:
    machine = gpus(Memory(80, 45, ("python (pid 9, 44.5 GiB)",)))
    [first, second, _] = place(machine, [], [small("a", 20), small("b", 9), small("c", 9)])
    assert first.seat is not None
    assert second.seat is not None
    assert first.seat.gpu_gib == 20 * HEADROOM
    assert second.seat.gpu_gib == pytest.approx(80 - 45 - 20 * HEADROOM)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], 50.0),
        ([taken("a", budget=40, used=30.0)], 20.0),
        ([taken("a", budget=40)], 10.0),
        ([taken("a", budget=40, settled=False)], 50.0),
        ([taken("a")], 0.0),
        ([taken("a", used=45.0)], 5.0),
    ],
)
def test_what_is_not_ours_is_what_is_taken_less_what_our_runs_hold(held: list[Held], expected: float) -> None:
    assert foreign_gib(Memory(80, 50), held, "gpu:0") == expected


@pytest.mark.parametrize(
    ("machine", "held", "wanted", "words"),
    [
        (gpus(), [taken("x", "cpu:0"), taken("y", "cpu:1")], toy("a"), "all 2 CPU places are taken"),
        (gpus(*empty()), [taken("x")], big("a"), "GPU 0 is taken by x"),
        (
            gpus(Memory(80, 71.2, ("python (pid 123, 60.1 GiB)",))), [taken("x", budget=11.1, used=11.1)], small("a", 12),
            "GPU 0 is full: 71.2 of 80 GiB taken, 60.1 by other programs (python (pid 123, 60.1 GiB)); this run needs 12.0",
        ),
        (gpus(*empty()), [taken("x", budget=40, used=9)], big("a"), "GPU 0 has x, and this run needs it alone"),
        (gpus(*empty()), [taken("x", budget=40), taken("y", budget=40)], small("a"),
         "GPU 0 has x, y; no more share a GPU (EM_RUNS_PER_GPU)"),
        (gpus(*empty(2)), [taken("x")], big("a", 70, 2), "it waits for 2 GPUs at once: GPU 0 is taken by x; GPU 1 is free"),
        (gpus(Memory(80, problem="the driver has lost it")), [], big("a"), "GPU 0 cannot be used: the driver has lost it"),
        (gpus(*empty(2)), [], big("a", 70, 4),
         "it wants 4 GPUs and this machine has 2 GPUs: it will never start here; set train.gpus lower"),
        (gpus(*empty()), [], big("a", 95),
         "it needs about 95.0 GiB on one GPU, the largest here has 80: it will never start here; "
         "train.precision = nf4, a smaller batch or a smaller model takes less"),
    ],
)  # fmt: skip
def test_reason_names_what_stands_in_the_way(machine: Machine, held: list[Held], wanted: Wanted, words: str) -> None:
    [decision] = place(machine, held, [wanted])
    assert decision.reason == words


def test_run_behind_one_that_waits_for_a_gpu_is_told_so() -> None:
    first, second = place(gpus(*empty()), [taken("x", budget=40, used=9)], [big("a"), small("b")])
    assert (first.seat, second.seat) == (None, None)
    assert second.reason == "GPU 0 is kept for a, which is first"


def test_slices_of_a_divided_gpu_are_shared_like_gpus_and_never_work_together() -> None:
    slots = (Slot("gpu:MIG-x", "MIG-x"), Slot("gpu:MIG-y", "MIG-y"))
    machine = Machine(slots, {slot.name: Memory(20) for slot in slots})
    assert seats(place(machine, [], [big("a", 15), big("b", 15)])) == {"a": "gpu:MIG-x", "b": "gpu:MIG-y"}
    assert seats(place(machine, [], [big("a", 15), small("b", 5), small("c", 5)])) == {
        "a": "gpu:MIG-x",
        "b": "gpu:MIG-y",
        "c": "gpu:MIG-y",
    }
    [together] = place(machine, [], [big("c", 15, 2)])
    assert together.never
    assert "slices of a divided GPU cannot" in together.reason


def test_large_run_keeps_only_the_gpus_that_it_needs() -> None:
    held = [taken(f"r{i}", f"gpu:{i}", budget=40, used=9) for i in range(3)]
    decisions = place(gpus(*empty(4)), held, [big("large", 70, 2), small("s"), small("t"), small("u")])
    assert seats(decisions) == {"large": "-", "s": "gpu:1", "t": "gpu:2", "u": "-"}, "GPU 3 is free and GPU 0 empties next"


def test_another_program_does_not_make_a_waiting_run_stop_the_queue() -> None:
    machine = gpus(Memory(80, 60, ("python (pid 9, 60 GiB)",)))
    assert seats(place(machine, [], [big("large"), small("s", 9)])) == {"large": "-", "s": "gpu:0"}


@pytest.mark.parametrize("seed", range(20))
def test_no_run_is_starved_and_memory_is_never_given_twice(seed: int) -> None:
    """Small runs keep coming for ever; large ones, also on several GPUs, start all the same, and in order among equals."""
    chance = random.Random(seed)
    totals = [chance.choice((24.0, 80.0)) for _ in range(4)]
    waiting: list[Wanted] = []
    running: dict[str, tuple[Held, int]] = {}
    begun: dict[str, int] = {}
    asked: dict[str, int] = {}
    n_large = 0
    for turn in range(400):
        if len(waiting) < 12:
            kind = chance.random()
            wanted = small(f"s{turn}", chance.uniform(1, 11))
            if kind < 0.05:
                wanted = big(f"l{turn}", chance.choice((None, 20.0)), chance.choice((1, 2, 4)))
                n_large += 1
            waiting.append(wanted)
            asked[wanted.run_id] = turn
        for run, (_, until) in list(running.items()):
            if until <= turn:
                del running[run]
        held = [h for h, _ in running.values()]
        used = [sum(h.used_gib[f"gpu:{i}"] for h in held if h.used_gib and f"gpu:{i}" in h.slots) for i in range(4)]
        machine = gpus(*(Memory(total, u) for total, u in zip(totals, used, strict=True)), cpus=())
        for decision in place(machine, held, waiting):
            assert not decision.never
            if decision.seat is None:
                continue
            names = tuple(slot.name for slot in decision.seat.slots)
            budget = decision.seat.gpu_gib
            taken_gib = {name: budget if budget is not None else totals[int(name[-1])] for name in names}
            running[decision.run_id] = (Held(decision.run_id, names, budget, taken_gib), turn + chance.randint(2, 12))
            begun[decision.run_id] = turn
        waiting = [wanted for wanted in waiting if wanted.run_id not in begun]
        for i, total in enumerate(totals):
            there = [h for h, _ in running.values() if f"gpu:{i}" in h.slots]
            assert sum(total if h.gpu_gib is None else h.gpu_gib for h in there) <= total + 1e-6
            assert len(there) <= 2
    waits = [begun.get(run, 400) - t for run, t in asked.items() if run.startswith("l") and t < 340]
    assert n_large > 5
    assert max(waits, default=0) <= 60, waits
