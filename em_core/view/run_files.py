"""What of a run is on this machine's disk: its checkpoints and its training data, held against what was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from em_core.checkpoints import COMPLETE, read_complete, sha256_of
from em_core.locate import find_path

PRESENT, VERIFIED, CHANGED, ABSENT = "present", "verified", "changed", "not here"
QUICK_BYTES = 20 * 2**20
"""A data file up to this size is always read to compare its digest; a larger one when asked."""


def checkpoints(run_dir: Path | None, recorded: pd.DataFrame, verify: bool = False) -> dict[int, str]:
    """State of each recorded checkpoint's folder, by step; step 0 has none.

    Args:
        run_dir: The run's folder; None = its files are not looked at.
        recorded: Rows of ``checkpoints``.
        verify: Read every file and compare its digest too (sizes and the recorded digests are always compared).

    Returns:
        `PRESENT` (``COMPLETE.json`` is there, its files have the sizes it names, its weights the recorded digest),
        `VERIFIED` (the files' own digests too), `CHANGED` (half-made, damaged, or other weights), or `ABSENT`.
    """
    found: dict[int, str] = {}
    for row in recorded.to_dict("records"):
        step = int(row["step"])
        if step == 0:
            continue
        path = run_dir / "checkpoints" / f"step-{step}" if run_dir is not None else None  # never a path out of an event
        if path is None or not path.is_dir():
            found[step] = ABSENT
            continue
        complete = read_complete(path, verify_sha256=verify)
        same = complete is not None and complete.sha256 == str(row["sha256"] or "")
        found[step] = (VERIFIED if verify else PRESENT) if same else CHANGED
    return found


def why_changed(run_dir: Path, step: int) -> str:
    """A sentence about a checkpoint that is `CHANGED`."""
    path = run_dir / "checkpoints" / f"step-{step}"
    if not (path / COMPLETE).is_file():
        return f"step {step}: {COMPLETE} is missing, so the checkpoint does not count"
    if read_complete(path) is None:
        return f"step {step}: its files differ from what {COMPLETE} says"
    return f"step {step}: its weights are others than those recorded"


def data_file(part: Mapping[str, Any], verify: bool = False) -> str:
    """State of one part of the training data (`em_core.view.spec_difference.sources`), as in `checkpoints`.

    `PRESENT` means that the file is there and too large to be read without being asked.
    """
    path = find_path(str(part.get("path") or ""))
    if path is None or not path.is_file():
        return ABSENT
    try:
        if path.stat().st_size > QUICK_BYTES and not verify:
            return PRESENT
        return VERIFIED if sha256_of(path) == part.get("sha256") else CHANGED
    except OSError:
        return ABSENT


def evaluations(files: Iterable[str]) -> list[str]:
    """The evaluations that asked a run's checkpoints later, from the names of its event files."""
    names = (str(file).rsplit("/", 1)[-1] for file in files)
    return [name.removeprefix("evaluate-").removesuffix(".jsonl") for name in names if name.startswith("evaluate-")]


def skipped(text: Any) -> list[str]:
    """What an import left out, a sentence each (column ``skipped`` of ``imports``)."""
    try:
        found = json.loads(text) if isinstance(text, str) and text else []
    except ValueError:
        return [str(text)]
    said = []
    for each in found if isinstance(found, Sequence) and not isinstance(found, str) else [found]:
        if isinstance(each, Mapping):
            n = each.get("n")
            said.append(f"{each.get('where', '?')}: {each.get('reason', '?')}" + (f" ({n})" if n not in (None, 1) else ""))
        else:
            said.append(str(each))
    return said
