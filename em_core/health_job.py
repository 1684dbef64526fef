"""Measure the health of answers that were stored without it: of older runs, imported ones, the demonstration.

The results are events in a folder of its own, ``runs/health-<n>/``; the answers are never touched.
A killed job loses nothing: what it has written is known to the next one, which goes on in its folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from em_core import datasets
from em_core.datasets.rows import Messages
from em_core.errors import BadInput, Busy
from em_core.events import EventWriter, event_files, read_events
from em_core.health import RULES, HealthRules
from em_core.home import Home
from em_core.lease import Lease
from em_core.records import RunCreated, RunState
from em_core.spec import RunSpec
from em_core.store import health as store_health
from em_core.store import queries
from em_core.store.publish import publish

_NAME = re.compile(r"health-(\d{1,9})")


@dataclass(frozen=True)
class Measured:
    """What one call did.

    Args:
        run_id: The folder of the job; empty when nothing was missing.
        n_answers: Answers measured.
        n_compared: Of these, with the training data of their run.
        notes: Runs whose training data could not be compared with, each with the reason.
    """

    run_id: str
    n_answers: int
    n_compared: int
    notes: tuple[str, ...]


def measure_missing(home: Home, run_ids: Sequence[str] | None = None, say: Callable[[str], None] = lambda _: None) -> Measured:
    """Measure every answer that has no health under the present rules, and publish.

    Args:
        home: Whose runs.
        run_ids: Only these runs (and the step-0 answers that they share).
        say: Told about the progress, a sentence a run.

    Raises:
        BadInput: A run is unknown.
        Busy: Another such job is at work.
        WorkFailed: The disk is full; what was written stays.
    """
    home.writable("Measuring the health of answers")
    home.prepare()
    with Lease(home.supervisor / "health.lease") as lease:
        if not lease.acquire():
            raise Busy("another `health` is at work on this home", "wait for it; both would measure the same answers")
        publish(home)
        known = set(queries.runs(home)["run_id"])
        for run_id in run_ids or ():
            if run_id not in known:
                raise BadInput(f"run {run_id!r} is unknown", "`python -m em_core runs` lists the ids")
        todo = store_health.missing(home, RULES, run_ids)
        if not todo:
            return Measured("", 0, 0, ())
        done = _measure(home, todo, say)
        publish(home)
        return done


def training_rows(home: Home, run_id: str) -> tuple[list[Messages] | None, str]:
    """The rows that a run trained on, found again, or None and why not (empty: it trained on nothing).

    They must be the same ones: the files are compared with the fingerprints that the run wrote down. Rows
    of a parent run are not among them.
    """
    return recorded_rows(queries.run(home, run_id) or {})


def recorded_rows(created: Mapping[str, Any]) -> tuple[list[Messages] | None, str]:
    """The same from a run's ``run_created`` event, or its row in the store."""
    try:
        sources = json.loads(created.get("data_sources") or "[]")
        if created.get("run_kind") != "train" or not sources:
            return None, ""
        rows, info = datasets.load_all(RunSpec.model_validate_json(created["spec_json"]))
        recorded = [source.get("sha256", "") for source in sources]
    except BadInput as error:
        return None, f"its training data is not to be had ({error.message.splitlines()[0]})"
    except (ValidationError, ValueError, TypeError, AttributeError):
        return None, "its spec cannot be read"
    if [part.sha256 for part in info.parts] != recorded:
        return None, "its training data has changed since"
    return rows, ""


def _measure(home: Home, todo: dict[str, int], say: Callable[[str], None]) -> Measured:
    folder, new = _folder(home)
    attempt = 1 + len(event_files(folder))
    n_answers = n_compared = 0
    notes: list[str] = []
    with EventWriter(folder, f"health-{attempt}") as events:
        if new:
            events.write(_created(folder.name))
        events.write(RunState("run", "running", attempt=attempt))
        for run_id, n in todo.items():
            rows, why = training_rows(home, run_id)
            if why:
                notes.append(f"{run_id}: {why}")
            say(f"{run_id}: {n:,} answers" + (f"; not compared with its training data: {why}" if why else ""))
            rules = HealthRules(rows)
            for page in store_health.missing_answers(home, RULES, run_id):
                events.write(*(rules.measure(response_id, text) for response_id, text in page))
                n_answers += len(page)
                n_compared += len(page) * (rows is not None)
        events.write(RunState("run", "finished", attempt=attempt), sync=True)
    return Measured(folder.name, n_answers, n_compared, tuple(notes))


def _folder(home: Home) -> tuple[Path, bool]:
    """The job's folder and whether it is new: the last one, if a job began there and did not end."""
    numbers = [int(match[1]) for path in home.runs.iterdir() if (match := _NAME.fullmatch(path.name))]
    if numbers:
        last = home.run_dir(f"health-{max(numbers)}")
        states = [event.get("state") for event in read_events(last, "state")]
        if "finished" not in states:
            return last, not any(True for _ in read_events(last, "run_created"))
    folder = home.run_dir(f"health-{max(numbers, default=0) + 1}")
    folder.mkdir()
    return folder, True


def _created(name: str) -> RunCreated:
    return RunCreated(
        run_kind="health", label=name, experiment="", spec_json="{}", spec_hash="", base_model="", revision="", backend="",
        domain="", data_sources="[]", parent_run_id="", parent_step=None, learning_rate=None, lora_r=None,
        effective_batch=None, seed=None,
    )  # fmt: skip
