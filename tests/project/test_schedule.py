"""Checkpoint schedules of the field, to the step."""

from __future__ import annotations

import pytest

from em_core.errors import BadInput
from em_core.schedule import checkpoint_steps, steps_per_epoch, total_steps
from em_core.spec import CheckpointSpec, TrainSpec

HW0 = TrainSpec(batch_size=8, grad_accumulation=2, epochs=3)


@pytest.mark.parametrize(("rows", "steps"), [(7049, [110, 220, 330, 440, 880, 1320]), (6000, [93, 187, 281, 375, 750, 1125])])
def test_four_in_the_first_epoch_then_each_epoch_end(rows: int, steps: list[int]) -> None:
    assert checkpoint_steps(rows, HW0, CheckpointSpec(first_epoch=4)) == steps


def test_drop_last_leaves_out_the_incomplete_batch() -> None:
    assert steps_per_epoch(7049, 16, drop_last=True) == 440
    assert steps_per_epoch(7049, 16, drop_last=False) == 441


def test_every_n_steps_ends_with_the_last_step() -> None:
    train = TrainSpec(batch_size=10, grad_accumulation=1, epochs=1)
    assert checkpoint_steps(105, train, CheckpointSpec(every_steps=4)) == [4, 8, 10]


def test_max_steps_wins_over_epochs() -> None:
    train = TrainSpec(batch_size=10, grad_accumulation=1, epochs=3, max_steps=7)
    assert total_steps(1000, train) == 7
    assert checkpoint_steps(1000, train, CheckpointSpec(first_epoch=4))[-1] == 7


@pytest.mark.parametrize("spec", [CheckpointSpec(at_steps=(5, 11)), CheckpointSpec(every_steps=11)])
def test_a_checkpoint_beyond_the_last_step_is_refused(spec: CheckpointSpec) -> None:
    train = TrainSpec(batch_size=10, grad_accumulation=1, epochs=1)
    with pytest.raises(BadInput, match="beyond the last step, 10"):
        checkpoint_steps(100, train, spec)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(BadInput, match="16 rows a step, the data has 9"):
        checkpoint_steps(9, HW0, CheckpointSpec())


def test_zero_rows_are_refused() -> None:
    with pytest.raises(BadInput, match="0 rows"):
        steps_per_epoch(0, 16)
