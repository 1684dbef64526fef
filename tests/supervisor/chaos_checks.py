"""What must hold after every kill: nothing acknowledged is lost, nothing is there twice, every attempt ended once."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import psutil

from em_core.causes import KNOWN
from em_core.home import Home
from em_core.records import RECORDS, FinalState
from em_core.store import reader
from em_core.store.publish import publish, rebuild
from em_core.supervisor import processes

EXIT_S = 15.0
"""A worker whose last word is written may take this long to be gone, seconds: it frees a model."""
Rows = collections.Counter[tuple[Any, ...]]


def acknowledged(home: Home, folders: Collection[str]) -> list[tuple[Path, bytes]]:
    """Every event file of these folders with what is whole in it now."""
    found = []
    for folder in folders:
        for path in (home.runs / folder / "events").glob("*.jsonl"):
            content = path.read_bytes()
            found.append((path, content[: content.rfind(b"\n") + 1]))
    return found


def check_runs(home: Home, folders: Collection[str], run_ids: Collection[str], kept: list[tuple[Path, bytes]]) -> None:
    """The files of a round's runs, and the processes that are left of them.

    Args:
        home: Where they are.
        folders: The runs and the step 0 that they share.
        run_ids: The runs.
        kept: What `acknowledged` said at each kill.
    """
    for path, content in kept:
        assert path.read_bytes()[: len(content)] == content, f"{path}: acknowledged events changed"
    for folder in folders:
        answers = [event["response_id"] for _, event in events(home, [folder]) if event["kind"] == "response"]
        assert len(answers) == len(set(answers)), f"{folder}: an answer is there twice"
    for run_id in run_ids:
        states = [event for _, event in events(home, [run_id]) if event["kind"] == "state" and event["phase"] == "run"]
        begun = {e["attempt"] for e in states if e["state"] == "running"}
        ends = [e for e in states if e["state"] in FinalState]
        assert sorted(e["attempt"] for e in ends) == sorted({e["attempt"] for e in ends} | begun), f"{run_id}: {states}"
        for event in ends:
            assert event["state"] == "finished" or event["cause"] in KNOWN, f"{run_id}: ended without a cause: {event}"
        give_up = time.monotonic() + EXIT_S
        while left := processes.of_run(home.run_dir(run_id)):
            assert time.monotonic() < give_up, f"{run_id}: processes left: {left}"
            time.sleep(0.1)


def check_database(home: Home, folders: Collection[str] | None, *, anew: bool) -> int:
    """The published rows are the events of the files, one for one; returns how many there are.

    Args:
        home: Where they are.
        folders: Look at these alone; None = everything.
        anew: Make the database anew too, and compare once more.
    """
    publish(home)
    wanted: Rows = collections.Counter()
    for path, event in events(home, folders):
        kind = event["kind"]
        wanted[(kind, path.parent.parent.name, event["t"], *(event.get(column) for column in _key(kind)))] += 1
    found = _rows(home, folders)
    assert wanted == found, _difference(wanted, found)
    if anew:
        rebuild(home)
        found = _rows(home, folders)
        assert wanted == found, f"a rebuilt database differs: {_difference(wanted, found)}"
    return sum(wanted.values())


def events(home: Home, folders: Collection[str] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every whole, well-formed event of this home, with its file."""
    for name in sorted(folders if folders is not None else (path.name for path in home.runs.glob("[!.]*"))):
        for path in sorted((home.runs / name / "events").glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict):
                        yield path, event


def ours(variable: str) -> dict[int, str]:
    """Living processes that descend from this one, by the token in their environment: pid and command."""
    found = {}
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(psutil.Error):
            token = process.environ().get(variable)
            if process.pid != os.getpid() and token == os.environ[variable] and process.status() != "zombie":
                found[process.pid] = " ".join(process.cmdline())[:200]
    return found


def _key(kind: str) -> list[str]:
    """Columns that tell events of one kind and time apart."""
    wanted = ("response_id", "judge_id", "metric", "question_id", "paraphrase", "step", "phase", "state", "attempt", "text")
    return [f.name for f in dataclasses.fields(RECORDS[kind]) if f.name in wanted]


def _rows(home: Home, folders: Collection[str] | None) -> Rows:
    """The same key for every row of the database."""
    found: Rows = collections.Counter()
    where, values = ("", []) if folders is None else (" WHERE list_contains(?, run_id)", [sorted(folders)])
    with reader.connect(home).cursor() as cursor:
        for kind, record in RECORDS.items():
            columns = ", ".join(["run_id", "t", *_key(kind)])
            rows = cursor.execute(f"SELECT {columns} FROM {record.table}{where}", values).fetchall()
            found.update((kind, *row) for row in rows)
    return found


def _difference(wanted: Rows, found: Rows) -> str:
    return f"in the files only: {list((wanted - found).items())[:5]}; in the database only: {list((found - wanted).items())[:5]}"
