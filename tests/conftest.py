"""The order of the test files, slow ones first, so that both processes of a run end at about the same time; and a lighter heap."""

from __future__ import annotations

import gc
import sys

import pytest

SLOW = (
    "supervisor/test_chaos", "browser/test_every_page", "browser/test_journey", "browser/test_hostile_answers", "cli/test_cli",
    "browser/test_labelling", "browser/test_live", "browser/test_walk", "cli/test_controlling",
    "training/test_resume", "ranks/test_ranks", "rejudge/test_batch_job", "evaluate_job/", "training/test_worker_resume",
    "supervisor/test_full_disk", "supervisor/test_hang", "supervisor/test_faults", "supervisor/test_loop", "judges/test_trouble",
    "supervisor/test_many_runs", "supervisor/test_", "doctor/", "export/", "training/", "judges/",
)  # fmt: skip
"""Files of many seconds, the longest first (`pytest --durations=100`); all others follow in their own order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        file = item.nodeid.removeprefix("tests/")
        return next((number for number, start in enumerate(SLOW) if file.startswith(start)), len(SLOW))

    items.sort(key=place)


_MANY_MODULES = 300
_frozen_with = 0


def pytest_runtest_setup() -> None:
    """Leave out of collections what the libraries made when they were imported.

    Trainers and Streamlit collect after each training and each run of a page, and with torch, transformers and Streamlit
    loaded that takes half a second each time.
    """
    global _frozen_with
    if len(sys.modules) > _frozen_with + _MANY_MODULES:
        gc.collect()
        gc.freeze()
        _frozen_with = len(sys.modules)


def pytest_unconfigure() -> None:
    """Compiled libraries report what is not collected at the end as lost."""
    gc.unfreeze()
