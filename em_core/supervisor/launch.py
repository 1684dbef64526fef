"""Put runs into the queue: a run's folder appears whole, with its spec and its first events, or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import em_core
from em_core import specs_io
from em_core.durable import sync
from em_core.errors import BadInput, Busy, EMError
from em_core.events import EventWriter
from em_core.home import Home
from em_core.locate import plain_name
from em_core.organism.models import is_organism
from em_core.records import RunCreated, RunState
from em_core.spec import RunSpec
from em_core.supervisor.evidence import RunStatus, list_runs
from em_core.supervisor.start import ensure_running, launch_lock, wake

MIN_FREE_BYTES = 32 << 20
BUILDING = ".new-"
"""How the folder of a run is called until it is whole."""
_APART_S = 1e-6
_WRITERS = 8
"""Folders that are written at once: each waits for the disk four times, and a disk does several waits together."""


@dataclass(frozen=True)
class Launched:
    """What became of one spec.

    Args:
        run_id: The run that does it.
        created: Whether it is new.
        existing: The identical run that was there before, or None.
    """

    run_id: str
    created: bool
    existing: str | None = None


@dataclass(frozen=True)
class Entry:
    """What becomes a folder of the queue: a run to train, or another job.

    Args:
        label: Short readable name; the folder's name begins with it.
        digest: Identity: what has the same was queued before.
        record: The event that says that it exists.
        document: ``spec`` (a `RunSpec`, JSON-able) and whatever else stands in its ``spec.json``.
    """

    label: str
    digest: str
    record: RunCreated
    document: dict[str, Any]


def launch(
    home: Home, specs: Sequence[RunSpec], *, again: bool = False, existing_ok: bool = False, start: bool = True
) -> list[Launched]:
    """Queue runs, all or none. The specs have been validated (`em_core.plan.validate`).

    Args:
        home: Where the runs go.
        specs: One per run, in the order in which they should be taken.
        again: Launch although an identical run exists.
        existing_ok: Leave identical runs as they are, without complaint.
        start: See that a supervisor runs.

    Returns:
        One entry per spec, in order.

    Raises:
        BadInput: The home cannot be written, the disk is full, a data set is unusable.
        Busy: An identical run exists (and neither `again` nor `existing_ok` was said).
        WorkFailed: The supervisor did not start; the runs stay queued.
    """
    from em_core.plan import forecast  # a supervisor imports this module too, and plans nothing

    home.writable("Launching a run")
    pinned = [specs_io.anchor(spec) for spec in specs]  # the worker's working folder is another one
    entries = [_entry(spec, figures) for spec, figures in zip(pinned, forecast.of_specs(pinned, home), strict=True)]
    return enqueue(home, entries, again=again, existing_ok=existing_ok, start=start)


def enqueue(
    home: Home, entries: Sequence[Entry], *, again: bool = False, existing_ok: bool = False, start: bool = True
) -> list[Launched]:
    """Put jobs of any kind into the queue, all or none (arguments and errors as of `launch`)."""
    home.writable("Launching a run")
    home.prepare()
    _check_disk(home)
    with launch_lock(home) as lock:
        if not lock.acquire(blocking=True, timeout_s=60):
            raise Busy("another launch has been at work for a minute", "try again")
        launched = _place(home, entries, again, existing_ok)
        new = [(item.run_id, entry) for item, entry in zip(launched, entries, strict=True) if item.created]
        _create(home, new)
        wake(home)
    if start:
        ensure_running(home)
    return launched


def remove_leftovers(home: Home) -> int:
    """Delete folders that a killed launch left half-made; call it with the launch lock held. Returns how many."""
    leftovers = list(home.runs.glob(f"{BUILDING}*"))
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)
    return len(leftovers)


def _place(home: Home, entries: Sequence[Entry], again: bool, existing_ok: bool) -> list[Launched]:
    known: dict[str, RunStatus] = {}
    for status in list_runs(home):
        if status.spec_hash:
            known[status.spec_hash] = status  # the newest of identical ones
    if not again and not existing_ok and (repeats := [known[e.digest] for e in entries if e.digest in known]):
        first = repeats[0]
        others = f" (and {len(repeats) - 1} more of this launch)" if len(repeats) > 1 else ""
        raise Busy(
            f"an identical run exists: {first.run_id} ({first.state}){others}; nothing was launched",
            f"see it with `python -m em_core show {first.run_id}`, or launch with --again (in Python: again=True)"
            + (", or leave out those with --skip-existing" if len(entries) > 1 else ""),
        )
    launched: list[Launched] = []
    taken: set[str] = set()
    hashes: dict[str, str] = {}
    for entry in entries:
        existing = known[entry.digest].run_id if entry.digest in known else hashes.get(entry.digest)
        if existing is not None and not again:
            launched.append(Launched(existing, False, existing))
            continue
        base = f"{plain_name(entry.label)}-{entry.digest[:8]}"
        run_id, n = base, 1
        while run_id in taken or os.path.lexists(home.runs / run_id):
            n += 1
            run_id = f"{base}-{n}"
        taken.add(run_id)
        hashes[entry.digest] = run_id
        launched.append(Launched(run_id, True, existing))
    return launched


def _create(home: Home, new: Sequence[tuple[str, Entry]]) -> None:
    created_t = time.time()
    building = [home.runs / f"{BUILDING}{run_id}" for run_id, _ in new]
    placed: list[Path] = []
    with _reported(home):
        try:
            with ThreadPoolExecutor(_WRITERS, thread_name_prefix="launch") as pool:
                writing = pool.map(
                    lambda n, folder, run: _fill(folder, run[0], run[1], created_t, n), range(len(new)), building, new
                )
                list(writing)  # raises the first problem, and begins no other then
            sync(home.runs)
            for folder, (run_id, _) in zip(building, new, strict=True):
                folder.rename(home.runs / run_id)
                placed.append(home.runs / run_id)
            sync(home.runs)
        except BaseException:
            for folder in [*building, *placed]:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _fill(folder: Path, run_id: str, entry: Entry, created_t: float, order: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stored: dict[str, Any] = {
        "run_id": run_id,
        "label": entry.label,
        "spec_hash": entry.digest,
        "created_t": created_t,
        "order": order,
        "workbench": em_core.__version__,
        **entry.document,
    }
    with (folder / "spec.json").open("w", encoding="utf-8") as file:
        json.dump(stored, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    with EventWriter(folder, "launch") as events:
        t = created_t + order * _APART_S  # whoever is written first: in the database the runs stand in their order
        events.write(entry.record, RunState("run", "queued"), t=t)  # on disk when closed
    sync(folder / "events")
    sync(folder)


def _entry(spec: RunSpec, figures: dict[str, Any]) -> Entry:
    record = created_record(spec)
    return Entry(record.label, record.spec_hash, record, {"spec": spec.model_dump(mode="json"), **figures})


def created_record(spec: RunSpec) -> RunCreated:
    """The event that says that a run exists.

    Raises:
        BadInput: Its training data is unusable.
    """
    from em_core.plan import rows

    domain, sources = rows.sources(spec)
    return RunCreated(
        run_kind="train",
        label=spec.label,
        experiment=spec.experiment,
        spec_json=spec.model_dump_json(),
        spec_hash=spec.spec_hash(),
        base_model=spec.base_model,
        revision=spec.revision,
        backend=spec.backend,
        domain=domain,
        data_sources=json.dumps(sources, ensure_ascii=False),
        parent_run_id=spec.parent.run if spec.parent else "",
        parent_step=spec.parent.step if spec.parent else None,
        learning_rate=spec.train.learning_rate,
        lora_r=spec.lora.r,
        effective_batch=spec.train.effective_batch,
        seed=spec.train.seed,
        toy=is_organism(spec.base_model),
    )


def _check_disk(home: Home) -> None:
    free = shutil.disk_usage(home.runs).free
    if free < MIN_FREE_BYTES:
        raise BadInput(
            f"{home.root}: the disk is full ({free / 2**20:.0f} MiB free, at least {MIN_FREE_BYTES >> 20} MiB needed)",
            "free disk space, or choose another folder with --home",
        )


@contextmanager
def _reported(home: Home) -> Iterator[None]:
    """What the file system refuses becomes one clear message; nothing half-made stays."""
    try:
        yield
    except EMError as error:
        if isinstance(error.__cause__, OSError):
            raise _refusal(home, error.__cause__) from error
        raise
    except OSError as error:
        raise _refusal(home, error) from error


def _refusal(home: Home, error: OSError) -> BadInput:
    hint = "free disk space, or choose another folder with --home"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "choose a writable folder with --home or EM_HOME"
    return BadInput(f"{home.runs}: the run could not be written ({error.strerror}); nothing was launched", hint)
